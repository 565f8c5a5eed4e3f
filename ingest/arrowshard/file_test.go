package arrowshard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest/arrowshard"
	"clpipe/ingest/shard"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
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

// waiting is a file of which no more comes than the bytes it has, nor its end.
type waiting struct{ memory }

func (w waiting) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(w.memory[offset:]), ends{ctx})), nil
}

type ends struct{ ctx context.Context }

func (e ends) Read([]byte) (int, error) {
	<-e.ctx.Done()
	return 0, e.ctx.Err()
}

// TestWhatIsWrongIsSaidWhileReading opens a file without images, whose first
// record is still being read when that is found.
func TestWhatIsWrongIsSaidWhileReading(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(arrowmemory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(make([]int64, 1000), nil)
	rec := b.NewRecord()
	defer rec.Release()
	var body bytes.Buffer
	w := ipc.NewWriter(&body, ipc.WithSchema(schema))
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	_, err := arrowshard.New(waiting{body.Bytes()[:body.Len()-4000]}, 1<<20).Open(t.Context())
	if damage := (*shard.Damage)(nil); !errors.As(err, &damage) || !strings.Contains(err.Error(), "no column of images") {
		t.Errorf("got %v, want that there are no images", err)
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

// TestSamplesHoldNoRecords keeps samples without their images, as one that waits in a
// shuffle buffer beside smaller ones of its record does.
func TestSamplesHoldNoRecords(t *testing.T) {
	const records, image = 64, 512 << 10
	b := batch.NewEncodedBuilder(arrowmemory.DefaultAllocator, batch.EncodedSchema(nil))
	defer b.Release()
	var body bytes.Buffer
	w := ipc.NewWriter(&body, ipc.WithSchema(batch.EncodedSchema(nil)))
	for i := range records {
		b.Append(batch.Row{ID: fmt.Sprint("x/", i)}, make([]byte, image))
		rec := b.NewRecord()
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	held := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	r, err := arrowshard.New(memory(body.Bytes()), 1<<20).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var kept []shard.Sample
	for range records {
		s, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		s.Recycle()
		kept = append(kept, s)
	}
	if more := held() - before; more > records*image/4 {
		t.Errorf("%d samples without images hold %d bytes of %d", len(kept), more, records*image)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(&body)
}
