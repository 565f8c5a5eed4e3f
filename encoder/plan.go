package encoder

import (
	"errors"
	"fmt"
	"slices"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// Mode says what a plan is for.
type Mode int

const (
	// Train normalises by batch statistics and keeps what backward needs.
	Train Mode = iota
	// TrainNoGrad normalises by batch statistics, as the momentum encoder does,
	// but never runs backward: activations share memory.
	TrainNoGrad
	// Eval normalises by the running statistics and changes nothing.
	Eval
)

// Options of a plan.
type Options struct {
	Batch   int // N
	Mode    Mode
	Groups  int              // groups of batch statistics; 0 and 1: the whole batch
	Conv    kernel.Algorithm // of the convolutions
	Workers int              // of the pool that will run it, at most; 0: one
	Grads   []string         // in mode Train: the outputs that receive gradients
	// KeepStatistics leaves the running statistics as they are: for a forward
	// pass that repeats another, as the second one of gradient caching does.
	KeepStatistics bool
}

// A Plan is a graph compiled for a batch size: a flat list of operations and
// the places of their operands in an arena. It holds no memory, knows no
// parameters, and can be bound to any number of both.
type Plan struct {
	graph    *Graph
	opts     Options
	forward  []operation
	backward []operation
	buffers  []buffer
	values   []int // buffer of every value; -1: never stored
	grads    []int // buffer of every value's gradient; -1: none
	packs    []pack
	bytes    int // of index memory: the places of maxima

	packedLen, scratchLen, arenaLen int
}

// An operation is one entry of the list. bind gives its work on an arena.
type operation struct {
	name  string
	flops int64
	bind  func(a *Arena) []par.Phase
}

// A buffer is a range of an arena. Two buffers whose lives do not overlap may
// lie in the same place.
type buffer struct {
	len         int
	zero        int // floats of the zero pixel at its end
	first, last int // positions in the list of operations
	offset      int
}

// A pack is a convolution's weights in the order its kernels read them.
type pack struct {
	conv              *kernel.Conv
	weight            string
	forward, backward int // offsets in the packed weights; backward -1: not needed
}

const forever = int(^uint(0) >> 1)

// Compile plans a graph. Options that do not fit are reported, each by name.
func Compile(g *Graph, o Options) (*Plan, error) {
	o.Groups = max(o.Groups, 1)
	o.Workers = max(o.Workers, 1)
	var wrong []error
	if o.Batch < 1 {
		wrong = append(wrong, fmt.Errorf("encoder: compile: batch is %d, want at least 1", o.Batch))
	} else if o.Batch%o.Groups != 0 {
		wrong = append(wrong, fmt.Errorf("encoder: compile: a batch of %d cannot be split into %d groups of batch statistics", o.Batch, o.Groups))
	}
	for _, name := range o.Grads {
		if _, ok := g.Find(name); !ok {
			wrong = append(wrong, fmt.Errorf("encoder: compile: no output is called %q", name))
		}
	}
	if o.Mode != Train && len(o.Grads) > 0 {
		wrong = append(wrong, fmt.Errorf("encoder: compile: gradients of %q, but only mode Train has gradients", o.Grads))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	c := compiler{Plan: &Plan{graph: g, opts: o}}
	c.values, c.grads = filled(len(g.shapes), -1), filled(len(g.shapes), -1)
	c.countReaders()
	units := c.fuse()
	if err := c.checkStatistics(units); err != nil {
		return nil, err
	}
	c.compileForward(units)
	if o.Mode == Train {
		c.compileBackward(units)
	}
	c.place()
	return c.Plan, nil
}

func filled(n, v int) []int { return slices.Repeat([]int{v}, n) }

// compiler is a plan being made.
type compiler struct {
	*Plan
	uses    []int   // consumers of each value, outputs included
	storage []Value // the value whose memory each value lies in
	readers []int   // of each value's memory, outputs included
	aux     map[Value]int
	args    map[Value]int // offset of a max-pooling's index memory
}

// countReaders counts who reads each value, and who its memory: Unfold and Fold
// only look at their operand's under another shape.
func (c *compiler) countReaders() {
	values := len(c.graph.shapes)
	c.uses, c.readers, c.storage = make([]int, values), make([]int, values), make([]Value, values)
	for v := range c.graph.Inputs {
		c.storage[v] = Value(v)
	}
	for i, n := range c.graph.Nodes {
		out, looks := c.graph.value(i), false
		switch n.Op.(type) {
		case Unfold, Fold:
			looks = true
		}
		c.storage[out] = out
		if looks {
			c.storage[out] = c.storage[n.In[0]]
		}
		for _, v := range n.In {
			c.uses[v]++
			if !looks {
				c.readers[c.storage[v]]++
			}
		}
	}
	for _, out := range c.graph.Outputs {
		c.uses[out.Value]++
		c.readers[c.storage[out.Value]]++
	}
}

// inPlace tells whether an operation may write its result over its operand,
// which nobody else reads and no backward pass needs.
func (c *compiler) inPlace(operand Value) bool {
	return c.opts.Mode != Train && c.readers[c.storage[operand]] == 1
}

// A unit is one or several nodes that run as one operation.
type unit struct {
	name     string
	op       Op
	in       []Value
	out      Value
	residual Value // of a batch normalisation that adds one; -1: none
	relu     bool
}

// fuse joins batch normalisation with the addition and the ReLU behind it, and
// a linear layer with its ReLU. Only values that nobody else reads disappear.
func (c *compiler) fuse() []unit {
	var units []unit
	for i, n := range c.graph.Nodes {
		u := unit{name: n.Name, op: n.Op, in: n.In, out: c.graph.value(i), residual: -1}
		maker := slices.IndexFunc(units, func(m unit) bool { return m.out == n.In[0] && c.uses[m.out] == 1 })
		if maker >= 0 {
			if joined, ok := units[maker].with(u); ok {
				// It runs here: a residual may be computed after what it is added to.
				units, u = slices.Delete(units, maker, maker+1), joined
			}
		}
		units = append(units, u)
	}
	return units
}

// with returns the unit that also does what the next one does to its result,
// if there is such a unit.
func (u unit) with(next unit) (unit, bool) {
	_, isNorm := u.op.(BatchNorm)
	_, isLinear := u.op.(Linear)
	switch next.op.(type) {
	case Add:
		// The gradients of operand and residual would be written to one place.
		if !isNorm || u.relu || u.residual >= 0 || next.in[1] == u.in[0] {
			return u, false
		}
		u.residual = next.in[1]
	case ReLU:
		if !isNorm && !isLinear || u.relu {
			return u, false
		}
		u.relu = true
	default:
		return u, false
	}
	u.out = next.out
	return u, true
}

// checkStatistics refuses batch statistics over a single value per channel.
func (c *compiler) checkStatistics(units []unit) error {
	if c.opts.Mode == Eval {
		return nil
	}
	for _, u := range units {
		if _, ok := u.op.(BatchNorm); ok {
			s := c.graph.Shape(u.out)
			if n := c.opts.Batch / c.opts.Groups * s.Per * s.H * s.W; n < 2 {
				return fmt.Errorf("encoder: compile: %s: batch statistics need more than one value per channel, got a group of %d samples of %d×%d pixels: use a larger batch or fewer groups",
					u.name, c.opts.Batch/c.opts.Groups, s.H, s.W)
			}
		}
	}
	return nil
}

// now is the position of the operation being added.
func (c *compiler) now() int { return len(c.forward) + len(c.backward) }

// define adds a buffer of n floats that lives from now on.
func (c *compiler) define(n, zero int) int {
	c.buffers = append(c.buffers, buffer{len: n, zero: zero, first: c.now(), last: c.now()})
	return len(c.buffers) - 1
}

// use says that the operation being added reads or writes a buffer.
func (c *compiler) use(ids ...int) {
	for _, id := range ids {
		if id >= 0 {
			c.buffers[id].last = max(c.buffers[id].last, c.now())
		}
	}
}

// activation adds the buffer of a value.
func (c *compiler) activation(v Value) int {
	s := c.graph.Shape(v)
	return c.define(s.len(c.opts.Batch), kernel.PadC(s.C))
}

func (c *compiler) scratch(n int) { c.scratchLen = max(c.scratchLen, n) }

// batchOf returns the samples of a value in the batch.
func (c *compiler) batchOf(v Value) int { return c.opts.Batch * c.graph.Shape(v).Per }

func (c *compiler) compileForward(units []unit) {
	c.aux, c.args = map[Value]int{}, map[Value]int{}
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
		s.O, s.KH, s.KW, s.Stride, s.Pad = op.Out, op.K, op.K, op.Stride, op.Pad
	case Linear:
		s.O = op.Out
	}
	return kernel.NewConv(s, c.opts.Conv, c.opts.Workers)
}

func (c *compiler) addForward(name string, flops int64, bind func(a *Arena) []par.Phase) {
	c.forward = append(c.forward, operation{name, flops, bind})
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

	case Conv:
		conv := c.conv(u)
		c.scratch(conv.ScratchLen())
		y := c.activation(u.out)
		c.values[u.out] = y
		c.use(x)
		p := c.pack(conv, u.name+".weight")
		c.addForward(u.name, conv.Flops(), func(a *Arena) []par.Phase {
			return conv.Forward(a.buf(y), a.buf(x), a.model.packedForward(p), a.scratch)
		})

	case Linear:
		conv := c.conv(u)
		c.scratch(conv.ScratchLen())
		y := c.activation(u.out)
		c.values[u.out] = y
		c.use(x)
		p := c.pack(conv, u.name+".weight")
		bias := kernel.BiasShape{Rows: n, C: out.C}
		c.scratch(bias.ScratchLen())
		c.addForward(u.name, conv.Flops(), func(a *Arena) []par.Phase {
			phases := conv.Forward(a.buf(y), a.buf(x), a.model.packedForward(p), a.scratch)
			switch {
			case op.Bias:
				phases = append(phases, bias.Forward(a.act(y), a.act(y), a.model.params.value(u.name+".bias"), u.relu, a.scratch)...)
			case u.relu:
				phases = append(phases, kernel.ReLU(a.act(y), a.act(y))...)
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

	case ReLU:
		y := x
		if !c.inPlace(u.in[0]) {
			y = c.activation(u.out)
		}
		c.values[u.out] = y
		c.use(x, y)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase { return kernel.ReLU(a.act(y), a.act(x)) })

	case Add:
		y := c.activation(u.out)
		c.values[u.out] = y
		other := c.values[u.in[1]]
		c.use(x, other)
		c.addForward(u.name, 0, func(a *Arena) []par.Phase {
			return append(copyPhases(a.act(y), a.act(x)), kernel.Add(a.act(y), a.act(other))...)
		})

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

func (c *compiler) normArgs(a *Arena, u unit, y, x, residual, saved int) kernel.BatchNormArgs {
	p := a.model.params
	args := kernel.BatchNormArgs{
		Y: a.act(y), X: a.act(x), ReLU: u.relu,
		Gamma: p.value(u.name + ".weight"), Beta: p.value(u.name + ".bias"),
		RunningMean: p.value(u.name + ".running_mean"), RunningVar: p.value(u.name + ".running_var"),
		Saved: a.buf(saved), Eps: 1e-5, Momentum: 0.1,
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

func (c *compiler) pack(conv *kernel.Conv, weight string) int {
	forward, _ := conv.PackedLen()
	c.packs = append(c.packs, pack{conv, weight, c.packedLen, -1})
	c.packedLen += forward
	return len(c.packs) - 1
}

// packBackward finds the pack of a weight and makes room for the order that
// the data gradient reads.
func (c *compiler) packBackward(weight string) int {
	i := slices.IndexFunc(c.packs, func(p pack) bool { return p.weight == weight })
	if c.packs[i].backward < 0 {
		_, backward := c.packs[i].conv.PackedLen()
		c.packs[i].backward = c.packedLen
		c.packedLen += backward
	}
	return i
}

// compileBackward walks the units in reverse. The gradient of a value is
// written by the first of its consumers that comes by, and added to by the
// others.
func (c *compiler) compileBackward(units []unit) {
	needs := make([]bool, len(c.graph.shapes)) // something below the value is trained
	for _, u := range units {
		needs[u.out] = len(u.op.params(c.graph.shapesOf(u.in))) > 0
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
	c.backward = append(c.backward, operation{name + " backward", flops, bind})
}

// backwardOf adds the backward operations of a unit.
func (c *compiler) backwardOf(u unit, needs []bool) {
	out := c.graph.Shape(u.out)
	in := c.graph.Shape(u.in[0])
	n := c.batchOf(u.out)
	x, y, dy := c.values[u.in[0]], c.values[u.out], c.grads[u.out]
	switch op := u.op.(type) {
	case Conv, Linear:
		if l, ok := op.(Linear); ok {
			c.linearBackward(u, l, y, dy)
		}
		p := c.packBackward(u.name + ".weight")
		conv := c.packs[p].conv
		c.use(x, dy)
		c.addBackward(u.name+" weight", conv.Flops(), func(a *Arena) []par.Phase {
			return conv.BackwardWeight(a.model.params.grad(u.name+".weight"), a.buf(x), a.buf(dy), a.scratch)
		})
		if dx, add := c.gradientOf(u.in[0], needs); dx >= 0 {
			c.use(dx, dy)
			c.addBackward(u.name+" data", conv.Flops(), func(a *Arena) []par.Phase {
				return conv.BackwardData(a.buf(dx), a.buf(dy), a.model.packedBackward(p), a.scratch, add)
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
		c.use(x, dy, dx, dres, saved)
		if u.relu {
			c.use(y)
		}
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			p := a.model.params
			g := kernel.BatchNormGrads{
				DY: a.act(dy), DX: a.act(dx), AddDX: addX,
				DGamma: p.grad(u.name + ".weight"), DBeta: p.grad(u.name + ".bias"),
			}
			if dres >= 0 {
				g.DResidual, g.AddDResidual = a.act(dres), addRes
			}
			return shape.Backward(g, c.normArgs(a, u, y, x, -1, saved), a.scratch)
		})

	case ReLU:
		dx, add := c.gradientInPlace(u.in[0], dy, needs)
		c.use(y, dy, dx)
		c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
			if !add {
				return kernel.ReLUBackward(a.act(dx), a.act(dy), a.act(y))
			}
			return append(kernel.ReLUBackward(a.act(dy), a.act(dy), a.act(y)), kernel.Add(a.act(dx), a.act(dy))...)
		})

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

// linearBackward adds the bias' part and the ReLU's, in place.
func (c *compiler) linearBackward(u unit, l Linear, y, dy int) {
	if !l.Bias && !u.relu {
		return
	}
	bias := kernel.BiasShape{Rows: c.batchOf(u.out), C: l.Out}
	c.use(dy)
	if u.relu {
		c.use(y)
	}
	c.addBackward(u.name+" bias", 0, func(a *Arena) []par.Phase {
		var phases []par.Phase
		if u.relu {
			phases = kernel.ReLUBackward(a.act(dy), a.act(dy), a.act(y))
		}
		if l.Bias {
			phases = append(phases, bias.Backward(a.model.params.grad(u.name+".bias"), a.act(dy), a.scratch)...)
		}
		return phases
	})
}

// copyPhases copies an activation.
func copyPhases(dst, src []float32) []par.Phase {
	return []par.Phase{{Tasks: 1, Run: func(_, _ int) { copy(dst, src) }}}
}

// place gives every buffer its offset: the largest first, each at the lowest
// place that no buffer alive at the same time takes.
func (c *compiler) place() {
	order := make([]int, len(c.buffers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return c.buffers[b].len - c.buffers[a].len })
	var placed []int // by offset
	for _, id := range order {
		b := &c.buffers[id]
		size := align(b.len)
		at := 0
		for _, other := range placed {
			o := c.buffers[other]
			if o.last < b.first || b.last < o.first {
				continue
			}
			if at+size <= o.offset {
				break
			}
			at = max(at, o.offset+align(o.len))
		}
		b.offset = at
		c.arenaLen = max(c.arenaLen, at+size)
		i, _ := slices.BinarySearchFunc(placed, at, func(p, at int) int { return c.buffers[p].offset - at })
		placed = slices.Insert(placed, i, id)
	}
}

// align rounds up to whole cache lines.
func align(floats int) int { return (floats + 15) &^ 15 }

// ArenaBytes returns the memory of one arena, PackedBytes that of the packed
// weights a binding to parameters holds.
func (p *Plan) ArenaBytes() int64  { return 4*int64(p.arenaLen+p.scratchLen) + int64(p.bytes) }
func (p *Plan) PackedBytes() int64 { return 4 * int64(p.packedLen) }

// Flops returns the floating-point operations of convolutions and linear
// layers, by definition, forward and backward.
func (p *Plan) Flops() (forward, backward int64) {
	for _, op := range p.forward {
		forward += op.flops
	}
	for _, op := range p.backward {
		backward += op.flops
	}
	return forward, backward
}
