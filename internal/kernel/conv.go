package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// An Algorithm is a way to compute a convolution.
type Algorithm int

const (
	// Auto is Winograd's minimal filtering for 3x3 filters of stride 1 and 2
	// where the shape makes it the cheaper, else Direct. Its results are off by
	// some 1e-6 of their size, at most 1e-4, against some 3e-7 of Direct.
	Auto Algorithm = iota
	// Direct sums products as the definition does.
	Direct
	// F2 is Winograd's F(2x2,3x3) for 3x3 filters of stride 1, else Direct. It
	// is slower than Auto and as accurate as Direct.
	F2
)

// A ConvShape is a convolution of N images [H,W,C] with O filters [KH,KW,C],
// moved by Stride over the image with Pad zeros on each side. A linear layer
// is a 1x1 convolution of N images of one pixel.
type ConvShape struct {
	N, H, W, C, O, KH, KW, Stride, Pad int
}

func (s ConvShape) outH() int { return (s.H+2*s.Pad-s.KH)/s.Stride + 1 }
func (s ConvShape) outW() int { return (s.W+2*s.Pad-s.KW)/s.Stride + 1 }

// layer returns a convolution whose filters cover the image, one result an image,
// as the linear layer of the image's floats that it is: its data gradient would
// else meet as many taps a pixel as there are, all but one of them outside. ok is
// false for others, and where padding channels lie between the floats.
func (s ConvShape) layer() (layer ConvShape, ok bool) {
	layer = ConvShape{N: s.N, H: 1, W: 1, C: s.H * s.W * s.C, O: s.O, KH: 1, KW: 1, Stride: 1}
	return layer, s.KH == s.H && s.KW == s.W && s.Pad == 0 && PadC(s.C) == s.C && PadC(layer.C) == layer.C
}

// check panics where the shape has no output: shapes come from networks that
// were validated before.
func (s ConvShape) check() {
	if min(s.N, s.H, s.W, s.C, s.O, s.KH, s.KW, s.Stride) < 1 || s.Pad < 0 ||
		s.H+2*s.Pad < s.KH || s.W+2*s.Pad < s.KW {
		panic(fmt.Sprintf("kernel: convolution: shape %+v has no output", s))
	}
}

// A Conv is the plan of a convolution and its gradients for one shape and the
// implementation that was active when it was made. It is immutable; one Conv
// may be bound to any number of buffers.
//
// Buffers: x [N,H,W,C] and its gradient dx, y [N,OH,OW,O] and its gradient dy
// are activations (ActLen), w and its gradient dw are [KH*KW][C][O].
type Conv struct {
	shape    ConvShape
	forward  imagePass
	backward imagePass
	weight   weightPass
}

// An imagePass computes an image from an image and packed weights: y from x,
// or dx from dy.
type imagePass interface {
	packedLen() int
	pack(packed, w []float32) []par.Phase
	scratchLen() int
	run(dst, src, packed, scratch []float32, add bool) []par.Phase
}

// A weightPass adds the gradient of the weights to dw.
type weightPass interface {
	scratchLen() int
	run(dw, x, dy, scratch []float32) []par.Phase
}

// NewConv plans a convolution for a pool of the given number of workers. It
// panics on a shape without output.
func NewConv(s ConvShape, alg Algorithm, workers int) *Conv {
	s.check()
	row := active
	forward, backward := s.forward(), s.backward()
	c := &Conv{shape: s}
	if tr := alg.winograd(s, forward.dst, &row.winograd, &row.winograd.s2); tr != nil {
		c.forward = newWinogradPass(forward, s.Pad, false, *tr, row.gemm, workers)
		c.weight = newWinogradGradient(s, *tr, row, workers)
	} else if forward.src.stride() < lanes {
		c.forward = newNarrowPass(s, row.gemm, workers)
		c.weight = newNarrowGradient(s, row, workers)
	} else {
		c.forward = newDirectPass(forward, row.gemm, workers)
		c.weight = newDirectGradient(s, row, workers)
	}
	if layer, ok := s.layer(); ok {
		c.backward = newDirectPass(layer.backward(), row.gemm, workers)
	} else if tr := alg.winograd(s, backward.dst, &row.winograd, &row.winograd.s2t); tr != nil {
		// Of stride 1, the data gradient is a convolution of dy with the turned
		// weights. Of stride 2, pixel 2i of x meets pixels i and i+1 of dy.
		lead := 2 - s.Pad
		if s.Stride == 2 {
			lead = 0
		}
		c.backward = newWinogradPass(backward, lead, true, *tr, row.gemm, workers)
	} else {
		c.backward = newDirectPass(backward, row.gemm, workers)
	}
	return c
}

// winograd returns the transforms to compute the image dst with, or nil where
// the direct way is the cheaper or the only one. stride2 are those for a
// convolution of stride 2.
func (alg Algorithm) winograd(s ConvShape, dst image, set *winogradSet, stride2 *winogradKernels) *winogradKernels {
	if alg == Direct || s.KH != 3 || s.KW != 3 || min(s.C, s.O) < lanes {
		return nil
	}
	// Products of an image and a pair of channels, with a surcharge for the
	// transforms; tiles that reach beyond the image are paid in full.
	cost := func(tr *winogradKernels) int {
		return tr.points * tr.points * ceilDiv(dst.h, tr.size) * ceilDiv(dst.w, tr.size)
	}
	// Backward through a stride each pixel meets a part of the taps, through none
	// all of them, be it outside.
	direct := 9 * s.outH() * s.outW()
	if s.Stride == 1 {
		direct = 9 * dst.h * dst.w
	}
	switch {
	case s.Stride == 1 && s.Pad <= 2 && alg == F2:
		return &set.f2
	case s.Stride == 1 && s.Pad <= 2:
		f4, f2 := cost(&set.f4)*7/4, cost(&set.f2)*3/2
		if f4 <= f2 && f4 < direct {
			return &set.f4
		}
		if f2 < direct {
			return &set.f2
		}
	case s.Stride == 2 && s.Pad == 1 && alg == Auto && cost(stride2)*3/2 < direct:
		return stride2
	}
	return nil
}

// OutH returns the height of y.
func (c *Conv) OutH() int { return c.shape.outH() }

// OutW returns the width of y.
func (c *Conv) OutW() int { return c.shape.outW() }

// Flops returns the floating-point operations of the forward pass by the
// definition, two a product. Either gradient has as many.
func (c *Conv) Flops() int64 {
	s := c.shape
	return 2 * int64(s.N*s.outH()*s.outW()) * int64(s.KH*s.KW*s.C*s.O)
}

// PackedLen returns the floats of the packed weights for Forward and for
// BackwardData.
func (c *Conv) PackedLen() (forward, backward int) {
	return c.forward.packedLen(), c.backward.packedLen()
}

// ScratchLen returns the floats of scratch that Forward, BackwardData and
// BackwardWeight need.
func (c *Conv) ScratchLen() (forward, data, weight int) {
	return c.forward.scratchLen(), c.backward.scratchLen(), c.weight.scratchLen()
}

// PackForward brings w into the order Forward reads.
func (c *Conv) PackForward(packed, w []float32) []par.Phase {
	c.need("pack forward", "packed", packed, c.forward.packedLen())
	c.need("pack forward", "w", w, c.WeightLen())
	return c.forward.pack(packed, w)
}

// PackBackward brings w into the order BackwardData reads.
func (c *Conv) PackBackward(packed, w []float32) []par.Phase {
	c.need("pack backward", "packed", packed, c.backward.packedLen())
	c.need("pack backward", "w", w, c.WeightLen())
	return c.backward.pack(packed, w)
}

// Forward computes y = x * w, packed being the weights as PackForward left
// them.
func (c *Conv) Forward(y, x, packed, scratch []float32) []par.Phase {
	c.need("forward", "y", y, c.outputLen())
	c.need("forward", "x", x, c.inputLen())
	c.need("forward", "packed", packed, c.forward.packedLen())
	c.need("forward", "scratch", scratch, c.forward.scratchLen())
	return c.forward.run(y, x, packed, scratch, false)
}

// BackwardData computes the gradient of x from that of y, or adds it to dx
// where add is set. packed is as PackBackward left it.
func (c *Conv) BackwardData(dx, dy, packed, scratch []float32, add bool) []par.Phase {
	c.need("backward data", "dx", dx, c.inputLen())
	c.need("backward data", "dy", dy, c.outputLen())
	c.need("backward data", "packed", packed, c.backward.packedLen())
	c.need("backward data", "scratch", scratch, c.backward.scratchLen())
	return c.backward.run(dx, dy, packed, scratch, add)
}

// BackwardWeight adds the gradient of w to dw.
func (c *Conv) BackwardWeight(dw, x, dy, scratch []float32) []par.Phase {
	c.need("backward weight", "dw", dw, c.WeightLen())
	c.need("backward weight", "x", x, c.inputLen())
	c.need("backward weight", "dy", dy, c.outputLen())
	c.need("backward weight", "scratch", scratch, c.weight.scratchLen())
	return c.weight.run(dw, x, dy, scratch)
}

func (c *Conv) inputLen() int  { return ActLen(c.shape.N, c.shape.H, c.shape.W, c.shape.C) }
func (c *Conv) outputLen() int { return ActLen(c.shape.N, c.OutH(), c.OutW(), c.shape.O) }

// WeightLen returns the floats of the weights.
func (c *Conv) WeightLen() int { return c.shape.KH * c.shape.KW * c.shape.C * c.shape.O }

// need panics where a buffer is shorter than the plan reads or writes:
// assembly does not check bounds.
func (c *Conv) need(operation, name string, buf []float32, want int) {
	if len(buf) < want {
		panic(fmt.Sprintf("kernel: convolution %s: %+v: %s has %d floats, want %d",
			operation, c.shape, name, len(buf), want))
	}
}
