package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// MaxPoolShape is a max-pooling of an NHWC activation [N,H,W,PadC(C)] over
// square windows, whose part outside the image does not compete (padding by
// -Inf). Pad is at most Kernel/2, Kernel at most 16.
type MaxPoolShape struct{ N, H, W, C, Kernel, Stride, Pad int }

// OutH is the height of the output, floor((H+2·Pad-Kernel)/Stride)+1.
func (s MaxPoolShape) OutH() int { return (s.H+2*s.Pad-s.Kernel)/s.Stride + 1 }

// OutW is the width of the output.
func (s MaxPoolShape) OutW() int { return (s.W+2*s.Pad-s.Kernel)/s.Stride + 1 }

// outLen is the number of floats of the output.
func (s MaxPoolShape) outLen() int { return s.N * s.OutH() * s.OutW() * PadC(s.C) }

// Forward sets y [N,OutH,OutW,Cp] to the windows' maxima and arg, of the same
// shape, to the place of the first of them in the window's row-major order. A
// NaN wins over any number.
func (s MaxPoolShape) Forward(y, x []float32, arg []uint8) []par.Phase {
	s.check("max pool")
	checkLen("max pool", s, "y", len(y), s.outLen())
	checkLen("max pool", s, "x", len(x), s.N*s.H*s.W*PadC(s.C))
	checkLen("max pool", s, "arg", len(arg), s.outLen())
	oh, ow, cp := s.OutH(), s.OutW(), PadC(s.C)
	k, pixels := poolFor(cp), s.pixelsOfWindows()
	return []par.Phase{{Tasks: s.N * oh, Run: func(_, t int) {
		image := x[t/oh*s.H*s.W*cp:][:s.H*s.W*cp]
		for j := range ow {
			off, here := pixels.of(t%oh*ow + j)
			out := (t*ow + j) * cp
			k.max(y[out:out+cp], arg[out:out+cp], image, off, here)
		}
	}}}
}

// Backward sends dy [N,OutH,OutW,Cp] to the places arg of dx [N,H,W,Cp], which
// is added to if add is set, else overwritten. dx must not overlap dy.
func (s MaxPoolShape) Backward(dx, dy []float32, arg []uint8, add bool) []par.Phase {
	s.check("max pool backward")
	checkLen("max pool backward", s, "dx", len(dx), s.N*s.H*s.W*PadC(s.C))
	checkLen("max pool backward", s, "dy", len(dy), s.outLen())
	checkLen("max pool backward", s, "arg", len(arg), s.outLen())
	oh, ow, cp := s.OutH(), s.OutW(), PadC(s.C)
	k, windows := poolFor(cp), s.windowsOfPixels()
	return []par.Phase{{Tasks: s.N * s.H, Run: func(_, t int) {
		image := t / s.H * oh * ow * cp
		for w := range s.W {
			off, here := windows.of(t%s.H*s.W + w)
			at := (t*s.W + w) * cp
			k.maxBackward(dx[at:at+cp], dy[image:][:oh*ow*cp], arg[image:][:oh*ow*cp], off, here, add)
		}
	}}}
}

// A poolTable lists, for every pixel of one side of a pooling, those of the
// other that it has to do with: their offsets in an image, and the place in the
// window at which the two meet.
type poolTable struct {
	end  []int // of the entries of each pixel
	off  []int
	here []int32
}

func (p *poolTable) of(pixel int) (off []int, here []int32) {
	from := 0
	if pixel > 0 {
		from = p.end[pixel-1]
	}
	return p.off[from:p.end[pixel]], p.here[from:p.end[pixel]]
}

// pixelsOfWindows lists the pixels of x in each window, row by row.
func (s MaxPoolShape) pixelsOfWindows() *poolTable {
	p := &poolTable{}
	for i := range s.OutH() {
		rows := s.window(i, s.H)
		for j := range s.OutW() {
			cols := s.window(j, s.W)
			for h := rows.lo; h < rows.hi; h++ {
				for w := cols.lo; w < cols.hi; w++ {
					p.off = append(p.off, (h*s.W+w)*PadC(s.C))
					p.here = append(p.here, int32((h-rows.origin)*s.Kernel+w-cols.origin))
				}
			}
			p.end = append(p.end, len(p.off))
		}
	}
	return p
}

// windowsOfPixels lists the windows that each pixel of x lies in, row by row.
func (s MaxPoolShape) windowsOfPixels() *poolTable {
	p := &poolTable{}
	for h := range s.H {
		top, bottom := s.reach(h, s.OutH())
		for w := range s.W {
			left, right := s.reach(w, s.OutW())
			for i := top; i < bottom; i++ {
				for j := left; j < right; j++ {
					p.off = append(p.off, (i*s.OutW()+j)*PadC(s.C))
					p.here = append(p.here, int32((h-i*s.Stride+s.Pad)*s.Kernel+w-j*s.Stride+s.Pad))
				}
			}
			p.end = append(p.end, len(p.off))
		}
	}
	return p
}

// reach returns the windows [lo,hi) of n along an axis that a pixel lies in.
func (s MaxPoolShape) reach(pixel, n int) (lo, hi int) {
	lo = max(0, ceilDiv(pixel+s.Pad-s.Kernel+1, s.Stride))
	return lo, min((pixel+s.Pad)/s.Stride+1, n)
}

// poolWindow is a window along one axis: where it begins, which is negative in
// the padding, and its part [lo,hi) inside the image.
type poolWindow struct{ origin, lo, hi int }

func (s MaxPoolShape) window(i, size int) poolWindow {
	origin := i*s.Stride - s.Pad
	return poolWindow{origin, max(origin, 0), min(origin+s.Kernel, size)}
}

func (s MaxPoolShape) check(op string) {
	if s.N < 1 || s.H < 1 || s.W < 1 || s.C < 1 || s.Stride < 1 || s.Kernel < 1 || s.Kernel > 16 ||
		s.Pad < 0 || s.Pad > s.Kernel/2 || s.H+2*s.Pad < s.Kernel || s.W+2*s.Pad < s.Kernel {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want positive sizes, kernel <= 16, pad <= kernel/2, a window inside the padded image", op, s))
	}
}

// AvgPoolShape is the global average pooling of [N,HW,PadC(C)] to [N,PadC(C)].
type AvgPoolShape struct{ N, HW, C int }

// Forward sets y [N,Cp] to the mean over the pixels of x [N,HW,Cp].
func (s AvgPoolShape) Forward(y, x []float32) []par.Phase {
	cp := PadC(s.C)
	checkLen("average pool", s, "y", len(y), s.N*cp)
	checkLen("average pool", s, "x", len(x), s.N*s.HW*cp)
	k, inv := columnsFor(cp), 1/float32(s.HW)
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		mean := y[n*cp : (n+1)*cp]
		k.sum(mean, x[n*s.HW*cp:(n+1)*s.HW*cp])
		for c := range mean {
			mean[c] *= inv
		}
	}}}
}

// Backward spreads dy/HW over the pixels of dx, which is added to if add is
// set, else overwritten.
func (s AvgPoolShape) Backward(dx, dy []float32, add bool) []par.Phase {
	cp := PadC(s.C)
	checkLen("average pool backward", s, "dx", len(dx), s.N*s.HW*cp)
	checkLen("average pool backward", s, "dy", len(dy), s.N*cp)
	inv := 1 / float32(s.HW)
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		grad := dy[n*cp : (n+1)*cp]
		for p := range s.HW {
			pixel := dx[(n*s.HW+p)*cp:][:cp]
			for c, g := range grad {
				if add {
					pixel[c] += g * inv
				} else {
					pixel[c] = g * inv
				}
			}
		}
	}}}
}
