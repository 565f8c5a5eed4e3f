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
	misses int  // in a row that the kept ones did not serve
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
		r.misses = 0
		return b
	}
	// A shorter record is most often an epoch's last one, behind which others like
	// those before come. After some, and at once if it is longer, the stream has come
	// to records of another size.
	r.misses++
	longer := func(b []byte) bool { return len(b) >= size }
	if r.misses > r.room() || !slices.ContainsFunc(r.kept, longer) {
		r.freeKept()
	}
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
	switch {
	case r.closed:
		r.Allocator.Free(b)
	case len(r.kept) < r.room():
		r.kept = append(r.kept, b)
	default:
		if i := shortest(r.kept); len(r.kept[i]) < len(b) {
			b, r.kept[i] = r.kept[i], b
		}
		r.Allocator.Free(b)
	}
}

// room is how many blocks are kept at most.
func (r *recycler) room() int { return keptRecords * max(r.blocks, 1) }

// shortest returns the place of the shortest block.
func shortest(blocks [][]byte) int {
	at := 0
	for i, b := range blocks {
		if len(b) < len(blocks[at]) {
			at = i
		}
	}
	return at
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
