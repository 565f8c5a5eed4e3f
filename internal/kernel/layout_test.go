package kernel

import (
	"testing"
	"unsafe"
)

func TestPadC(t *testing.T) {
	for c, want := range map[int]int{1: 4, 3: 4, 4: 4, 5: 16, 16: 16, 17: 32, 64: 64, 65: 80} {
		if got := PadC(c); got != want {
			t.Errorf("PadC(%d): got %d, want %d", c, got, want)
		}
	}
	if got := ActLen(2, 3, 5, 7); got != (2*3*5+1)*16 {
		t.Errorf("ActLen(2,3,5,7): got %d, want %d", got, (2*3*5+1)*16)
	}
}

func TestAllocIsAlignedAndZero(t *testing.T) {
	for n := range 200 {
		buf := Alloc(n)
		if len(buf) != n || cap(buf) != n {
			t.Fatalf("Alloc(%d): got length %d and capacity %d", n, len(buf), cap(buf))
		}
		for i, v := range buf {
			if v != 0 {
				t.Fatalf("Alloc(%d): element %d is %g", n, i, v)
			}
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(buf))); n > 0 && at%64 != 0 {
			t.Errorf("Alloc(%d): got address %#x, want a multiple of 64", n, at)
		}
	}
}
