package pack

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"clpipe/ingest"
)

// Sizes of a tar archive.
const (
	tarBlock     = 512
	tarEndMarker = 2 * tarBlock
)

// member is a file of a sample.
type member struct {
	field string
	body  []byte
}

// storedBytes is what the members of a sample add to an archive.
func storedBytes(members []member) int64 {
	n := int64(0)
	for _, m := range members {
		n += tarBlock + (int64(len(m.body))+tarBlock-1)/tarBlock*tarBlock
	}
	return n
}

// free returns an error if there is no place for a shard, or a file in it.
func (p *packer) free(number int) error {
	if p.names != nil && number == len(p.names) {
		return &ingest.UsageError{Err: fmt.Errorf("pack: %q stands for %d shards, and more are needed: name more, or make them larger (--max-samples, --max-bytes)", p.cfg.Out, len(p.names))}
	}
	path := p.path(number)
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return &ingest.UsageError{Err: fmt.Errorf("pack: shard %d: %s is there already and is not overwritten: name another place by -o, or remove it", number, path)}
}

// archive is a shard being written, under another name than its own.
type archive struct {
	path    string // where it goes
	file    *os.File
	sum     hash.Hash
	buffer  *bufio.Writer
	tar     *tar.Writer
	samples int
	bytes   int64 // with the end marker that is to come
}

// create begins a shard, and its folder if there is none.
func create(path string) (*archive, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	return &archive{path: path, file: file, sum: sum, buffer: buffer, tar: tar.NewWriter(buffer), bytes: tarEndMarker}, nil
}

// add writes a sample. Headers hold nothing of the machine or the time.
func (a *archive) add(key string, members []member) error {
	for _, m := range members {
		h := &tar.Header{Name: key + "." + m.field, Mode: 0o644, Size: int64(len(m.body)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := a.tar.WriteHeader(h); err != nil {
			return err
		}
		if _, err := a.tar.Write(m.body); err != nil {
			return err
		}
	}
	a.samples++
	a.bytes += storedBytes(members)
	return nil
}

// escapes are how sha256sum writes names with signs that would end a line, or look
// like one of these; the line then begins with a backslash.
var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)

// note adds the archive's checksum to those of its folder.
func (a *archive) note() (err error) {
	dir, name := filepath.Split(a.path)
	file, err := os.OpenFile(dir+ingest.SumsFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	line := fmt.Sprintf("%x  %s\n", a.sum.Sum(nil), name)
	if escaped := escapes.Replace(name); escaped != name {
		line = fmt.Sprintf("\\%x  %s\n", a.sum.Sum(nil), escaped)
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var last [1]byte // somebody else's line may have no end yet
	if size := info.Size(); size > 0 {
		if _, err := file.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = file.WriteString(line)
	return err
}

// commit ends the archive and puts it in its place.
func (a *archive) commit() error {
	err := errors.Join(a.tar.Close(), a.buffer.Flush(), a.file.Chmod(0o644), a.file.Sync(), a.file.Close())
	if err == nil {
		err = os.Rename(a.file.Name(), a.path)
	}
	if err != nil {
		os.Remove(a.file.Name())
	}
	return err
}

// abandon removes the archive.
func (a *archive) abandon() {
	a.file.Close()
	os.Remove(a.file.Name())
}
