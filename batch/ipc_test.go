package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestClosedReaders closes a reader before and while it reads.
func TestClosedReaders(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	whole := streams(t)["ours"]

	r := batch.NewIPCReader("early", bytes.NewReader(whole), mem)
	r.Close()
	r.Close()
	if _, err := r.Schema(t.Context()); !errors.Is(err, batch.ErrClosed) {
		t.Errorf("schema of a closed reader: got error %v, want %v", err, batch.ErrClosed)
	}
	if _, err := r.Read(t.Context()); !errors.Is(err, batch.ErrClosed) {
		t.Errorf("record of a closed reader: got error %v, want %v", err, batch.ErrClosed)
	}

	r = batch.NewIPCReader("midway", bytes.NewReader(whole), mem)
	rec, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec.Release()
	r.Close()
	for err == nil { // one record may still be on its way
		if rec, err = r.Read(t.Context()); err == nil {
			rec.Release()
		}
	}
	if !errors.Is(err, batch.ErrClosed) {
		t.Errorf("closed midway: got error %v, want %v", err, batch.ErrClosed)
	}
}

// TestReadIsCancelled waits for a source that says nothing.
func TestReadIsCancelled(t *testing.T) {
	pr, pw := io.Pipe()
	r := batch.NewIPCReader("silent", pr, memory.DefaultAllocator)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
	r.Close()
	pw.Close() // ends the read under way
	if _, err := r.Schema(t.Context()); !errors.Is(err, batch.ErrNoEndMarker) {
		t.Errorf("got error %v, want %v", err, batch.ErrNoEndMarker)
	}
}

// TestConsumerHasLeft writes to a pipe that nobody reads any more.
func TestConsumerHasLeft(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	pr, pw := io.Pipe()
	pr.Close()
	w := batch.NewIPCWriter("pipe", pw, mem)
	if err := batch.Run(t.Context(), 1, nil, w, pairs(mem, 10, 1), relay); err != nil {
		t.Errorf("a closed pipe ends the stages with %v, want no error", err)
	}
	if err := w.Finish(); err != batch.ErrClosed {
		t.Errorf("finish: got error %v, want %v", err, batch.ErrClosed)
	}
}

// TestFailedWriteStaysFailed lets a disk fill up in the middle of a record:
// no end marker follows.
func TestFailedWriteStaysFailed(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	disk := &fullDisk{left: 2000}
	w := batch.NewIPCWriter("disk", disk, mem)
	err := batch.Run(t.Context(), 1, nil, w, pairs(mem, 100, 1))
	if !errors.Is(err, errFull) {
		t.Fatalf("got error %v, want %v", err, errFull)
	}
	disk.left = 1 << 20 // there is room again
	if err := w.Finish(); !errors.Is(err, errFull) {
		t.Errorf("finish: got error %v, want %v", err, errFull)
	}
	if err := read(t, mem, bytes.NewReader(disk.Bytes()), view); !errors.Is(err, batch.ErrNoEndMarker) {
		t.Errorf("what was written reads with error %v, want %v", err, batch.ErrNoEndMarker)
	}
}

var errFull = errors.New("no space left on device")

type fullDisk struct {
	bytes.Buffer
	left int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.left)
	d.left -= n
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// TestCompressedStreams writes with each of Arrow's codecs what is read again.
func TestCompressedStreams(t *testing.T) {
	for name, opts := range map[string][]ipc.Option{"plain": nil, "zstd": {ipc.WithZstd()}, "lz4": {ipc.WithLZ4()}} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		var whole bytes.Buffer
		w := batch.NewIPCWriter("buffer", &whole, mem, opts...)
		if err := batch.Run(t.Context(), 1, nil, w, pairs(mem, 5, 40)); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		var got, want []string
		r := batch.NewIPCReader("buffer", &whole, mem)
		if err := batch.Run(t.Context(), 1, r, nil, rows(&got)); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if err := batch.Run(t.Context(), 1, nil, nil, pairs(mem, 5, 40), rows(&want)); err != nil {
			t.Fatal(err)
		}
		if len(got) != 200 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %d rows come back, not as the 200 that were written", name, len(got))
		}
		mem.AssertSize(t, 0)
	}
}

// TestEmptyStream has a schema and no record.
func TestEmptyStream(t *testing.T) {
	var whole bytes.Buffer
	w := batch.NewIPCWriter("buffer", &whole, memory.DefaultAllocator)
	if err := w.Open(t.Context(), batch.ImagesSchema(nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	records := 0
	err := read(t, memory.DefaultAllocator, &whole, func(*arrow.Schema, arrow.Record) error { records++; return nil })
	if err != nil || records != 0 {
		t.Errorf("%d records, error %v, want none", records, err)
	}
}
