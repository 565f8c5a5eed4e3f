package encoder

import (
	"fmt"
	"slices"
	"time"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// A Model is a plan bound to parameters and to the workers that run it. Unless
// the plan repacks, it holds the weights in the order the kernels read, packed
// once for every change of the parameters and shared by all its arenas.
type Model struct {
	plan    *Plan
	params  *Params
	pool    *par.Pool
	packed  []float32
	packing []par.Phase
	version uint64 // of the parameters when they were packed
}

// Bind binds the plan to the parameters of the same graph. A pool of more
// workers than the plan was compiled for is an error of the program: each has
// its part of the working memory.
func (p *Plan) Bind(params *Params, pool *par.Pool) *Model {
	if pool.Workers() > p.opts.Workers {
		panic(fmt.Sprintf("encoder: bind: a pool of %d workers, want at most the plan's %d", pool.Workers(), p.opts.Workers))
	}
	m := &Model{
		plan: p, params: params, pool: pool, packed: kernel.Alloc(p.packedLen),
		version: ^uint64(0), // no version yet
	}
	if !p.opts.Repack {
		for _, k := range p.packs {
			m.packing = append(m.packing, k.phases(m.packed[k.at:k.at+k.len()], params.value(k.weight))...)
		}
	}
	return m
}

// countBatch advances a batch normalisation's num_batches_tracked.
func (m *Model) countBatch(name string) par.Phase {
	at := m.params.find(name + ".num_batches_tracked").from
	return par.Phase{Tasks: 1, Run: func(_, _ int) { m.params.counters[at]++ }}
}

// Params returns the parameters the model is bound to.
func (m *Model) Params() *Params { return m.params }

// An Arena is the memory of one forward pass and its backward pass. Several
// arenas of a model may be live at once; one is used by one goroutine at a time,
// and so are all that share a pool.
type Arena struct {
	plan              *Plan
	model             *Model
	kept, space       []float32 // see compiler.place
	bytes             []uint8
	scratch           []float32 // of the operation being bound
	pixels            []kernel.PixelsArgs
	groups            map[int][]int32 // group of each sample, by samples per image
	cells             []int32         // see Cells
	forward, backward [][]par.Phase
	times             []time.Duration // by operation, while Profile is on
}

// NewArena returns an arena and all its work, bound. Nothing is allocated later.
func (m *Model) NewArena() *Arena { return m.NewArenaIn(kernel.Alloc(m.plan.spaceLen)) }

// NewArenaIn is NewArena in a space of at least Plan.SpaceLen floats, which may
// hold anything while the arena is at rest: before a forward pass and, in mode
// Train, after its backward pass. Outputs and inputs have places of their own.
func (m *Model) NewArenaIn(space []float32) *Arena {
	p := m.plan
	if len(space) < p.spaceLen {
		panic(fmt.Sprintf("encoder: arena: a space of %d floats, want at least %d", len(space), p.spaceLen))
	}
	a := &Arena{
		plan: p, model: m, kept: kernel.Alloc(p.keptLen), space: space, bytes: make([]uint8, p.bytes),
		pixels: make([]kernel.PixelsArgs, len(p.graph.Inputs)), groups: map[int][]int32{},
	}
	a.forward, a.backward = a.bind(p.forward), a.bind(p.backward)
	a.clearPadding()
	a.SetGroups(nil)
	return a
}

// bind returns the work of operations.
func (a *Arena) bind(ops []operation) [][]par.Phase {
	var work [][]par.Phase
	for _, op := range ops {
		a.scratch = nil
		if op.scratch >= 0 {
			a.scratch = a.buf(op.scratch)
		}
		work = append(work, op.bind(a))
	}
	return work
}

// clearPadding makes each buffer's zero pixel zero in front of the first
// operation that uses it: buffers before it may have lain there.
func (a *Arena) clearPadding() {
	for id, b := range a.plan.buffers {
		if b.zero == 0 {
			continue
		}
		at := a.buf(id)[b.len-b.zero:]
		ph := par.Phase{Tasks: 1, Run: func(_, _ int) { clear(at) }}
		list, i := a.forward, b.first
		if i >= len(a.forward) {
			list, i = a.backward, i-len(a.forward)
		}
		if i < len(list) {
			list[i] = append([]par.Phase{ph}, list[i]...)
		}
	}
}

// buf returns a buffer with its zero pixel, act without.
func (a *Arena) buf(id int) []float32 {
	b := a.plan.buffers[id]
	memory := a.space
	if b.last == forever {
		memory = a.kept
	}
	return memory[b.offset : b.offset+b.len : b.offset+b.len]
}

func (a *Arena) act(id int) []float32 {
	buf := a.buf(id)
	n := len(buf) - a.plan.buffers[id].zero
	return buf[:n:n]
}

func (a *Arena) groupsOf(per int) []int32 {
	if a.groups[per] == nil {
		a.groups[per] = make([]int32, a.plan.opts.Batch*per)
	}
	return a.groups[per]
}

// SetGroups says which group of batch statistics each sample belongs to: sample
// n to place[n] mod groups, place being a permutation of the batch (nil: the
// identity).
func (a *Arena) SetGroups(place []int) {
	for per, groups := range a.groups {
		for i := range groups {
			n := i / per
			if place != nil {
				n = place[n]
			}
			groups[i] = int32(n % a.plan.opts.Groups)
		}
	}
}

// Forward runs the network on pixels, uint8 of the input's shape for each of
// the N samples. They must stay as they are until the pass is over. A network
// of features takes nil and runs on what Input holds.
func (a *Arena) Forward(pixels []byte) { a.ForwardBoth(pixels, nil) }

// ForwardBoth is Forward on samples that lie in two places: those of second
// come after those of first, in one batch.
func (a *Arena) ForwardBoth(first, second []byte) {
	in := a.plan.graph.Inputs[0]
	s, want := in.Shape, 0
	if !in.Float {
		want = a.plan.opts.Batch * s.H * s.W * s.C
	}
	if got := len(first) + len(second); got != want {
		panic(fmt.Sprintf("encoder: Forward: %d bytes of pixels, want %d for a batch of %d %v", got, want, a.plan.opts.Batch, s))
	}
	if m := a.model; m.version != m.params.version {
		for _, ph := range m.packing {
			m.pool.Run(ph)
		}
		m.version = m.params.version
	}
	a.pixels[0].Src, a.pixels[0].More = first, second
	a.run(a.forward, 0)
	a.pixels[0].Src, a.pixels[0].More = nil, nil
}

// Backward adds to the parameters' gradients, from the gradients of the
// outputs, which it may overwrite.
func (a *Arena) Backward() { a.run(a.backward, len(a.forward)) }

func (a *Arena) run(ops [][]par.Phase, first int) {
	for i, phases := range ops {
		var start time.Time
		if a.times != nil {
			start = time.Now()
		}
		for _, ph := range phases {
			a.model.pool.Run(ph)
		}
		if a.times != nil {
			a.times[first+i] += time.Since(start)
		}
	}
}

// Rows are N vectors of D floats, Stride floats apart.
type Rows struct {
	Data         []float32
	N, D, Stride int
}

// Row returns row i.
func (r Rows) Row(i int) []float32 { return r.Data[i*r.Stride : i*r.Stride+r.D] }

// Output returns a named output of the last forward pass: one row for each
// sample, pixel after pixel. It is valid until the next Forward. Unknown names
// are errors of the program.
func (a *Arena) Output(name string) Rows { return a.rows(name, a.plan.values) }

// OutputGrad returns the place of a named output's gradient, to be filled
// between Forward, which sets it to zero, and Backward.
func (a *Arena) OutputGrad(name string) Rows { return a.rows(name, a.plan.grads) }

// Input returns the float input's place, a row for each sample, pixel after pixel, to
// be filled before Forward.
func (a *Arena) Input() Rows { return a.rowsOf(0, "input", a.plan.values) }

// InputGrad returns the gradient of the float input after Backward of a frozen
// plan.
func (a *Arena) InputGrad() Rows { return a.rowsOf(0, "input", a.plan.grads) }

func (a *Arena) rows(name string, buffers []int) Rows {
	v, ok := a.plan.graph.Find(name)
	if !ok {
		v = -1
	}
	return a.rowsOf(v, name, buffers)
}

func (a *Arena) rowsOf(v Value, name string, buffers []int) Rows {
	if v < 0 || buffers[v] < 0 {
		panic("encoder: the plan has no value or gradient " + name)
	}
	s := a.plan.graph.Shape(v)
	data := a.act(buffers[v])
	n := a.plan.opts.Batch * s.Per * s.H * s.W
	return Rows{data, n, s.C, len(data) / n}
}

// OpTime is the time an operation of the plan took.
type OpTime struct {
	Name  string
	Flops int64
	Bytes int64 // of its operands, results and weights, each counted once
	Time  time.Duration
}

// Profile starts measuring how long each operation takes.
func (a *Arena) Profile() { a.times = make([]time.Duration, len(a.forward)+len(a.backward)) }

// Times returns the sum of each operation's times since Profile, forward first;
// nothing without Profile.
func (a *Arena) Times() []OpTime {
	var out []OpTime
	ops := slices.Concat(a.plan.forward, a.plan.backward)
	for i, t := range a.times {
		out = append(out, OpTime{ops[i].name, ops[i].flops, ops[i].bytes, t})
	}
	return out
}
