package batch

import (
	"bytes"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestRecycler gives blocks back, before and after the end, and gets them again
// where their size is about right.
func TestRecycler(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	r := &recycler{Allocator: mem}
	var blocks [keptRecords + 1][]byte
	for i := range blocks {
		blocks[i] = r.Allocate(1024)
	}
	for _, b := range blocks {
		r.Free(b) // the last finds no room
	}
	again := r.Allocate(512)
	if &again[0] != &blocks[0][0] || len(again) != 1024 {
		t.Errorf("got %d bytes elsewhere, want the block of 1024 given back first", len(again))
	}
	r.Free(again)
	for _, size := range []int{511, 1025} {
		if b := r.Allocate(size); len(b) != size {
			t.Errorf("got a block of %d bytes for %d: it is none of those kept that is right", len(b), size)
		} else {
			r.Allocator.Free(b)
		}
	}
	late := r.Allocate(2048)
	r.close()
	r.Free(late)
}

// TestRecyclerAtTheEndOfAnEpoch asks for a short block among long ones, which are
// there again afterwards; short ones alone take their place.
func TestRecyclerAtTheEndOfAnEpoch(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	r := &recycler{Allocator: mem}
	defer r.close()
	long := r.Allocate(1024)
	r.Free(long)
	for range keptRecords {
		r.Free(r.Allocate(100))
	}
	again := r.Allocate(1000)
	if &again[0] != &long[0] {
		t.Error("the long block is gone behind short ones")
	}
	r.Free(again)
}

// TestRecycledRecords reads a stream whose records are released one after the
// other: two blocks hold all of them.
func TestRecycledRecords(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := PairsSchema(nil, 2, 16, 16, 3)
	var stream bytes.Buffer
	w := NewIPCWriter("buffer", &stream, mem)
	if err := w.Open(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	const records, rows = 20, 8
	for n := range records {
		b := NewPairsBuilder(mem, schema, rows)
		for i := range rows {
			b.View(0, i)[0], b.View(1, i)[0] = byte(n), byte(n+1)
		}
		if err := w.Write(t.Context(), b.NewRecord(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	counted := &countingAllocator{Allocator: mem}
	r := NewIPCReader("buffer", &stream, counted)
	r.Recycle()
	for n := range records {
		rec, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := NewPairs(rec)
		if err != nil {
			t.Fatal(err)
		}
		if pairs.Anchor[0] != byte(n) || pairs.Positive[0] != byte(n+1) {
			t.Errorf("record %d begins with %d and %d, want %d and %d", n, pairs.Anchor[0], pairs.Positive[0], n, n+1)
		}
		rec.Release()
	}
	if _, err := r.Read(t.Context()); err == nil {
		t.Error("a record more than was written")
	}
	// One is looked at, another waits to be handed over.
	if counted.blocks > 2 {
		t.Errorf("%d blocks for %d records, want 2", counted.blocks, records)
	}
}

type countingAllocator struct {
	memory.Allocator
	blocks int
}

func (c *countingAllocator) Allocate(size int) []byte {
	c.blocks++
	return c.Allocator.Allocate(size)
}
