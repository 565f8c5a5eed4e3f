package tarshard_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"clpipe/ingest/shard"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// sequential is an object in memory that can only be read from an offset on.
// If failAt is not 0, the reader opened first fails there.
type sequential struct {
	body   []byte
	failAt int64
	opened *int // how often it was opened
}

var errFault = errors.New("the disk is on fire")

func (o sequential) Name() string { return "s.tar" }
func (o sequential) Size() int64  { return int64(len(o.body)) }

func (o sequential) Open(_ context.Context, offset int64) (io.ReadCloser, error) {
	*o.opened++
	if o.failAt > offset && *o.opened <= 2 { // New reads the beginning of the first
		return io.NopCloser(io.MultiReader(bytes.NewReader(o.body[offset:o.failAt]), faulty{})), nil
	}
	return io.NopCloser(bytes.NewReader(o.body[offset:])), nil
}

type faulty struct{}

func (faulty) Read([]byte) (int, error) { return 0, errFault }

// alwaysFaulty is an object whose every reader fails at byte 1500.
type alwaysFaulty struct{ sequential }

func (o alwaysFaulty) Open(_ context.Context, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(o.body[min(offset, 1500):1500]), faulty{})), nil
}

// random is an object in memory that can be read anywhere. The first reader
// opened fails at failAt and after if that is not 0.
type random struct{ sequential }

func (o random) OpenAt(context.Context) (shard.ReaderAtCloser, error) {
	*o.opened++
	return readerAt{bytes.NewReader(o.body), o.failAt * int64(2 / *o.opened)}, nil
}

type readerAt struct {
	*bytes.Reader
	failAt int64
}

func (readerAt) Close() error { return nil }

func (r readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if r.failAt > 0 && offset >= r.failAt {
		return 0, errFault
	}
	return r.Reader.ReadAt(p, offset)
}

// file is a member of an archive.
type file struct {
	name string
	body string
	kind byte // type flag, 0 for a file
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body)), Typeflag: f.kind}
		if f.kind == tar.TypeLink || f.kind == tar.TypeSymlink {
			h.Size, h.Linkname, f.body = 0, f.body, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func pack(t testing.TB, how string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&buf)
	if how == "zst" {
		var err error
		if w, err = zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// describe is a sample in one line.
func describe(s shard.Sample, image []byte) string {
	if s.Damage != nil {
		return fmt.Sprintf("%v", s.Damage)
	}
	label := "-"
	if s.HasLabel {
		label = fmt.Sprint(s.Label)
	}
	return fmt.Sprintf("%s@%d %s %q", s.Key, s.Offset, label, image)
}
