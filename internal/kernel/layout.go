package kernel

import (
	"unsafe"

	"clpipe/internal/hugepage"
)

const (
	// lanes is the width of a weight panel and the unit channels are padded
	// to: one AVX-512 register, two AVX registers.
	lanes = 16
	// alignment of every buffer in bytes: a cache line, an AVX-512 register.
	alignment = 64
)

// PadC returns the channel stride of an activation with c channels: 4 up to
// four channels (images), else c rounded up to a multiple of 16. The channels
// from c to the stride are zero.
func PadC(c int) int {
	if c <= 4 {
		return 4
	}
	return roundUp(c, lanes)
}

// ActLen returns the floats of the buffer of an activation [n,h,w,c]: its
// pixels at stride PadC(c), NHWC, and after them one zero pixel, which taps
// that fall into the padding read. No kernel writes the zero pixel.
func ActLen(n, h, w, c int) int { return (n*h*w + 1) * PadC(c) }

// Alloc returns n zeroed floats that begin on a 64-byte boundary, so that no
// vector load of a kernel crosses a cache line, and lie in huge pages where
// they are many.
func Alloc(n int) []float32 {
	buf := make([]float32, n+alignment/4-1)
	hugepage.Advise(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(buf))), 4*len(buf)))
	skip := 0
	if over := uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % alignment; over != 0 {
		skip = int(alignment-over) / 4
	}
	return buf[skip : skip+n : skip+n]
}

func roundUp(n, unit int) int { return ceilDiv(n, unit) * unit }

func ceilDiv(n, d int) int { return (n + d - 1) / d }
