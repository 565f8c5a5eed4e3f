package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// PixelMapShape moves whole pixels of an NHWC activation [N,H,W,PadC(C)]: pixel
// (i,j) of the result [N,len(Rows),len(Cols),PadC(C)] is pixel (Rows[i],Cols[j])
// of the operand, zero where one of the two is negative. Padding, cropping and
// flipping are such maps.
type PixelMapShape struct {
	N, H, W, C int
	Rows, Cols []int
}

// Forward sets y to the pixels of x that the map names.
func (s PixelMapShape) Forward(y, x []float32) []par.Phase {
	s.check("pixel map", len(y), len(x))
	cp, rows, cols := PadC(s.C), len(s.Rows), len(s.Cols)
	return []par.Phase{{Tasks: s.N * rows, Run: func(_, t int) {
		n, i := t/rows, s.Rows[t%rows]
		line := y[t*cols*cp : (t+1)*cols*cp]
		for j, w := range s.Cols {
			dst := line[j*cp : (j+1)*cp]
			if i < 0 || w < 0 {
				clear(dst)
				continue
			}
			copy(dst, x[((n*s.H+i)*s.W+w)*cp:])
		}
	}}}
}

// Backward sends every pixel of dy back to where it came from in dx, which is
// added to if add is set, else overwritten. A pixel that was taken several
// times receives the sum, in the order of the result.
func (s PixelMapShape) Backward(dx, dy []float32, add bool) []par.Phase {
	s.check("pixel map backward", len(dy), len(dx))
	cp, rows, cols, sum := PadC(s.C), len(s.Rows), len(s.Cols), active.vector.add
	// Pixels may be taken several times, so a sample is one task.
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		image := dx[n*s.H*s.W*cp : (n+1)*s.H*s.W*cp]
		if !add {
			clear(image)
		}
		for i, h := range s.Rows {
			for j, w := range s.Cols {
				if h < 0 || w < 0 {
					continue
				}
				at := ((n*rows+i)*cols + j) * cp
				sum(image[(h*s.W+w)*cp:][:cp], dy[at:at+cp])
			}
		}
	}}}
}

func (s PixelMapShape) check(op string, result, operand int) {
	ok := s.N > 0 && s.H > 0 && s.W > 0 && s.C > 0 && len(s.Rows) > 0 && len(s.Cols) > 0
	for _, h := range s.Rows {
		ok = ok && h < s.H
	}
	for _, w := range s.Cols {
		ok = ok && w < s.W
	}
	if !ok {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want positive sizes and a map into the image", op, s))
	}
	checkLen(op, s, "result", result, s.N*len(s.Rows)*len(s.Cols)*PadC(s.C))
	checkLen(op, s, "operand", operand, s.N*s.H*s.W*PadC(s.C))
}

// ChannelMapShape changes the channel count of rows [Rows,PadC(In)] to
// [Rows,PadC(Out)]: channels past In are zero, those past Out are left out.
type ChannelMapShape struct{ Rows, In, Out int }

// Forward sets y to x with the channels of the result.
func (s ChannelMapShape) Forward(y, x []float32) []par.Phase {
	return s.move("channel map", y, x, PadC(s.Out), PadC(s.In), false)
}

// Backward is Forward the other way, into dx, which is added to if add is set.
func (s ChannelMapShape) Backward(dx, dy []float32, add bool) []par.Phase {
	return s.move("channel map backward", dx, dy, PadC(s.In), PadC(s.Out), add)
}

func (s ChannelMapShape) move(op string, dst, src []float32, to, from int, add bool) []par.Phase {
	checkLen(op, s, "destination", len(dst), s.Rows*to)
	checkLen(op, s, "source", len(src), s.Rows*from)
	shared, strip := min(s.In, s.Out), max(1, vectorChunk/max(to, from))
	return []par.Phase{{Tasks: ceilDiv(s.Rows, strip), Run: func(_, t int) {
		for r := t * strip; r < min((t+1)*strip, s.Rows); r++ {
			row, old := dst[r*to:(r+1)*to], src[r*from:r*from+shared]
			if add {
				for c, v := range old {
					row[c] += v
				}
				continue
			}
			clear(row[copy(row, old):])
		}
	}}}
}

// PatchesShape cuts an NHWC activation [N,H,W,PadC(C)] into square patches of
// Size pixels, Stride apart, which may overlap: [N·G·G',Size,Size,PadC(C)] in
// the order of reading.
type PatchesShape struct{ N, H, W, C, Size, Stride int }

// Grid returns the number of patches below and beside one another.
func (s PatchesShape) Grid() (rows, cols int) {
	return (s.H-s.Size)/s.Stride + 1, (s.W-s.Size)/s.Stride + 1
}

// lines calls f for every line of a patch with its place there and in the image.
func (s PatchesShape) lines(patch int, f func(patch, image int)) {
	rows, cols := s.Grid()
	n, top, left := patch/(rows*cols), patch/cols%rows*s.Stride, patch%cols*s.Stride
	for i := range s.Size {
		f((patch*s.Size+i)*s.Size*PadC(s.C), ((n*s.H+top+i)*s.W+left)*PadC(s.C))
	}
}

// Forward sets y to the patches of x.
func (s PatchesShape) Forward(y, x []float32) []par.Phase {
	s.check("patches", len(y), len(x))
	rows, cols := s.Grid()
	width := s.Size * PadC(s.C)
	return []par.Phase{{Tasks: s.N * rows * cols, Run: func(_, p int) {
		s.lines(p, func(patch, image int) { copy(y[patch:patch+width], x[image:]) })
	}}}
}

// Backward adds up, for every pixel of dx, the patches it is in, in the order of
// reading; with add set on top of what dx holds.
func (s PatchesShape) Backward(dx, dy []float32, add bool) []par.Phase {
	s.check("patches backward", len(dy), len(dx))
	rows, cols := s.Grid()
	width, size, sum := s.Size*PadC(s.C), s.H*s.W*PadC(s.C), active.vector.add
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		if !add {
			clear(dx[n*size : (n+1)*size])
		}
		for p := n * rows * cols; p < (n+1)*rows*cols; p++ {
			s.lines(p, func(patch, image int) { sum(dx[image:image+width], dy[patch:patch+width]) })
		}
	}}}
}

func (s PatchesShape) check(op string, result, operand int) {
	if s.N < 1 || s.C < 1 || s.Size < 1 || s.Stride < 1 || s.Size > min(s.H, s.W) {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want positive sizes and a patch inside the image", op, s))
	}
	rows, cols := s.Grid()
	checkLen(op, s, "result", result, s.N*rows*cols*s.Size*s.Size*PadC(s.C))
	checkLen(op, s, "operand", operand, s.N*s.H*s.W*PadC(s.C))
}
