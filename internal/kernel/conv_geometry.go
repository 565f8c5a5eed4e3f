package kernel

// An image is the shape of an activation: n images [h,w,c] at a channel stride
// of PadC(c).
type image struct{ n, h, w, c int }

func (m image) stride() int { return PadC(m.c) }

// zeroPixel returns the offset of the zero pixel behind the image.
func (m image) zeroPixel() int { return m.n * m.h * m.w * m.stride() }

// pixel returns the offset of pixel (h,w) of image n, that of the zero pixel
// where it lies outside.
func (m image) pixel(n, h, w int) int {
	if uint(h) >= uint(m.h) || uint(w) >= uint(m.w) {
		return m.zeroPixel()
	}
	return ((n*m.h+h)*m.w + w) * m.stride()
}

// A sweep is a convolution seen from its result, forward and backward alike:
// every pixel of dst is a sum over taps of pixels of src. Backward through a
// stride, pixels of dst differ in the taps that reach them by their place
// modulo the stride; the pixels of a place are a class with taps of its own.
type sweep struct {
	src, dst image
	srcStep  int // pixels of src from one pixel of a class to the next
	dstStep  int // pixels of dst from one pixel of a class to the next
	classes  []class
	taps     int
	weights  panelSource // of a tap
}

// A class is the pixels (row+a*dstStep, col+b*dstStep) of dst, a < h, b < w.
type class struct {
	row, col int
	h, w     int
	taps     []tap
	firstTap int // place of taps[0] among the taps of all classes
}

// A tap is the product of the pixel of src at (a*srcStep+dh, b*srcStep+dw)
// with the weights [C,O] number index.
type tap struct{ dh, dw, index int }

// A reach is how far taps lie from the pixel of the same place.
type reach struct{ top, bottom, left, right int }

// include widens the reach to that of taps side by side, of which t is the first.
func (r *reach) include(t tap, taps int) {
	r.top, r.bottom = min(r.top, t.dh), max(r.bottom, t.dh)
	r.left, r.right = min(r.left, t.dw), max(r.right, t.dw+taps-1)
}

// inside tells whether all taps of pixel (h,w) lie in the image.
func (r *reach) inside(m image, h, w int) bool {
	return h+r.top >= 0 && h+r.bottom < m.h && w+r.left >= 0 && w+r.right < m.w
}

// forward returns the sweep that computes y from x.
func (s ConvShape) forward() sweep {
	cl := class{h: s.outH(), w: s.outW()}
	for kh := range s.KH {
		for kw := range s.KW {
			cl.taps = append(cl.taps, tap{kh - s.Pad, kw - s.Pad, kh*s.KW + kw})
		}
	}
	return sweep{
		src:     image{s.N, s.H, s.W, s.C},
		dst:     image{s.N, s.outH(), s.outW(), s.O},
		srcStep: s.Stride,
		dstStep: 1,
		classes: []class{cl},
		taps:    len(cl.taps),
		weights: panelSource{depth: s.C, width: s.O, stride: s.O},
	}
}

// backward returns the sweep that computes dx from dy. Pixel h of x takes part
// in row (h+Pad-kh)/Stride of y for every kh that makes this whole.
func (s ConvShape) backward() sweep {
	sw := sweep{
		src:     image{s.N, s.outH(), s.outW(), s.O},
		dst:     image{s.N, s.H, s.W, s.C},
		srcStep: 1,
		dstStep: s.Stride,
		weights: panelSource{depth: s.O, width: s.C, stride: s.O, transposed: true},
	}
	for row := range min(s.Stride, s.H) {
		for col := range min(s.Stride, s.W) {
			cl := class{
				row: row, col: col,
				h: ceilDiv(s.H-row, s.Stride), w: ceilDiv(s.W-col, s.Stride),
				firstTap: sw.taps,
			}
			for kh := range s.KH {
				for kw := range s.KW {
					dh, dw := row+s.Pad-kh, col+s.Pad-kw
					if dh%s.Stride == 0 && dw%s.Stride == 0 {
						cl.taps = append(cl.taps, tap{dh / s.Stride, dw / s.Stride, kh*s.KW + kw})
					}
				}
			}
			sw.taps += len(cl.taps)
			sw.classes = append(sw.classes, cl)
		}
	}
	return sw
}
