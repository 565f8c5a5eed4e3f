package batch

import (
	"bytes"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestFilesLieInTheMemoryOfOthers builds records of about one size, each released
// before the next: a few blocks hold all of them.
func TestFilesLieInTheMemoryOfOthers(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	counted := &countingAllocator{Allocator: mem}
	b := newFilesBuilder(counted)
	defer b.release()
	file := make([]byte, 1000)
	for n := range 50 {
		counted.blocks = 0
		files := 990 + n*7%11
		b.reserve(files * len(file))
		for i := range files {
			file[0] = byte(i)
			b.append(file)
		}
		column := b.newArray()
		if column.Len() != files || b.len() != 0 {
			t.Fatalf("record %d: got %d files, %d left, want %d", n, column.Len(), b.len(), files)
		}
		column.Release()
		if want := 1; n > 0 && counted.blocks > want { // the offsets
			t.Errorf("record %d: %d blocks were allocated, want %d", n, counted.blocks, want)
		}
	}
}

// TestFilesGrow adds files nobody has said anything of.
func TestFilesGrow(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	b := newFilesBuilder(mem)
	defer b.release()
	for _, n := range []int{0, 1, 7, 300} {
		for i := range n {
			b.append(bytes.Repeat([]byte{byte(i)}, i))
		}
		column := b.newArray()
		files := column.(interface{ Value(int) []byte })
		for i := range n {
			if !bytes.Equal(files.Value(i), bytes.Repeat([]byte{byte(i)}, i)) {
				t.Errorf("file %d of %d is another", i, n)
			}
		}
		column.Release()
	}
}
