package encoder

import (
	"fmt"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// normEps is PyTorch's guard of a variance.
const normEps = 1e-5

func (o GroupNorm) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && (o.Groups < 1 || s.C%o.Groups != 0) {
		err = fmt.Errorf("%d channels cannot be split into %d groups", s.C, o.Groups)
	}
	return s, err
}

func (LayerNorm) infer(in []Shape) (Shape, error) { return one(in) }

func (GroupNorm) params(in []Shape) []paramSpec { return affine(in[0].C) }
func (LayerNorm) params(in []Shape) []paramSpec { return affine(in[0].C) }

// affine lists the factor and the shift of a normalised channel.
func affine(c int) []paramSpec {
	return []paramSpec{
		{"weight", vectorParam, []int{c}, constant(1)},
		{"bias", vectorParam, []int{c}, constant(0)},
	}
}

// sampleNormForward adds a normalisation that looks at one sample at a time,
// and so is the same in every mode.
func (c *compiler) sampleNormForward(u unit, x int) {
	y := x
	if !c.inPlace(u.in[0]) {
		y = c.activation(u.out)
	}
	c.values[u.out] = y
	c.use(x, y)
	switch op := u.op.(type) {
	case GroupNorm:
		shape := c.groupNorm(u, op)
		c.scratch(shape.ScratchLen())
		saved := c.define(shape.SavedLen(), 0)
		c.aux[u.out] = saved
		c.addForward(u.name, 0, func(a *Arena) []par.Phase {
			return shape.Forward(groupNormArgs(a, u, y, x, saved), a.scratch)
		})
	case LayerNorm:
		shape := c.layerNorm(u)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return shape.Forward(layerNormArgs(a, u, y, x)) })
	}
}

// sampleNormBackward adds the backward operation of such a normalisation.
func (c *compiler) sampleNormBackward(u unit, x, y, dy int, needs []bool) {
	dx, add := c.gradientInPlace(u.in[0], dy, needs)
	if dx < 0 { // nobody wants it
		dx = dy
	}
	c.use(x, dy, dx)
	switch op := u.op.(type) {
	case GroupNorm:
		shape, saved := c.groupNorm(u, op), c.aux[u.out]
		c.scratch(shape.ScratchLen())
		c.use(saved)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			p := a.model.params
			return shape.Backward(kernel.GroupNormGrads{
				DY: a.act(dy), DX: a.act(dx), AddDX: add,
				DGamma: p.grad(u.name + ".weight"), DBeta: p.grad(u.name + ".bias"),
			}, groupNormArgs(a, u, y, x, saved), a.scratch)
		})
	case LayerNorm:
		shape := c.layerNorm(u)
		c.scratch(shape.ScratchLen())
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			p := a.model.params
			return shape.Backward(kernel.LayerNormGrads{
				DY: a.act(dy), DX: a.act(dx), AddDX: add,
				DGamma: p.grad(u.name + ".weight"), DBeta: p.grad(u.name + ".bias"),
			}, layerNormArgs(a, u, y, x), a.scratch)
		})
	}
}

func (c *compiler) groupNorm(u unit, op GroupNorm) kernel.GroupNormShape {
	s := c.graph.Shape(u.out)
	return kernel.GroupNormShape{N: c.batchOf(u.out), HW: s.H * s.W, C: s.C, Groups: op.Groups}
}

func (c *compiler) layerNorm(u unit) kernel.LayerNormShape {
	s := c.graph.Shape(u.out)
	return kernel.LayerNormShape{Rows: c.batchOf(u.out) * s.H * s.W, C: s.C}
}

func groupNormArgs(a *Arena, u unit, y, x, saved int) kernel.GroupNormArgs {
	p := a.model.params
	return kernel.GroupNormArgs{
		Y: a.act(y), X: a.act(x), Gamma: p.value(u.name + ".weight"), Beta: p.value(u.name + ".bias"),
		Saved: a.buf(saved), Eps: normEps,
	}
}

func layerNormArgs(a *Arena, u unit, y, x int) kernel.LayerNormArgs {
	p := a.model.params
	return kernel.LayerNormArgs{Y: a.act(y), X: a.act(x), Gamma: p.value(u.name + ".weight"), Beta: p.value(u.name + ".bias"), Eps: normEps}
}
