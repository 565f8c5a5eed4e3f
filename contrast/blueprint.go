package contrast

import (
	"slices"

	"clpipe/encoder"
	"clpipe/internal/par"
)

// A blueprint is an Executor for methods that are being made, not run: it notes
// what they declare and compiles their networks.
type blueprint struct {
	Executor // nil
	cfg      Config
	graphs   []*encoder.Graph // by Net
	kinds    []passKind       // in the order in which they are declared
	weights  int64            // bytes of all networks and queues
}

// A passKind is the passes of a network that one plan serves.
type passKind struct {
	net    Net
	spec   PassSpec // a kind
	again  bool     // forward passes for the second time, which leave running statistics alone
	passes int
	plan   *encoder.Plan
}

// trains reports whether the passes run backward.
func (k passKind) trains() bool { return len(k.spec.Grads) > 0 }

// blueprint returns what the method declares for a graph.
func (c Config) blueprint(g *encoder.Graph) (*blueprint, error) {
	b := &blueprint{cfg: c}
	c.method().build(b, g, c)
	for i := range b.kinds {
		k := &b.kinds[i]
		var err error
		if k.plan, err = c.compile(b.graphs[k.net], *k); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// compile plans a network for passes of a kind.
func (c Config) compile(g *encoder.Graph, k passKind) (*encoder.Plan, error) {
	s := k.spec
	o := encoder.Options{
		Batch: c.Batch, Mode: encoder.TrainNoGrad, Groups: c.SplitBN, Conv: c.Conv, Workers: par.Count(c.Workers),
		Grads: s.Grads, Frozen: s.Frozen, KeepStatistics: k.again,
		Repack: k.passes == 1 && s.Chunk == 0, // once in a step
	}
	if k.trains() {
		o.Mode = encoder.Train
	}
	if s.Chunk > 0 {
		o.Batch = s.Chunk
	}
	switch s.View {
	case Both:
		o.Batch *= 2
	case Local:
		g = c.localGraph()
	}
	if len(s.Part) > 0 {
		g = g.Part(s.Part...)
	}
	return encoder.Compile(g, o)
}

// find returns the place of the kind that a pass belongs to; -1: there is none.
func (b *blueprint) find(n Net, s PassSpec, again bool) int {
	s = s.kind()
	return slices.IndexFunc(b.kinds, func(k passKind) bool { return k.net == n && k.again == again && k.spec.equal(s) })
}

// spaceLen returns the floats of the space that passes without gradients and the
// first with gradients have in common.
func (b *blueprint) spaceLen() int {
	n, host := 0, b.host()
	for i, k := range b.kinds {
		if !k.trains() || i == host {
			n = max(n, k.plan.SpaceLen())
		}
	}
	return n
}

// host is the kind with gradients whose first pass lives in that space; -1: none has
// gradients.
func (b *blueprint) host() int { return slices.IndexFunc(b.kinds, passKind.trains) }

// float is the size of one value.
const float = 4

func (b *blueprint) Network(_ string, g *encoder.Graph) Net {
	copies := 3 // values, gradients and the optimiser's momentum
	if o := b.cfg.Optimizer; o == encoder.AdamOptimizer || o == encoder.AdamWOptimizer {
		copies++
	}
	if len(b.graphs) == 0 && b.cfg.EMA > 0 {
		copies++ // the average of the encoder's weights
	}
	return b.addNet(g, copies)
}

func (b *blueprint) MomentumCopy(_ string, _ Net, part *encoder.Graph) Net { return b.addNet(part, 1) }

func (b *blueprint) addNet(g *encoder.Graph, copies int) Net {
	b.weights += int64(copies) * float * int64(g.Trained())
	b.graphs = append(b.graphs, g)
	return Net(len(b.graphs) - 1)
}

func (b *blueprint) Pass(n Net, s PassSpec) Pass {
	b.addPass(n, s, s.Chunk > 0)
	if s.Chunk > 0 { // see newGradCache
		b.addPass(n, s.ahead(), false)
	}
	return 0
}

func (b *blueprint) addPass(n Net, s PassSpec, again bool) {
	i := b.find(n, s, again)
	if i < 0 {
		i = len(b.kinds)
		b.kinds = append(b.kinds, passKind{net: n, spec: s.kind(), again: again})
	}
	b.kinds[i].passes++
}

func (b *blueprint) Queue(string) Ring {
	b.weights += int64(b.cfg.Queue) * int64(b.cfg.Dim*float+8) // keys and ids
	return 0
}

func (b *blueprint) Loss(Objective) Loss { return 0 }
