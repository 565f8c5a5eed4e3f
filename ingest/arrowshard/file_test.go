package arrowshard_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"clpipe/batch"
	"clpipe/ingest/arrowshard"
	"clpipe/ingest/shard"

	"github.com/apache/arrow/go/v15/arrow/ipc"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"
)

// count reads a file through and returns how many samples it has.
func count(t *testing.T, body []byte) (n int, err error) {
	t.Helper()
	r, err := arrowshard.New(memory(body), 1<<20).Open(t.Context())
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		s, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		case s.Damage != nil:
			t.Fatalf("sample %d: %v", n, s.Damage)
		}
		n++
	}
}

// TestFileOfArrowForGo reads a file as Arrow's own writer for Go leaves it: its
// footer follows the last record without an end marker. One cut off anywhere is
// damaged all the same.
func TestFileOfArrowForGo(t *testing.T) {
	image := []byte("not looked at here")
	b := batch.NewEncodedBuilder(arrowmemory.DefaultAllocator, batch.EncodedSchema(nil))
	defer b.Release()
	path := filepath.Join(t.TempDir(), "x.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ipc.NewFileWriter(f, ipc.WithSchema(batch.EncodedSchema(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		b.Append(batch.Row{ID: fmt.Sprint("x/", i), Index: uint64(i)}, image)
		if i%3 == 2 {
			rec := b.NewRecord()
			if err := w.Write(rec); err != nil {
				t.Fatal(err)
			}
			rec.Release()
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) {
		t.Fatal("the file has an end marker, so this tests nothing")
	}
	if n, err := count(t, body); n != 6 || err != nil {
		t.Errorf("got %d samples and %v, want 6", n, err)
	}
	for end := len(body) - 1; end > 8; end -= 7 {
		if _, err := count(t, body[:end]); err == nil || !errors.As(err, new(*shard.Damage)) {
			t.Fatalf("the first %d of %d bytes: got %v, want damage", end, len(body), err)
		}
	}
}
