package encoder

import (
	"fmt"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

type (
	// AvgPool takes the mean of [K,K] windows that lie inside the image.
	AvgPool struct{ K, Stride int }
	// Pad surrounds an image with pixels: zeros, or with Reflect the image
	// mirrored at its outermost pixels, which are not repeated.
	Pad struct {
		Top, Bottom, Left, Right int
		Reflect                  bool
	}
	// CropRows leaves the first Top and the last Bottom rows out.
	CropRows struct{ Top, Bottom int }
	// FlipRows turns an image upside down.
	FlipRows struct{}
	// Transpose exchanges rows and columns.
	Transpose struct{}
	// Patches cuts an image into the square patches of Size pixels that lie
	// Stride apart, each a sample of its own.
	Patches struct{ Size, Stride int }
	// Twice makes two samples of each: itself, and itself again or, with Next,
	// the one after it in the batch, the first after the last. A vector is
	// repeated over [H,W]; 0 is the size it has.
	Twice struct {
		H, W int
		Next bool
	}
	// Repeat puts a vector at every pixel of [H,W].
	Repeat struct{ H, W int }
	// PadChannels adds channels of zeros up to Out.
	PadChannels struct{ Out int }
)

// A rearrangement is a linear operation without parameters: its backward pass
// needs neither operand nor result.
type rearrangement interface {
	Op
	// forward sets y, n samples of shape out, from x.
	forward(n int, in, out Shape, y, x []float32) []par.Phase
	// backward sets dx from dy, or adds to it if add is set.
	backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase
}

func (AvgPool) params([]Shape) []paramSpec     { return nil }
func (Pad) params([]Shape) []paramSpec         { return nil }
func (CropRows) params([]Shape) []paramSpec    { return nil }
func (FlipRows) params([]Shape) []paramSpec    { return nil }
func (Transpose) params([]Shape) []paramSpec   { return nil }
func (Patches) params([]Shape) []paramSpec     { return nil }
func (Twice) params([]Shape) []paramSpec       { return nil }
func (Repeat) params([]Shape) []paramSpec      { return nil }
func (PadChannels) params([]Shape) []paramSpec { return nil }

func (p AvgPool) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err != nil {
		return s, err
	}
	s.H, s.W = window(s.H, p.K, p.Stride, 0), window(s.W, p.K, p.Stride, 0)
	return s, fits(s, p.K)
}

func (p Pad) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	most := max(p.Top, p.Bottom, p.Left, p.Right)
	switch {
	case err != nil:
	case min(p.Top, p.Bottom, p.Left, p.Right) < 0:
		err = fmt.Errorf("padding %+v, want no negative number", p)
	case p.Reflect && most >= min(s.H, s.W):
		err = fmt.Errorf("a mirror of %d pixels needs more than that in the image", most)
	}
	s.H, s.W = s.H+p.Top+p.Bottom, s.W+p.Left+p.Right
	return s, err
}

func (c CropRows) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && (min(c.Top, c.Bottom) < 0 || c.Top+c.Bottom >= s.H) {
		err = fmt.Errorf("%d and %d rows cannot be left out of %d", c.Top, c.Bottom, s.H)
	}
	s.H -= c.Top + c.Bottom
	return s, err
}

func (FlipRows) infer(in []Shape) (Shape, error) { return one(in) }

func (Transpose) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	s.H, s.W = s.W, s.H
	return s, err
}

func (p Patches) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err != nil {
		return s, err
	}
	rows, cols := window(s.H, p.Size, p.Stride, 0), window(s.W, p.Size, p.Stride, 0)
	s = Shape{s.Per * rows * cols, p.Size, p.Size, s.C}
	if s.Per == 0 {
		err = fmt.Errorf("no patch of %d pixels lies inside", p.Size)
	}
	return s, err
}

func (t Twice) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && (t.H > 0 || t.W > 0) {
		if s.H != 1 || s.W != 1 || t.H < 1 || t.W < 1 {
			err = fmt.Errorf("only a vector can be repeated, over a positive size")
		}
		s.H, s.W = t.H, t.W
	}
	s.Per *= 2
	return s, err
}

func (r Repeat) infer(in []Shape) (Shape, error) {
	s, err := vector(in)
	if err == nil && (r.H < 1 || r.W < 1) {
		err = fmt.Errorf("want a positive size")
	}
	s.H, s.W = r.H, r.W
	return s, err
}

func (p PadChannels) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && p.Out < s.C {
		err = fmt.Errorf("%d channels, want at least the %d there are", p.Out, s.C)
	}
	s.C = p.Out
	return s, err
}

func (p AvgPool) shape(n int, in Shape) kernel.AvgWindowShape {
	return kernel.AvgWindowShape{N: n, H: in.H, W: in.W, C: in.C, Kernel: p.K, Stride: p.Stride}
}

func (p AvgPool) forward(n int, in, _ Shape, y, x []float32) []par.Phase {
	return p.shape(n, in).Forward(y, x)
}

func (p AvgPool) backward(n int, in, _ Shape, dx, dy []float32, add bool) []par.Phase {
	return p.shape(n, in).Backward(dx, dy, add)
}

// pixelMap returns a map of the pixels of in in which row i of the result is
// row rows(i) of in, and likewise for columns.
func pixelMap(n int, in, out Shape, rows, cols func(int) int) kernel.PixelMapShape {
	s := kernel.PixelMapShape{N: n, H: in.H, W: in.W, C: in.C, Rows: make([]int, out.H), Cols: make([]int, out.W)}
	for i := range s.Rows {
		s.Rows[i] = rows(i)
	}
	for j := range s.Cols {
		s.Cols[j] = cols(j)
	}
	return s
}

func same(i int) int { return i }

func (p Pad) pixels(n int, in, out Shape) kernel.PixelMapShape {
	source := func(before, size int) func(int) int {
		return func(i int) int {
			switch i -= before; {
			case i >= 0 && i < size:
				return i
			case !p.Reflect:
				return -1
			case i < 0:
				return -i
			default:
				return 2*(size-1) - i
			}
		}
	}
	return pixelMap(n, in, out, source(p.Top, in.H), source(p.Left, in.W))
}

func (p Pad) forward(n int, in, out Shape, y, x []float32) []par.Phase {
	return p.pixels(n, in, out).Forward(y, x)
}

func (p Pad) backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase {
	return p.pixels(n, in, out).Backward(dx, dy, add)
}

func (c CropRows) pixels(n int, in, out Shape) kernel.PixelMapShape {
	return pixelMap(n, in, out, func(i int) int { return i + c.Top }, same)
}

func (c CropRows) forward(n int, in, out Shape, y, x []float32) []par.Phase {
	return c.pixels(n, in, out).Forward(y, x)
}

func (c CropRows) backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase {
	return c.pixels(n, in, out).Backward(dx, dy, add)
}

func (FlipRows) pixels(n int, in Shape) kernel.PixelMapShape {
	return pixelMap(n, in, in, func(i int) int { return in.H - 1 - i }, same)
}

func (f FlipRows) forward(n int, in, _ Shape, y, x []float32) []par.Phase {
	return f.pixels(n, in).Forward(y, x)
}

func (f FlipRows) backward(n int, in, _ Shape, dx, dy []float32, add bool) []par.Phase {
	return f.pixels(n, in).Backward(dx, dy, add)
}

func (Repeat) pixels(n int, in, out Shape) kernel.PixelMapShape {
	only := func(int) int { return 0 }
	return pixelMap(n, in, out, only, only)
}

func (r Repeat) forward(n int, in, out Shape, y, x []float32) []par.Phase {
	return r.pixels(n, in, out).Forward(y, x)
}

func (r Repeat) backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase {
	return r.pixels(n, in, out).Backward(dx, dy, add)
}

func (Transpose) forward(n int, in, out Shape, y, x []float32) []par.Phase {
	return transposed(n, in, y, x, func(to, from []float32) { copy(to, from) })
}

// transposed gives to move each pixel of the result y with that of x it is of.
func transposed(n int, in Shape, y, x []float32, move func(of, from []float32)) []par.Phase {
	width, size := kernel.PadC(in.C), in.H*in.W
	return []par.Phase{{Tasks: n, Run: func(_, i int) {
		for l := range size {
			of := (i*size + l%in.W*in.H + l/in.W) * width
			from := (i*size + l) * width
			move(y[of:of+width], x[from:from+width])
		}
	}}}
}

func (Transpose) backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase {
	return transposed(n, in, dy, dx, func(dy, dx []float32) {
		if !add {
			copy(dx, dy)
			return
		}
		for k, g := range dy {
			dx[k] += g
		}
	})
}

func (PadChannels) channels(n int, in, out Shape) kernel.ChannelMapShape {
	return kernel.ChannelMapShape{Rows: n * in.H * in.W, In: in.C, Out: out.C}
}

func (p PadChannels) forward(n int, in, out Shape, y, x []float32) []par.Phase {
	return p.channels(n, in, out).Forward(y, x)
}

func (p PadChannels) backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase {
	return p.channels(n, in, out).Backward(dx, dy, add)
}

// shape is that of so many patches.
func (p Patches) shape(patches int, in Shape) kernel.PatchesShape {
	s := kernel.PatchesShape{H: in.H, W: in.W, C: in.C, Size: p.Size, Stride: p.Stride}
	rows, cols := s.Grid()
	s.N = patches / (rows * cols)
	return s
}

func (p Patches) forward(n int, in, _ Shape, y, x []float32) []par.Phase {
	return p.shape(n, in).Forward(y, x)
}

func (p Patches) backward(n int, in, _ Shape, dx, dy []float32, add bool) []par.Phase {
	return p.shape(n, in).Backward(dx, dy, add)
}

func (t Twice) shape(n int, in, out Shape) kernel.TwiceShape {
	return kernel.TwiceShape{N: n / 2, H: in.H, W: in.W, C: in.C, OutH: out.H, OutW: out.W, Next: t.Next}
}

func (t Twice) forward(n int, in, out Shape, y, x []float32) []par.Phase {
	return t.shape(n, in, out).Forward(y, x)
}

func (t Twice) backward(n int, in, out Shape, dx, dy []float32, add bool) []par.Phase {
	return t.shape(n, in, out).Backward(dx, dy, add)
}

// rearrangeForward adds the forward operation of a rearrangement.
func (c *compiler) rearrangeForward(u unit, r rearrangement, x int) {
	in, out, n := c.graph.Shape(u.in[0]), c.graph.Shape(u.out), c.batchOf(u.out)
	y := c.activation(u.out)
	c.values[u.out] = y
	c.use(x)
	c.addForward(u.name, 0, func(a *Arena) []par.Phase { return r.forward(n, in, out, a.act(y), a.act(x)) })
}

// rearrangeBackward adds its backward operation.
func (c *compiler) rearrangeBackward(u unit, r rearrangement, dy int, needs []bool) {
	in, out, n := c.graph.Shape(u.in[0]), c.graph.Shape(u.out), c.batchOf(u.out)
	dx, add := c.gradientOf(u.in[0], needs)
	c.use(dx, dy)
	c.addBackward(u.name, 0, func(a *Arena) []par.Phase { return r.backward(n, in, out, a.act(dx), a.act(dy), add) })
}
