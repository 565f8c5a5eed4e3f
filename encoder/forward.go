package encoder

import (
	"fmt"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

func (c *compiler) compileForward(units []unit) {
	c.aux, c.args = map[Value]int{}, map[Value]int{}
	for v, in := range c.graph.Inputs {
		if in.Float {
			// Nothing else may lie there: the caller writes no padding.
			c.values[v] = c.activation(Value(v))
			c.buffers[c.values[v]].last = forever
		}
	}
	for _, u := range units {
		c.forwardOf(u)
	}
	for _, out := range c.graph.Outputs {
		c.buffers[c.values[out.Value]].last = forever
	}
}

// conv plans the convolution of a unit; a linear layer is one on single pixels.
func (c *compiler) conv(u unit) *kernel.Conv {
	in := c.graph.Shape(u.in[0])
	s := kernel.ConvShape{N: c.batchOf(u.in[0]), H: in.H, W: in.W, C: in.C, KH: 1, KW: 1, Stride: 1}
	switch op := u.op.(type) {
	case Conv:
		s.O, s.KH, s.KW, s.Stride, s.Pad = op.Out, op.K, op.width(), op.Stride, op.Pad
	case Linear:
		s.O = op.Out
	}
	return kernel.NewConv(s, c.opts.Conv, c.opts.Workers)
}

func (c *compiler) addForward(name string, flops int64, bind func(a *Arena) []par.Phase) {
	c.forward = append(c.forward, c.add(name, flops, bind))
}

// forwardOf adds the forward operations of a unit.
func (c *compiler) forwardOf(u unit) {
	out := c.graph.Shape(u.out)
	in := c.graph.Shape(u.in[0])
	n := c.batchOf(u.out)
	x := c.values[u.in[0]]
	switch op := u.op.(type) {
	case Normalize:
		y := c.activation(u.out)
		c.values[u.out] = y
		input := u.in[0]
		c.addForward(u.name, 0, func(a *Arena) []par.Phase {
			return kernel.Normalize(a.buf(y), &a.pixels[input], n, out.H, out.W, op.Mean, op.Std)
		})

	case Conv, Linear:
		conv := c.conv(u)
		p := c.pack(pack{conv: conv, weight: u.name + ".weight"})
		scratch, _, _ := conv.ScratchLen()
		c.scratch(scratch)
		y := c.activation(u.out)
		c.values[u.out] = y
		c.use(x)
		c.usePack(p)
		_, biased := products(op)
		bias := kernel.BiasShape{Rows: n * out.H * out.W, C: out.C}
		c.scratch(bias.ScratchLen())
		c.addForward(u.name, conv.Flops(), func(a *Arena) []par.Phase {
			phases := conv.Forward(a.buf(y), a.buf(x), a.packed(p), a.scratch)
			if biased {
				phases = append(phases, bias.Forward(a.act(y), a.act(y), a.model.params.value(u.name+".bias"), u.relu, a.scratch)...)
			}
			return phases
		})

	case BatchNorm:
		shape := kernel.BatchNormShape{N: n, HW: out.H * out.W, C: out.C, Groups: c.opts.Groups}
		c.scratch(shape.ScratchLen())
		y := x
		if !c.inPlace(u.in[0]) {
			y = c.activation(u.out)
		}
		c.values[u.out] = y
		residual := -1
		if u.residual >= 0 {
			residual = c.values[u.residual]
		}
		saved := c.define(shape.SavedLen(), 0)
		c.aux[u.out] = saved
		c.use(x, y, residual)
		eval := c.opts.Mode == Eval
		c.addForward(u.name, 0, func(a *Arena) []par.Phase {
			args := c.normArgs(a, u, y, x, residual, saved)
			if eval {
				return shape.ForwardEval(args, a.scratch)
			}
			phases := shape.Forward(args, a.scratch)
			if !c.opts.KeepStatistics {
				phases = append(phases, a.model.countBatch(u.name))
			}
			return phases
		})

	case GroupNorm, LayerNorm:
		c.sampleNormForward(u, x)

	case ReLU:
		y := x
		if !c.inPlace(u.in[0]) {
			y = c.activation(u.out)
		}
		c.values[u.out] = y
		c.use(x, y)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return kernel.ReLU(a.act(y), a.act(x)) })

	case Sigmoid:
		shape := kernel.SigmoidShape{Rows: n * out.H * out.W, C: out.C}
		y := c.activation(u.out)
		c.values[u.out] = y
		c.use(x)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return shape.Forward(a.act(y), a.act(x)) })

	case PairCells:
		c.pairCellsForward(u, x)

	case rearrangement:
		c.rearrangeForward(u, op, x)

	case Add:
		y := c.activation(u.out)
		c.values[u.out] = y
		other := c.values[u.in[1]]
		c.use(x, other)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase {
			return append(copyPhases(a.act(y), a.act(x)), kernel.Add(a.act(y), a.act(other))...)
		})

	case Concat:
		shape := c.concat(u)
		y, other := c.activation(u.out), c.values[u.in[1]]
		c.values[u.out] = y
		c.use(x, other)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return shape.Forward(a.act(y), a.act(x), a.act(other)) })

	case MaxPool:
		shape := kernel.MaxPoolShape{N: n, H: in.H, W: in.W, C: in.C, Kernel: op.K, Stride: op.Stride, Pad: op.Pad}
		y := c.activation(u.out)
		c.values[u.out] = y
		c.use(x)
		arg := c.bytes
		size := n * out.H * out.W * kernel.PadC(out.C)
		c.args[u.out] = arg
		c.bytes += size
		c.addForward(u.name, 0, func(a *Arena) []par.Phase {
			return shape.Forward(a.act(y), a.act(x), a.bytes[arg:arg+size])
		})

	case GlobalAvgPool:
		shape := kernel.AvgPoolShape{N: n, HW: in.H * in.W, C: in.C}
		y := c.activation(u.out)
		c.values[u.out] = y
		c.use(x)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return shape.Forward(a.act(y), a.act(x)) })

	case L2Normalize:
		shape := kernel.L2NormShape{N: n, D: out.C}
		z, inv := c.define(n*out.C, 0), c.define(n, 0)
		c.values[u.out], c.aux[u.out] = z, inv
		c.use(x)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return shape.Forward(a.act(z), a.act(x), a.act(inv)) })

	case Unfold, Fold: // the same bytes under another shape
		c.values[u.out] = x

	default:
		panic(fmt.Sprintf("encoder: %s: no forward for %T", u.name, op))
	}
}

func (c *compiler) concat(u unit) kernel.ConcatShape {
	s := c.graph.Shape(u.in[0])
	return kernel.ConcatShape{Rows: c.batchOf(u.out) * s.H * s.W, A: s.C, B: c.graph.Shape(u.in[1]).C}
}

// betaOf returns a batch normalisation's beta, or its gradient, as of finds it:
// zeros of its own if it has none.
func betaOf(u unit, of func(string) []float32, channels int) []float32 {
	if u.op.(BatchNorm).NoBeta {
		return kernel.Alloc(channels)
	}
	return of(u.name + ".bias")
}

// gammaOf is the same of gamma, with ones of its own.
func gammaOf(u unit, of func(string) []float32, channels int) []float32 {
	if !u.op.(BatchNorm).NoGamma {
		return of(u.name + ".weight")
	}
	ones := kernel.Alloc(channels)
	for i := range ones {
		ones[i] = 1
	}
	return ones
}

func (c *compiler) normArgs(a *Arena, u unit, y, x, residual, saved int) kernel.BatchNormArgs {
	p := a.model.params
	channels := a.plan.graph.Shape(u.out).C
	args := kernel.BatchNormArgs{
		Y: a.act(y), X: a.act(x), ReLU: u.relu,
		Gamma: gammaOf(u, p.value, channels), Beta: betaOf(u, p.value, channels),
		RunningMean: p.value(u.name + ".running_mean"), RunningVar: p.value(u.name + ".running_var"),
		Saved: a.buf(saved), Eps: normEps, Momentum: 0.1,
	}
	if a.plan.opts.KeepStatistics {
		args.Momentum = 0
	}
	if residual >= 0 {
		args.Residual = a.act(residual)
	}
	if a.plan.opts.Groups > 1 {
		args.Group = a.groupsOf(a.plan.graph.Shape(u.out).Per)
	}
	return args
}
