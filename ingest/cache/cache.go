package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
)

const (
	tagFile   = "CACHEDIR.TAG"
	usageFile = "clpipe-usage"
	// tag begins with the signature of https://bford.info/cachedir/.
	tag = "Signature: 8a477f597d28d172789f06886806bc55\n# Blocks of remote files, kept by clpipe; format 1. The folder may be deleted.\n"
)

// staleAfter is the age from which a block being written is taken for one of a
// process that died.
const staleAfter = time.Hour

// lowWater is the part of the limit that is kept when room is made, so that the
// folder is not looked through for every block.
const lowWater = 0.95

var (
	folderName = regexp.MustCompile(`^[0-9a-f]{2}$`)
	blockName  = regexp.MustCompile(`^[0-9a-f]{64}-[0-9]{6}\.block$`)
	tempName   = regexp.MustCompile(`^x\.tmp-([0-9]+)-[0-9]+$`)
)

// A DirError says that a folder cannot be a cache: a mistake of whoever named it.
type DirError struct {
	Dir string
	Msg string
}

// Error names the folder and what is wrong with it.
func (e *DirError) Error() string { return fmt.Sprintf("cache %s: %s", e.Dir, e.Msg) }

// Cache is a folder of blocks. It is safe for concurrent use, by other processes
// too.
type Cache struct {
	dir    string
	limit  int64
	log    *slog.Logger
	now    func() time.Time
	opened time.Time

	off      atomic.Bool // nothing is kept any more
	fits     atomic.Bool // all that will be read has room
	damaged  sync.Once   // the first damaged block has been warned of
	unknown  sync.Once   // the first file that cannot be kept has
	fetching fetching
}

// MinBytes is the smallest limit: room for one block.
const MinBytes = blockBytes + blockBytes/sumBytes*sumSize + trailerSize

// Open opens the folder, which is made if it is not there, for blocks of at most
// limit bytes together, file system overhead not counted. log receives warnings.
// A folder that is not empty and no cache is a *DirError. It panics if limit is
// below MinBytes.
func Open(dir string, limit int64, log *slog.Logger) (*Cache, error) {
	if limit < MinBytes {
		panic(fmt.Sprintf("cache: a limit of %d bytes, want at least %d", limit, MinBytes))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c := &Cache{dir: dir, limit: limit, log: log, now: time.Now, opened: time.Now()}
	if claimed, err := c.claimed(); err != nil || claimed {
		return c, err
	}
	return c, c.exclusively(func(*os.File) error {
		claimed, err := c.claimed() // by another process, perhaps
		if err != nil || claimed {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, tagFile), []byte(tag), 0o666); err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		return nil
	})
}

// claimed tells whether the folder is a cache already. One that holds anything
// else is an error.
func (c *Cache) claimed() (bool, error) {
	found, err := os.ReadFile(filepath.Join(c.dir, tagFile))
	switch {
	case err == nil && string(found) == tag:
		return true, nil
	case err == nil:
		return false, &DirError{c.dir, "its " + tagFile + " is of another program or format: name another folder"}
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("cache: %w", err)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return false, fmt.Errorf("cache: %w", err)
	}
	for _, e := range entries {
		if e.Name() != usageFile {
			return false, &DirError{c.dir, fmt.Sprintf("holds %.200q, which is no part of a cache: name an empty or new folder", e.Name())}
		}
	}
	return false, nil
}

// Expect says how many bytes an epoch reads. Where they have room, what is longest
// unused makes way. Where not, no block of this run makes way for another: of files
// that are read round and round each would be gone just before its turn comes, while
// those kept now are found in every epoch. Once the room is full of them, parts of
// others are fetched alone.
func (c *Cache) Expect(bytes int64) {
	c.fits.Store(bytes <= c.limit)
	if bytes > c.limit {
		c.log.Info(fmt.Sprintf("cache: room for %s of the %s that are read: the rest is fetched in every epoch", humanize.IBytes(uint64(c.limit)), humanize.IBytes(uint64(bytes))))
	}
}

// Usage is what a cache holds.
type Usage struct {
	Blocks int
	Bytes  int64
}

// Usage looks through the folder.
func (c *Cache) Usage() (Usage, error) {
	blocks, err := c.list()
	u := Usage{Blocks: len(blocks)}
	for _, b := range blocks {
		u.Bytes += b.size
	}
	return u, err
}

// key names a file's blocks: where it lies, its version and length.
func key(where, version string, size int64) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s", size, version, where)))
}

func (c *Cache) path(key string, block int64) string {
	return filepath.Join(c.dir, key[:2], fmt.Sprintf("%s-%06d.block", key, block))
}

// keep writes a block. What goes wrong ends the keeping with one warning.
func (c *Cache) keep(key string, block int64, data []byte) {
	if c.off.Load() {
		return
	}
	err := c.write(c.path(key, block), encode(data))
	switch {
	case err == nil:
	case errors.Is(err, errNoRoom):
		if !c.fits.Load() { // it is full of what this run reads
			c.off.Store(true)
		}
	case !c.off.Swap(true):
		c.log.Warn(fmt.Sprintf("cache: %v; going on without keeping more", err))
	}
}

// write puts a block beside its place and renames it there. Neither is synced: a
// block that a crash tears is one whose checksums are wrong.
func (c *Cache) write(path string, parts [][]byte) error {
	size := int64(0)
	for _, p := range parts {
		size += int64(len(p))
	}
	f, err := c.reserve(path, size)
	if err != nil || f == nil {
		return err
	}
	for _, p := range parts {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.place(f.Name(), path, size)
	}
	if err != nil {
		c.giveUp(f.Name(), size)
	}
	return err
}

// reserve makes room for a block, counts it and returns the file to write it to;
// nil if another process has written the block.
func (c *Cache) reserve(path string, size int64) (temp *os.File, err error) {
	err = c.exclusively(func(f *os.File) error {
		if _, err := os.Lstat(path); err == nil {
			return nil
		}
		used, counted := readUsage(f)
		if !counted || used+size > c.limit {
			if used, err = c.makeRoom(size); err != nil {
				return err
			}
		}
		folder := filepath.Dir(path)
		if err := os.Mkdir(folder, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Its name tells others that look through the folder how long it will be.
		if temp, err = os.CreateTemp(folder, fmt.Sprintf("x.tmp-%d-*", size)); err != nil {
			return err
		}
		return writeUsage(f, used+size)
	})
	return temp, err
}

// place gives a block its name, or takes it back if another has come before.
func (c *Cache) place(temp, path string, size int64) error {
	return c.exclusively(func(f *os.File) error {
		if _, err := os.Lstat(path); err != nil {
			return os.Rename(temp, path)
		}
		used, _ := readUsage(f)
		return errors.Join(os.Remove(temp), writeUsage(f, max(used-size, 0)))
	})
}

// giveUp takes back what was reserved for a block.
func (c *Cache) giveUp(temp string, size int64) {
	c.exclusively(func(f *os.File) error {
		if err := os.Remove(temp); err != nil {
			return err
		}
		used, _ := readUsage(f)
		return writeUsage(f, max(used-size, 0))
	})
}

// discard removes a block.
func (c *Cache) discard(path string) {
	c.exclusively(func(f *os.File) error {
		info, err := os.Lstat(path)
		if err != nil {
			return err // another process has done it
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		used, _ := readUsage(f)
		return writeUsage(f, max(used-info.Size(), 0))
	})
}

// exclusively runs f while no other process or goroutine does so on this folder.
func (c *Cache) exclusively(do func(usage *os.File) error) error {
	f, err := os.OpenFile(filepath.Join(c.dir, usageFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	defer f.Close() // which unlocks it
	if err := lock(f); err != nil {
		return fmt.Errorf("cache: lock %s: %w", f.Name(), err)
	}
	return do(f)
}

func readUsage(f *os.File) (bytes int64, ok bool) {
	var text [32]byte
	n, _ := f.ReadAt(text[:], 0)
	bytes, err := strconv.ParseInt(strings.TrimSpace(string(text[:n])), 10, 64)
	return bytes, err == nil && bytes >= 0
}

// writeUsage writes a line of fixed length, which no crash leaves half of an old
// number in.
func writeUsage(f *os.File, bytes int64) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%20d\n", bytes), 0)
	return err
}
