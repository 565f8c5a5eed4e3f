package contrast

import (
	"slices"

	"clpipe/encoder"
	"clpipe/internal/par"
)

// Memory is what a run holds beside its stream of pairs, in bytes.
type Memory struct {
	Activations int64 // of all passes; what objectives hold is small beside them
	Weights     int64 // with gradients, what optimisers remember, averages, packed copies and queues
}

// Memory foresees what New and a step take, and takes none of it. The
// configuration must be valid.
func (c Config) Memory() (Memory, error) {
	s := &sizer{cfg: c}
	c.method().build(s, c.Graph(), c)
	return s.Memory, s.err
}

// A sizer is an Executor for methods that are being made, not run: it adds up the
// memory of what they declare.
type sizer struct {
	Executor // nil
	Memory
	cfg  Config
	nets []sizedNet
	err  error
}

type sizedNet struct {
	graph *encoder.Graph
	kinds []PassSpec // that are compiled: their passes share the packed weights
}

// float is the size of one value.
const float = 4

func (s *sizer) Network(_ string, g *encoder.Graph) Net {
	copies := 3 // values, gradients and the optimiser's momentum
	if o := s.cfg.Optimizer; o == encoder.AdamOptimizer || o == encoder.AdamWOptimizer {
		copies++
	}
	if s.cfg.EMA > 0 && len(s.nets) == 0 {
		copies++
	}
	return s.add(g, copies)
}

func (s *sizer) MomentumCopy(_ string, _ Net, part *encoder.Graph) Net { return s.add(part, 1) }

func (s *sizer) add(g *encoder.Graph, copies int) Net {
	s.Weights += int64(copies) * float * int64(g.Trained())
	s.nets = append(s.nets, sizedNet{graph: g})
	return Net(len(s.nets) - 1)
}

func (s *sizer) Pass(n Net, spec PassSpec) Pass {
	spec = spec.kind()
	s.compile(n, spec, spec.Chunk > 0)
	if spec.Chunk > 0 { // see newGradCache
		spec.Grads = nil
		s.compile(n, spec, false)
	}
	return 0
}

// compile adds a pass's memory and, for the first of a kind, its packed weights.
func (s *sizer) compile(n Net, kind PassSpec, again bool) {
	net := &s.nets[n]
	plan, err := s.cfg.compile(net.graph, kind, again, par.Count(s.cfg.Workers))
	if err != nil {
		s.err = err
		return
	}
	s.Activations += plan.ArenaBytes()
	if !slices.ContainsFunc(net.kinds, kind.equal) {
		net.kinds = append(net.kinds, kind)
		s.Weights += plan.PackedBytes()
	}
}

func (s *sizer) Queue(string) Ring {
	s.Weights += int64(s.cfg.Queue) * int64(s.cfg.Dim*float+8) // keys and ids
	return 0
}

func (s *sizer) Loss(Objective) Loss { return 0 }
