package hugepage

import (
	"bytes"
	"testing"
	"unsafe"
)

// TestAdviseKeepsContents passes blocks of every kind of length and place: none
// is changed, and what is no whole page is left alone.
func TestAdviseKeepsContents(t *testing.T) {
	memory := make([]byte, 4*Size)
	for i := range memory {
		memory[i] = byte(i >> 12)
	}
	want := bytes.Clone(memory)
	for _, cut := range [][2]int{{0, 0}, {0, 1}, {1, Size}, {0, worth}, {4095, len(memory)}, {64, len(memory) - 64}, {0, len(memory)}} {
		Advise(memory[cut[0]:cut[1]])
	}
	if !bytes.Equal(memory, want) {
		t.Error("contents have changed")
	}
	Advise(nil)
}

func TestMakeBeginsAtAHugePage(t *testing.T) {
	for _, n := range []int{Size, 3 * Size} {
		block := Make(n)
		if len(block) != n || cap(block) != n || uintptr(unsafe.Pointer(&block[0]))%Size != 0 {
			t.Errorf("got %d bytes of %d at %p, want %d at a multiple of %d", len(block), cap(block), &block[0], n, Size)
		}
	}
}
