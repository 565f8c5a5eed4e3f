package sink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// disk is the part of the file system that changes something. Tests put one in
// its place that fails at the n-th call.
type disk interface {
	MkdirAll(dir string) error
	Create(path string) (file, error)
	Append(path string) (file, error)
	Rename(from, to string) error
	RemoveAll(path string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// osDisk is the real file system.
type osDisk struct{}

func (osDisk) MkdirAll(dir string) error    { return os.MkdirAll(dir, 0o777) }
func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) RemoveAll(path string) error  { return os.RemoveAll(path) }
func (osDisk) SyncDir(dir string) error     { return syncDir(dir) }

func (osDisk) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
}

func (osDisk) Append(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
}

// tmpSuffix marks what is not finished and may be removed at any time by who
// holds the run's lock.
const tmpSuffix = ".tmp"

// writeFile creates a file and makes its content durable, but not its name.
func writeFile(d disk, path string, write func(io.Writer) error) (err error) {
	f, err := d.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := writeBuffered(f, write); err != nil {
		return err
	}
	return f.Sync()
}

func writeBuffered(f io.Writer, write func(io.Writer) error) error {
	buf := bufio.NewWriterSize(f, 1<<16)
	if err := write(buf); err != nil {
		return err
	}
	return buf.Flush()
}

// Replace writes a file beside path and renames it: at any moment path holds
// either what it held before or all that write has written. A link is followed.
// What is no file, as a device or a named pipe, is written to and stays what it
// is; a directory is an error.
func Replace(path string, write func(io.Writer) error) error {
	if err := replaceFile(osDisk{}, path, write); err != nil {
		return fmt.Errorf("sink: write %s: %w", path, err)
	}
	return nil
}

// replaceFile is Replace on a disk.
func replaceFile(d disk, path string, write func(io.Writer) error) error {
	path, isFile, err := Destination(path)
	if err != nil {
		return err
	}
	if !isFile {
		return writeInto(path, write)
	}
	tmp := path + tmpSuffix
	if err = writeFile(d, tmp, write); err == nil {
		err = d.Rename(tmp, path)
	}
	if err != nil {
		d.RemoveAll(tmp) // the first error says more than this one could
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

// Destination returns the place that path leads to, a link being followed, and
// whether a file may be put there: nothing is lost but the content of a file. What
// is no file, as a device or a named pipe, and what the program has open already, as
// /dev/stdout, is to be written to instead. A directory is an error.
func Destination(path string) (place string, isFile bool, err error) {
	if isOpen(path) {
		return path, false, nil
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return path, true, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a link that leads nowhere yet
		return path, false, nil
	case err != nil:
		return "", false, err
	case info.IsDir():
		return "", false, errors.New("it is a directory: name a file in it")
	case !info.Mode().IsRegular():
		return path, false, nil
	}
	place, err = filepath.EvalSymlinks(path)
	if err != nil { // a link to an open file that has no name any more
		return path, false, nil
	}
	return place, true, nil
}

// isOpen tells whether path is one of the names that the system has for the files a
// process has open: putting another file in the place of such a one would take it
// from who opened it.
func isOpen(path string) bool {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return err == nil && (dir == "/dev" || dir == "/dev/fd" || strings.HasPrefix(dir, "/proc/"))
}

// writeInto writes to what is there.
func writeInto(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	return errors.Join(writeBuffered(f, write), f.Close())
}

// writes returns the writer function of content that is at hand.
func writes(content []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
}
