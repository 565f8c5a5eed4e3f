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
	// Frozen sends gradients to the float inputs (Arena.InputGrad) and none to
	// the parameters. The network must be one without normalisation.
	Frozen bool
	// KeepStatistics leaves the running statistics as they are: for a forward
	// pass that repeats another, as the second one of gradient caching does.
	KeepStatistics bool
	// Repack packs weights in front of every operation that reads them, where
	// other values lie before and after. Without it a model holds all weights
	// packed, which happens once for every change of the parameters. It costs no
	// time in a plan that runs once between two changes.
	Repack bool
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

	// Floats of the packed weights that a model holds, of the buffers that an
	// arena's user reads or writes, and of all others (see compiler.place).
	packedLen, keptLen, spaceLen int
}

// An operation is one entry of the list. bind gives its work on an arena.
type operation struct {
	name    string
	flops   int64
	bytes   int64 // of its operands, results and packed weights, each once
	scratch int   // buffer of working memory; -1: none
	bind    func(a *Arena) []par.Phase
}

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
	if o.Frozen {
		for _, n := range g.Nodes {
			switch n.Op.(type) {
			case BatchNorm, GroupNorm, LayerNorm:
				wrong = append(wrong, fmt.Errorf("encoder: compile: %s normalises, which a frozen network cannot", n.Name))
			}
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	c := compiler{Plan: &Plan{graph: g, opts: o}, touched: map[int]bool{}}
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
	// Of the operation being added: the buffers that it reads or writes, floats
	// beside them, and floats of working memory.
	touched    map[int]bool
	beside     int
	scratchLen int
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

// scratch says that the operation being added needs n floats of working memory.
func (c *compiler) scratch(n int) { c.scratchLen = max(c.scratchLen, n) }

// add returns the operation being added, all whose operands are known by now.
func (c *compiler) add(name string, flops int64, bind func(a *Arena) []par.Phase) operation {
	floats := c.beside
	for id := range c.touched {
		floats += c.buffers[id].len
	}
	scratch := -1
	if c.scratchLen > 0 {
		scratch = c.define(c.scratchLen, 0)
	}
	clear(c.touched)
	c.beside, c.scratchLen = 0, 0
	return operation{name, flops, 4 * int64(floats), scratch, bind}
}

// batchOf returns the samples of a value in the batch.
func (c *compiler) batchOf(v Value) int { return c.opts.Batch * c.graph.Shape(v).Per }

// ArenaBytes returns the memory of one arena that nothing else may lie in, and
// that of its space (see SpaceLen).
func (p *Plan) ArenaBytes() (own, space int64) {
	return 4*int64(p.keptLen) + int64(p.bytes), 4 * int64(p.spaceLen)
}

// SpaceLen returns the floats of an arena's space: of all that lives during a
// forward pass or, in mode Train, from its beginning to the end of the backward pass.
func (p *Plan) SpaceLen() int { return p.spaceLen }

// PackedBytes returns the memory of the packed weights that a model holds.
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
