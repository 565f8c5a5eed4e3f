package batch

import (
	"slices"
	"sync"

	"clpipe/internal/hugepage"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// keptRecords is how many records' blocks wait to be used again: a consumer may
// release a second record before the next has been begun.
const keptRecords = 2

// recycler is an allocator that keeps blocks given back for those that are asked
// for next. The records of a stream are of about one size, and fresh memory,
// which the system zeroes page by page, costs as much as reading it full.
type recycler struct {
	memory.Allocator
	blocks int // of a record, 0: 1
	mu     sync.Mutex
	kept   [][]byte
	closed bool // nothing will be asked for any more
}

// Allocate implements memory.Allocator. The block may be longer than size, at
// most twice, and holds what it held before.
func (r *recycler) Allocate(size int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	fits := func(b []byte) bool { return len(b)/2 <= size && size <= len(b) }
	if i := slices.IndexFunc(r.kept, fits); i >= 0 {
		b := r.kept[i]
		r.kept = slices.Delete(r.kept, i, i+1)
		return b
	}
	r.freeKept() // the stream has come to records of another size
	b := r.Allocator.Allocate(size)
	hugepage.Advise(b)
	return b
}

// Free implements memory.Allocator. It is called by whoever releases a record
// last, perhaps after close.
func (r *recycler) Free(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if poison {
		for i := range b {
			b[i] = 0xa5
		}
	}
	if r.closed || len(r.kept) >= keptRecords*max(r.blocks, 1) {
		r.Allocator.Free(b)
		return
	}
	r.kept = append(r.kept, b)
}

// close gives back what is kept.
func (r *recycler) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.freeKept()
}

func (r *recycler) freeKept() {
	for i, b := range r.kept {
		r.Allocator.Free(b)
		r.kept[i] = nil
	}
	r.kept = r.kept[:0]
}
