package contrast

import (
	"slices"
	"strings"
	"time"
)

// OpTime is the time that an operation took in the steps since Profile.
type OpTime struct {
	Part string // of the step, as "encoder_q forward" or "loss"
	// Name is that of the operation inside a network, "packing" for bringing
	// its weights into the kernels' order; "" where the part is one operation.
	Name  string
	Flops int64 // of one step
	Bytes int64 // of its operands, results and weights, each counted once; 0: not counted
	Time  time.Duration
}

// Profile starts measuring, anew with every call, where the time of a step
// goes. It may be called between steps, also from Hooks.Progress.
func (t *Trainer) Profile() {
	t.watch = &stopwatch{cpu: t.x}
	for _, p := range t.x.passes {
		p.arena.Profile()
		if p.cache != nil {
			p.cache.ahead.Profile()
		}
	}
}

// Times returns the times since Profile in the order in which the parts of a
// step run; nothing without Profile.
func (t *Trainer) Times() []OpTime {
	if t.watch == nil {
		return nil
	}
	return t.watch.times()
}

// MemoryBytes returns the memory of the activations of all passes, and that of
// the weights that are held packed for the kernels.
func (t *Trainer) MemoryBytes() (arenas, packed int64) {
	arenas = float * int64(len(t.x.space))
	for _, p := range t.x.passes {
		arenas += p.bytes
	}
	for _, k := range t.x.plan.kinds {
		packed += k.plan.PackedBytes()
	}
	return arenas, packed
}

// executor is what a step runs on: measured while Profile is on.
func (t *Trainer) executor() Executor {
	if t.watch != nil {
		return t.watch
	}
	return t.x
}

// A stopwatch is the processor's Executor, timing the operations of a step.
type stopwatch struct {
	*cpu
	parts []stepPart // in the order in which they first ran
}

// A stepPart is what a step spends in one kind of operation.
type stepPart struct {
	name     string
	net      *cpuNet // of a pass; nil: the part is one operation
	backward bool
	cached   bool // a pass in chunks
	time     time.Duration
}

// timed runs f as a part of the step.
func (s *stopwatch) timed(p stepPart, f func()) {
	at := slices.IndexFunc(s.parts, func(q stepPart) bool { return q.name == p.name })
	if at < 0 {
		at = len(s.parts)
		s.parts = append(s.parts, p)
	}
	start := time.Now()
	f()
	s.parts[at].time += time.Since(start)
}

func (s *stopwatch) Momentum(key Net) {
	s.timed(stepPart{name: "momentum"}, func() { s.cpu.Momentum(key) })
}

func (s *stopwatch) Forward(p Pass) {
	net := s.passes[p].net
	s.timed(stepPart{name: net.name + " forward", net: net}, func() { s.cpu.Forward(p) })
}

func (s *stopwatch) Contrast(l Loss) {
	s.timed(stepPart{name: "loss"}, func() { s.cpu.Contrast(l) })
}

func (s *stopwatch) Enqueue(r Ring, key Pass) {
	s.timed(stepPart{name: "enqueue"}, func() { s.cpu.Enqueue(r, key) })
}

func (s *stopwatch) Backward(p Pass) {
	net := s.passes[p].net
	s.timed(stepPart{name: net.name + " backward", net: net, backward: true, cached: s.passes[p].cache != nil}, func() { s.cpu.Backward(p) })
}

func (s *stopwatch) Optimise(n Net) {
	s.timed(stepPart{name: "optimiser"}, func() { s.cpu.Optimise(n) })
}

// times takes the parts that are passes apart into the operations of their
// networks. Passes of one network, as those of a symmetric loss, add up.
func (s *stopwatch) times() []OpTime {
	var out []OpTime
	for _, p := range s.parts {
		if p.net == nil {
			out = append(out, OpTime{Part: p.name, Time: p.time})
			continue
		}
		first, rest := len(out), p.time
		add := func(op OpTime) {
			at := slices.IndexFunc(out[first:], func(o OpTime) bool { return o.Name == op.Name })
			if at < 0 {
				out = append(out, op)
				return
			}
			out[first+at].Flops += op.Flops
			out[first+at].Bytes += op.Bytes
			out[first+at].Time += op.Time
		}
		for _, pass := range s.passes {
			if pass.net != p.net {
				continue
			}
			arena := pass.arena
			if pass.cache != nil && !p.backward {
				arena = pass.cache.ahead
			}
			for _, op := range arena.Times() {
				if strings.HasSuffix(op.Name, " backward") != p.backward {
					continue
				}
				rest -= op.Time
				add(OpTime{p.name, op.Name, op.Flops, op.Bytes, op.Time})
			}
		}
		switch {
		case !p.backward: // what a forward pass does beside its operations
			add(OpTime{Part: p.name, Name: "packing", Time: rest})
		case p.cached:
			add(OpTime{Part: p.name, Name: "forward again", Time: rest})
		}
	}
	return out
}
