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
	return []par.Phase{{Tasks: s.N * oh, Run: func(_, t int) {
		image := x[t/oh*s.H*s.W*cp:][:s.H*s.W*cp]
		rows := s.window(t%oh, s.H)
		for j := range ow {
			cols := s.window(j, s.W)
			out := (t*ow + j) * cp
			best, place := y[out:out+cp], arg[out:out+cp]
			for h := rows.lo; h < rows.hi; h++ {
				for w := cols.lo; w < cols.hi; w++ {
					here := uint8((h-rows.origin)*s.Kernel + w - cols.origin)
					pixel := image[(h*s.W+w)*cp:][:cp]
					if h == rows.lo && w == cols.lo {
						copy(best, pixel)
						for c := range place {
							place[c] = here
						}
						continue
					}
					maxPixel(best, place, pixel, here)
				}
			}
		}
	}}}
}

// maxPixel takes into best the channels of pixel that exceed it.
func maxPixel(best []float32, place []uint8, pixel []float32, here uint8) {
	place, pixel = place[:len(best)], pixel[:len(best)]
	for c, v := range pixel {
		if v > best[c] || (v != v && best[c] == best[c]) {
			best[c], place[c] = v, here
		}
	}
}

// Backward sends dy [N,OutH,OutW,Cp] to the places arg of dx [N,H,W,Cp], which
// is added to if add is set, else overwritten. dx must not overlap dy.
func (s MaxPoolShape) Backward(dx, dy []float32, arg []uint8, add bool) []par.Phase {
	s.check("max pool backward")
	checkLen("max pool backward", s, "dx", len(dx), s.N*s.H*s.W*PadC(s.C))
	checkLen("max pool backward", s, "dy", len(dy), s.outLen())
	checkLen("max pool backward", s, "arg", len(arg), s.outLen())
	oh, ow, cp := s.OutH(), s.OutW(), PadC(s.C)
	// Windows overlap, so a sample is one task.
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		image := dx[n*s.H*s.W*cp:][:s.H*s.W*cp]
		if !add {
			clear(image)
		}
		for i := range oh {
			top := s.window(i, s.H).origin
			for j := range ow {
				left := s.window(j, s.W).origin
				at := ((n*oh+i)*ow + j) * cp
				place := arg[at : at+cp]
				for c, g := range dy[at : at+cp] {
					h, w := top+int(place[c])/s.Kernel, left+int(place[c])%s.Kernel
					image[(h*s.W+w)*cp+c] += g
				}
			}
		}
	}}}
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
