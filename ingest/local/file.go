// Package local finds and reads files of this machine: a directory, a file, a
// brace pattern as train-{000000..000009}.tar or a glob.
package local

import (
	"context"
	"io"
	"os"

	"clpipe/ingest/shard"
)

// File is a file of this machine's file system. It is a shard.RandomAccess.
type File struct {
	path string // for the operating system
	name string // below the root, with slashes
	size int64  // bytes, -1 if there was none
}

// Name returns the path below the root, with slashes.
func (f *File) Name() string { return f.name }

// Size returns the length in bytes at the time of listing, -1 of a file that was
// gone by then.
func (f *File) Size() int64 { return f.size }

// Open reads from offset on.
func (f *File) Open(_ context.Context, offset int64) (io.ReadCloser, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// OpenAt opens the file for reads at any offset.
func (f *File) OpenAt(context.Context) (shard.ReaderAtCloser, error) { return os.Open(f.path) }
