package parquetshard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"clpipe/ingest/fragment"
	"clpipe/ingest/parquetshard"
	"clpipe/ingest/shard"
)

// memory is a file in memory.
type memory []byte

func (m memory) Name() string { return "x.parquet" }
func (m memory) Size() int64  { return int64(len(m)) }
func (m memory) Open(_ context.Context, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[offset:])), nil
}
func (m memory) OpenRange(_ context.Context, from, to int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[from:to])), nil
}

// checkPlace holds an image to the bytes of the file that are said to hold it.
func checkPlace(t *testing.T, body []byte, s *shard.Sample) {
	t.Helper()
	image := bytes.Clone(body[s.At:][:s.StoredSize()])
	if s.Packed > 0 {
		packed := image
		image = make([]byte, s.Size)
		if err := fragment.Unpack(image, packed, int(s.Lead)); err != nil {
			t.Fatalf("sample %s: %v", s.Key, err)
		}
	}
	if !bytes.Equal(image, s.Image) {
		t.Fatalf("sample %s is not the %d bytes at %d", s.Key, s.StoredSize(), s.At)
	}
}

// FuzzParquet reads any bytes as a file: it ends, with samples, damage or both.
func FuzzParquet(f *testing.F) {
	names, err := filepath.Glob("../testdata/tables/*.parquet")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 64<<10 {
			t.Skip("long")
		}
		r, err := parquetshard.New(memory(body), 1<<20).Open(t.Context())
		for range 10_000 { // a run-length may stand for as many empty rows as a file can have
			if err != nil {
				break
			}
			var s shard.Sample
			if s, err = r.Next(); err == nil && s.Damage == nil && (len(s.Image) == 0 || s.Key == "") {
				t.Fatalf("got a sample %+v", s)
			}
			if err == nil && s.Damage == nil && s.At >= 0 {
				checkPlace(t, body, &s)
			}
		}
		if r != nil {
			r.Close()
		}
		if damage := (*shard.Damage)(nil); err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &damage) {
			t.Fatalf("got %v, want a *shard.Damage", err)
		}
	})
}
