package encoder

import (
	"fmt"
	"slices"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// compileBackward walks the units in reverse. The gradient of a value is
// written by the first of its consumers that comes by, and added to by the
// others.
func (c *compiler) compileBackward(units []unit) {
	needs := make([]bool, len(c.graph.shapes)) // something below the value wants a gradient
	for v, in := range c.graph.Inputs {
		needs[v] = c.opts.Frozen && in.Float
	}
	for _, u := range units {
		needs[u.out] = !c.opts.Frozen && len(u.op.params(c.graph.shapesOf(u.in))) > 0
		for _, v := range slices.Concat(u.in, u.residualIn()) {
			needs[u.out] = needs[u.out] || needs[v]
		}
	}
	c.gradientsOfOutputs()
	for i := len(units) - 1; i >= 0; i-- {
		if u := units[i]; c.grads[u.out] >= 0 && needs[u.out] {
			c.backwardOf(u, needs)
		}
	}
	for v := range c.graph.Inputs {
		if c.grads[v] >= 0 {
			c.buffers[c.grads[v]].last = forever
		}
	}
}

// gradientsOfOutputs adds the buffers that the caller fills between forward and
// backward. The last operation of forward clears them: the padding must be
// zero, and so should be what the caller leaves out.
func (c *compiler) gradientsOfOutputs() {
	var given []int
	for _, name := range c.opts.Grads {
		v, _ := c.graph.Find(name)
		if c.grads[v] < 0 {
			c.grads[v] = c.gradient(v)
			given = append(given, c.grads[v])
		}
	}
	c.addForward("output gradients", 0, func(a *Arena) []par.Phase {
		return []par.Phase{{Tasks: len(given), Run: func(_, i int) { clear(a.act(given[i])) }}}
	})
}

func (u unit) residualIn() []Value {
	if u.residual < 0 {
		return nil
	}
	return []Value{u.residual}
}

// gradient adds the buffer of a value's gradient: as the value itself, but for
// unit vectors, which lie without padding.
func (c *compiler) gradient(v Value) int {
	if b := c.buffers[c.values[v]]; b.zero == 0 {
		return c.define(b.len, 0)
	}
	return c.activation(v)
}

// gradientOf returns the buffer for an operand's gradient and whether it is
// added to; -1 if nothing below needs it.
func (c *compiler) gradientOf(v Value, needs []bool) (id int, add bool) {
	if !needs[v] {
		return -1, false
	}
	if c.grads[v] >= 0 {
		return c.grads[v], true
	}
	c.grads[v] = c.gradient(v)
	return c.grads[v], false
}

// gradientInPlace is gradientOf for an operation that may write its operand's
// gradient over that of its result.
func (c *compiler) gradientInPlace(v Value, dy int, needs []bool) (id int, add bool) {
	if needs[v] && c.grads[v] < 0 {
		c.grads[v] = dy
		return dy, false
	}
	return c.gradientOf(v, needs)
}

func (c *compiler) addBackward(name string, flops int64, bind func(a *Arena) []par.Phase) {
	c.backward = append(c.backward, c.add(name+" backward", flops, bind))
}

// backwardOf adds the backward operations of a unit.
func (c *compiler) backwardOf(u unit, needs []bool) {
	out := c.graph.Shape(u.out)
	in := c.graph.Shape(u.in[0])
	n := c.batchOf(u.out)
	x, y, dy := c.values[u.in[0]], c.values[u.out], c.grads[u.out]
	switch op := u.op.(type) {
	case Conv, Linear:
		c.biasBackward(u, y, dy)
		p := slices.IndexFunc(c.packs, func(p pack) bool { return p.weight == u.name+".weight" })
		conv := c.packs[p].conv
		_, dataScratch, weightScratch := conv.ScratchLen()
		if !c.opts.Frozen {
			c.scratch(weightScratch)
			c.use(x, dy)
			c.beside = conv.WeightLen()
			c.addBackward(u.name+" weight", conv.Flops(), func(a *Arena) []par.Phase {
				return conv.BackwardWeight(a.model.params.grad(u.name+".weight"), a.buf(x), a.buf(dy), a.scratch)
			})
		}
		if needs[u.in[0]] {
			p := c.pack(pack{conv: conv, weight: u.name + ".weight", backward: true})
			dx, add := c.gradientOf(u.in[0], needs)
			c.scratch(dataScratch)
			c.use(dx, dy)
			c.usePack(p)
			c.addBackward(u.name+" data", conv.Flops(), func(a *Arena) []par.Phase {
				return conv.BackwardData(a.buf(dx), a.buf(dy), a.packed(p), a.scratch, add)
			})
		}

	case BatchNorm:
		shape := kernel.BatchNormShape{N: n, HW: out.H * out.W, C: out.C, Groups: c.opts.Groups}
		dres, addRes := -1, false
		if u.residual >= 0 {
			dres, addRes = c.gradientOf(u.residual, needs)
		}
		dx, addX := c.gradientInPlace(u.in[0], dy, needs)
		if dx < 0 { // nobody wants it
			dx = dy
		}
		saved := c.aux[u.out]
		c.scratch(shape.ScratchLen())
		c.use(x, dy, dx, dres, saved)
		if u.relu {
			c.use(y)
		}
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			p := a.model.params
			g := kernel.BatchNormGrads{
				DY: a.act(dy), DX: a.act(dx), AddDX: addX,
				DGamma: gammaOf(u, p.grad, out.C), DBeta: betaOf(u, p.grad, out.C),
			}
			if dres >= 0 {
				g.DResidual, g.AddDResidual = a.act(dres), addRes
			}
			return shape.Backward(g, c.normArgs(a, u, y, x, -1, saved), a.scratch)
		})

	case GroupNorm, LayerNorm:
		c.sampleNormBackward(u, x, y, dy, needs)

	case ReLU:
		dx, add := c.gradientInPlace(u.in[0], dy, needs)
		c.use(y, dy, dx)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			if !add {
				return kernel.ReLUBackward(a.act(dx), a.act(dy), a.act(y))
			}
			return append(kernel.ReLUBackward(a.act(dy), a.act(dy), a.act(y)), kernel.Add(a.act(dx), a.act(dy))...)
		})

	case Sigmoid:
		shape := kernel.SigmoidShape{Rows: n * out.H * out.W, C: out.C}
		dx, add := c.gradientInPlace(u.in[0], dy, needs)
		c.use(y, dy, dx)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase { return shape.Backward(a.act(dx), a.act(dy), a.act(y), add) })

	case PairCells:
		c.pairCellsBackward(u, dy, needs)

	case rearrangement:
		c.rearrangeBackward(u, op, dy, needs)

	case Add:
		for _, v := range u.in {
			dx, add := c.gradientOf(v, needs)
			if dx < 0 {
				continue
			}
			c.use(dx, dy)
			c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
				if add {
					return kernel.Add(a.act(dx), a.act(dy))
				}
				return copyPhases(a.act(dx), a.act(dy))
			})
		}

	case Concat:
		shape := c.concat(u)
		da, addA := c.gradientOf(u.in[0], needs)
		db, addB := c.gradientOf(u.in[1], needs)
		c.use(da, db, dy)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			grad := func(id int) []float32 {
				if id < 0 {
					return nil
				}
				return a.act(id)
			}
			return shape.Backward(grad(da), grad(db), a.act(dy), addA, addB)
		})

	case MaxPool:
		shape := kernel.MaxPoolShape{N: n, H: in.H, W: in.W, C: in.C, Kernel: op.K, Stride: op.Stride, Pad: op.Pad}
		arg, size := c.args[u.out], n*out.H*out.W*kernel.PadC(out.C)
		dx, add := c.gradientOf(u.in[0], needs)
		c.use(dx, dy)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			return shape.Backward(a.act(dx), a.act(dy), a.bytes[arg:arg+size], add)
		})

	case GlobalAvgPool:
		shape := kernel.AvgPoolShape{N: n, HW: in.H * in.W, C: in.C}
		dx, add := c.gradientOf(u.in[0], needs)
		c.use(dx, dy)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase { return shape.Backward(a.act(dx), a.act(dy), add) })

	case L2Normalize:
		shape := kernel.L2NormShape{N: n, D: out.C}
		inv := c.aux[u.out]
		dx, add := c.gradientOf(u.in[0], needs)
		if add {
			tmp := c.activation(u.in[0])
			c.use(dx, dy, y, inv, tmp)
			c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
				return append(shape.Backward(a.act(tmp), a.act(dy), a.act(y), a.act(inv)), kernel.Add(a.act(dx), a.act(tmp))...)
			})
			return
		}
		c.use(dx, dy, y, inv)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			return shape.Backward(a.act(dx), a.act(dy), a.act(y), a.act(inv))
		})

	case Unfold, Fold: // the same bytes under another shape
		if dx, add := c.gradientInPlace(u.in[0], dy, needs); add {
			c.use(dx, dy)
			c.addBackward(u.name, 0, func(a *Arena) []par.Phase { return kernel.Add(a.act(dx), a.act(dy)) })
		}

	default:
		panic(fmt.Sprintf("encoder: %s: no backward for %T", u.name, op))
	}
}

// biasBackward adds the bias' part and the ReLU's, in place.
func (c *compiler) biasBackward(u unit, y, dy int) {
	_, biased := products(u.op)
	biased = biased && !c.opts.Frozen
	if !biased && !u.relu {
		return
	}
	out := c.graph.Shape(u.out)
	bias := kernel.BiasShape{Rows: c.batchOf(u.out) * out.H * out.W, C: out.C}
	c.scratch(bias.ScratchLen())
	c.use(dy)
	if u.relu {
		c.use(y)
	}
	c.addBackward(u.name+" bias", 0, func(a *Arena) []par.Phase {
		var phases []par.Phase
		if u.relu {
			phases = kernel.ReLUBackward(a.act(dy), a.act(dy), a.act(y))
		}
		if biased {
			phases = append(phases, bias.Backward(a.model.params.grad(u.name+".bias"), a.act(dy), a.scratch)...)
		}
		return phases
	})
}

// copyPhases copies an activation.
func copyPhases(dst, src []float32) []par.Phase {
	return []par.Phase{{Tasks: 1, Run: func(_, _ int) { copy(dst, src) }}}
}
