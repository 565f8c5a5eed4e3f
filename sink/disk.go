package sink

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	buf := bufio.NewWriterSize(f, 1<<16)
	if err := write(buf); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// Replace writes a file beside path and renames it: at any moment path holds
// either what it held before or all that write has written.
func Replace(path string, write func(io.Writer) error) error {
	if err := replaceFile(osDisk{}, path, write); err != nil {
		return fmt.Errorf("sink: write %s: %w", path, err)
	}
	return nil
}

// replaceFile writes beside path and renames: at any moment path holds either
// what it held before or all of the new content.
func replaceFile(d disk, path string, write func(io.Writer) error) error {
	tmp := path + tmpSuffix
	err := writeFile(d, tmp, write)
	if err == nil {
		err = d.Rename(tmp, path)
	}
	if err != nil {
		d.RemoveAll(tmp) // the first error says more than this one could
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

// writes returns the writer function of content that is at hand.
func writes(content []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
}
