package tarshard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing is how the bytes of an archive are stored.
type packing int

const (
	plain packing = iota
	gzipped
	zstandard
	bzipped // known only to be named
	xzipped
)

// magicBytes is how much of a shard packingOf looks at.
const magicBytes = 6

func packingOf(magic []byte) packing {
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		return gzipped
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		return zstandard
	case len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte("\x2a\x4d\x18")):
		return zstandard // begins with a skippable frame: RFC 8878, section 3.1.2
	case bytes.HasPrefix(magic, []byte("BZh")):
		return bzipped
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return xzipped
	}
	return plain
}

// packingByName is what the ending of a name says; the bytes may say otherwise.
func packingByName(name string) packing {
	switch strings.ToLower(path.Ext(name)) {
	case ".gz", ".tgz":
		return gzipped
	case ".zst":
		return zstandard
	}
	return plain
}

// FormatByName is what the ending of a name says: "tar", "tar.gz" or "tar.zst".
func FormatByName(name string) string { return packingByName(name).format() }

// FormatOf is what the first bytes say.
func FormatOf(magic []byte) string { return packingOf(magic).format() }

func (p packing) format() string {
	return [...]string{"tar", "tar.gz", "tar.zst", "tar.bz2", "tar.xz"}[p]
}

// unpack returns the archive inside src and a function that frees memory.
func (p packing) unpack(src io.Reader) (io.Reader, func(), error) {
	switch p {
	case plain:
		return src, func() {}, nil
	case gzipped:
		z, err := gzip.NewReader(bufio.NewReaderSize(src, mostFeed)) // which it reads byte by byte
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return labelled{z, "gzip"}, func() { z.Close() }, nil
	case zstandard:
		// One goroutine: shards are read side by side already. Windows over
		// 128 MiB need the sender's "long" mode and the reader's memory.
		z, err := zstd.NewReader(bufio.NewReaderSize(src, mostFeed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return labelled{z, "zstd"}, z.Close, nil
	}
	return nil, nil, fmt.Errorf("unsupported packing %s, want tar, tar.gz or tar.zst", p.format())
}

// labelled names the format in the errors of a reader.
type labelled struct {
	src    io.Reader
	format string
}

func (l labelled) Read(p []byte) (int, error) {
	n, err := l.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", l.format, err)
	}
	return n, err
}
