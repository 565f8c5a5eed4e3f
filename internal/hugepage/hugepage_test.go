package hugepage

import (
	"bytes"
	"testing"
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
