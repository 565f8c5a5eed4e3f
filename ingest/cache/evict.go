package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// stored is a block, or one being written, as it lies in the folder.
type stored struct {
	path string
	size int64     // of one being written, what it will be
	used time.Time // the file's time, which reading renews
	temp bool
}

// list returns the blocks and those being written. Files of other names are no
// concern of the cache.
func (c *Cache) list() ([]stored, error) {
	folders, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	var all []stored
	for _, folder := range folders {
		if !folder.IsDir() || !folderName.MatchString(folder.Name()) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(c.dir, folder.Name()))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			name := file.Name()
			temp := tempName.FindStringSubmatch(name)
			if temp == nil && (!blockName.MatchString(name) || name[:2] != folder.Name()) {
				continue
			}
			info, err := file.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // renamed or removed since
			}
			if err != nil {
				return nil, err
			}
			s := stored{filepath.Join(c.dir, folder.Name(), name), info.Size(), info.ModTime(), temp != nil}
			if s.temp {
				if s.size, err = strconv.ParseInt(temp[1], 10, 64); err != nil {
					continue
				}
			}
			if info.Mode().IsRegular() {
				all = append(all, s)
			}
		}
	}
	return all, nil
}

// makeRoom removes the blocks that were not used for the longest time until size
// bytes fit, and what dead processes have left. It returns how many bytes are in
// use. The lock is held.
func (c *Cache) makeRoom(size int64) (used int64, err error) {
	all, err := c.list()
	if err != nil {
		return 0, err
	}
	var blocks []stored
	for _, s := range all {
		switch {
		case s.temp && c.now().Sub(s.used) > staleAfter:
			remove(s.path)
			continue
		case !s.temp:
			blocks = append(blocks, s)
		}
		used += s.size
	}
	if used+size <= c.limit {
		return used, nil
	}
	if !c.fits.Load() {
		blocks = slices.DeleteFunc(blocks, func(b stored) bool { return !b.used.Before(c.opened) })
	}
	want := min(int64(lowWater*float64(c.limit)), c.limit-size)
	slices.SortFunc(blocks, func(a, b stored) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	for _, b := range blocks {
		if used <= want {
			break
		}
		if remove(b.path) {
			used -= b.size
		}
	}
	if used+size > c.limit {
		return used, errNoRoom
	}
	return used, nil
}

// errNoRoom says that all that is kept has to stay.
var errNoRoom = errors.New("no room below the limit")

// remove removes a file of the cache and tells whether it is gone.
func remove(path string) bool {
	err := os.Remove(path)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}
