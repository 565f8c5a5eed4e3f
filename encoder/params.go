package encoder

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"

	"gorgonia.org/tensor"
)

// paramSpec says what parameters an operation has.
type paramSpec struct {
	suffix string // weight, bias, running_mean, ...
	role   role
	shape  []int // as kept inside: HWIO, [in,out], [C]
	init   func(i uint64, seed, param uint64) float32
}

// len returns the number of values.
func (s paramSpec) len() int {
	n := 1
	for _, d := range s.shape {
		n *= d
	}
	return n
}

// role tells what a parameter is, and so how it is stored and exported.
type role int

const (
	convWeight   role = iota // inside [K,K,in,out], outside [out,in,K,K]
	linearWeight             // inside [in,out], outside [out,in]
	vectorParam              // [C], trained
	running                  // [C], a buffer
	counter                  // int64, a buffer
)

func (r role) trained() bool { return r <= vectorParam }

func constant(v float32) func(uint64, uint64, uint64) float32 {
	return func(uint64, uint64, uint64) float32 { return v }
}

func normal(std float64) func(uint64, uint64, uint64) float32 {
	return func(i, seed, param uint64) float32 {
		s := rng.New(seed, rng.Weights, param, i)
		return float32(s.Normal() * std)
	}
}

func uniform(bound float64) func(uint64, uint64, uint64) float32 {
	return func(i, seed, param uint64) float32 {
		s := rng.New(seed, rng.Weights, param, i)
		return float32(s.Uniform(-bound, bound))
	}
}

// nearIdentity is 1 where channel in goes to channel out, else U(±0.01), for
// weights [in,out].
func nearIdentity(out int) func(uint64, uint64, uint64) float32 {
	small := uniform(0.01)
	return func(i, seed, param uint64) float32 {
		if i/uint64(out) == i%uint64(out) {
			return 1
		}
		return small(i, seed, param)
	}
}

func (Normalize) params([]Shape) []paramSpec     { return nil }
func (ReLU) params([]Shape) []paramSpec          { return nil }
func (Sigmoid) params([]Shape) []paramSpec       { return nil }
func (MaxPool) params([]Shape) []paramSpec       { return nil }
func (GlobalAvgPool) params([]Shape) []paramSpec { return nil }
func (Add) params([]Shape) []paramSpec           { return nil }
func (Concat) params([]Shape) []paramSpec        { return nil }
func (L2Normalize) params([]Shape) []paramSpec   { return nil }
func (Unfold) params([]Shape) []paramSpec        { return nil }
func (Fold) params([]Shape) []paramSpec          { return nil }

func (c Conv) params(in []Shape) []paramSpec {
	taps, channels := c.K*c.width(), in[0].C
	bound := 1 / math.Sqrt(float64(channels*taps))
	init := uniform(bound)
	switch {
	case c.Init == KaimingFanOut:
		init = normal(math.Sqrt(2 / float64(c.Out*taps)))
	case c.Init == Zero:
		init = constant(0)
	case c.Init == NearIdentity && taps == 1 && c.Out >= channels:
		init = nearIdentity(c.Out)
	}
	out := []paramSpec{{"weight", convWeight, []int{c.K, c.width(), channels, c.Out}, init}}
	if c.Bias {
		out = append(out, paramSpec{"bias", vectorParam, []int{c.Out}, uniform(bound)})
	}
	return out
}

func (b BatchNorm) params(in []Shape) []paramSpec {
	c := []int{in[0].C}
	out := []paramSpec{
		{"weight", vectorParam, c, constant(1)},
		{"bias", vectorParam, c, constant(0)},
		{"running_mean", running, c, constant(0)},
		{"running_var", running, c, constant(1)},
		{"num_batches_tracked", counter, nil, nil},
	}
	if b.ZeroGamma {
		out[0].init = constant(0)
	}
	if b.NoBeta {
		out = slices.Delete(out, 1, 2)
	}
	if b.NoGamma {
		out = slices.Delete(out, 0, 1)
	}
	return out
}

func (l Linear) params(in []Shape) []paramSpec {
	bound := 1 / math.Sqrt(float64(in[0].C))
	out := []paramSpec{{"weight", linearWeight, []int{in[0].C, l.Out}, uniform(bound)}}
	if l.Bias {
		out = append(out, paramSpec{"bias", vectorParam, []int{l.Out}, uniform(bound)})
	}
	return out
}

// A param is one tensor of the parameters: where it lies.
type param struct {
	name string
	spec paramSpec
	from int // in Params.Data (trained), Params.running or Params.counters
	len  int
}

// Params are the parameters of a graph: trained values with their gradients,
// and the buffers of its batch normalisations. Values and gradients lie in one
// slab each, so that an optimiser is one sweep; tensors begin on cache lines
// and what lies between them is zero.
type Params struct {
	// Data and Grad hold all trained values and their gradients; a copy that is not
	// trained has none.
	Data, Grad []float32
	running    []float32
	counters   []int64
	list       []param
	version    uint64 // counts changes of Data: packed weights know when they are stale
}

// NewParams returns initial parameters: a function of the graph and the seed.
func NewParams(g *Graph, seed uint64) *Params {
	p := layOut(g)
	p.Grad = kernel.Alloc(len(p.Data))
	pool := par.NewPool(0) // every element has a draw of its own: any split gives the same
	defer pool.Close()
	const block = 1 << 14
	for _, e := range p.list {
		if e.spec.init == nil {
			continue
		}
		name, dst := rng.HashID(e.name), p.slice(e)
		pool.Run(par.Phase{Tasks: (e.len + block - 1) / block, Run: func(_, task int) {
			for i := task * block; i < min((task+1)*block, e.len); i++ {
				dst[i] = e.spec.init(uint64(i), seed, name)
			}
		}})
	}
	return p
}

// NewScalar returns parameters that are one value under a name: what is trained
// beside a network. LARS treats it as a bias.
func NewScalar(name string, v float32) *Params {
	e := param{name: name, spec: paramSpec{role: vectorParam, shape: []int{1}}, len: 1}
	p := &Params{Data: kernel.Alloc(16), Grad: kernel.Alloc(16), list: []param{e}}
	p.Data[0] = v
	return p
}

// Trained returns the number of trained values of a graph.
func (g *Graph) Trained() int {
	total := 0
	for _, n := range g.Nodes {
		for _, s := range n.Op.params(g.shapesOf(n.In)) {
			if s.role.trained() {
				total += s.len()
			}
		}
	}
	return total
}

// layOut returns the parameters of a graph, all zero, without gradients.
func layOut(g *Graph) *Params {
	p := &Params{}
	size := map[bool]int{}
	counters := 0
	for _, n := range g.Nodes {
		for _, s := range n.Op.params(g.shapesOf(n.In)) {
			e := param{name: n.Name + "." + s.suffix, spec: s}
			if s.role == counter {
				e.from, e.len = counters, 1
				counters++
			} else {
				e.len = s.len()
				e.from = size[s.role.trained()]
				size[s.role.trained()] += (e.len + 15) &^ 15
			}
			p.list = append(p.list, e)
		}
	}
	p.Data = kernel.Alloc(size[true])
	p.running, p.counters = kernel.Alloc(size[false]), make([]int64, counters)
	return p
}

// CopyOf returns parameters with the values of p and no gradients, of g: the graph
// of p or the part of it that its first nodes are.
func CopyOf(p *Params, g *Graph) *Params {
	c := layOut(g)
	copy(c.Data, p.Data) // in the order of the nodes
	copy(c.running, p.running)
	copy(c.counters, p.counters)
	return c
}

// Average returns the phases that move these values and running statistics
// towards those of the same network's params, p = m·p + (1-m)·params. *m is read
// at every run.
func (p *Params) Average(params *Params, m *float32) []par.Phase {
	phases := append(kernel.EMA(p.Data, params.Data, m), kernel.EMA(p.running, params.running, m)...)
	return append(phases, par.Phase{Tasks: 1, Run: func(_, _ int) {
		copy(p.counters, params.counters)
		p.Changed()
	}})
}

// Changed must be called after Data was written.
func (p *Params) Changed() { p.version++ }

// Count returns the number of trained values.
func (p *Params) Count() int {
	n := 0
	for _, e := range p.list {
		if e.spec.role.trained() {
			n += e.len
		}
	}
	return n
}

// MemoryBytes returns the memory of the values and of their gradients, if there are any.
func (p *Params) MemoryBytes() int64 { return 4 * int64(len(p.Data)+len(p.Grad)+len(p.running)) }

func (p *Params) slice(e param) []float32 {
	if e.spec.role.trained() {
		return p.Data[e.from : e.from+e.len]
	}
	return p.running[e.from : e.from+e.len]
}

// find returns the named parameter; the name comes from the same graph.
func (p *Params) find(name string) param {
	for _, e := range p.list {
		if e.name == name {
			return e
		}
	}
	panic("encoder: no parameter " + name)
}

// Tensor returns the named trained values and their gradients as they lie: of a
// linear layer [in,out]. A name that is not there is an error of the program.
func (p *Params) Tensor(name string) (values, grad []float32) { return p.value(name), p.grad(name) }

// value and grad return the named values and their gradient as they lie.
func (p *Params) value(name string) []float32 { return p.slice(p.find(name)) }
func (p *Params) grad(name string) []float32 {
	e := p.find(name)
	return p.Grad[e.from : e.from+e.len]
}

// exportShape is the shape under which a tensor leaves the package.
func (s paramSpec) exportShape() []int {
	switch s.role {
	case convWeight:
		return []int{s.shape[3], s.shape[2], s.shape[0], s.shape[1]}
	case linearWeight:
		return []int{s.shape[1], s.shape[0]}
	case counter:
		return nil
	default:
		return s.shape
	}
}

// outsideIn calls move(outside, inside) for every element's two places.
func (s paramSpec) outsideIn(n int, move func(outside, inside int)) {
	switch s.role {
	case convWeight:
		taps, in, out := s.shape[0]*s.shape[1], s.shape[2], s.shape[3]
		for o := range out {
			for c := range in {
				for t := range taps {
					move((o*in+c)*taps+t, (t*in+c)*out+o)
				}
			}
		}
	case linearWeight:
		in, out := s.shape[0], s.shape[1]
		for o := range out {
			for c := range in {
				move(o*in+c, c*out+o)
			}
		}
	default:
		for i := range n {
			move(i, i)
		}
	}
}

// in returns how to find a trained tensor in a slab laid out as Data.
func (p *Params) in(slab []float32) func(param) []float32 {
	return func(e param) []float32 { return slab[e.from : e.from+e.len] }
}

// zeroGrad sets all gradients to zero.
func (p *Params) zeroGrad() par.Phase {
	const block = 1 << 16
	return par.Phase{Tasks: (len(p.Grad) + block - 1) / block, Run: func(_, task int) {
		clear(p.Grad[task*block : min((task+1)*block, len(p.Grad))])
	}}
}

// State returns a copy of all tensors under torchvision's names and layouts:
// convolutions OIHW, linear layers [out,in], with the batch-norm buffers.
func (p *Params) State() batch.State { return p.export(p.slice, true) }

// Grads returns a copy of the gradients of the trained tensors, named and laid
// out as State's.
func (p *Params) Grads() batch.State { return p.export(p.in(p.Grad), false) }

// Load takes over the tensors of a State. Every tensor must be there with the
// right shape, num_batches_tracked excepted; one that the network does not have
// is an error. All that is wrong is reported at once, and then nothing is changed.
func (p *Params) Load(s batch.State) error {
	if err := p.load(s, p.slice, true); err != nil {
		return err
	}
	p.Changed()
	return nil
}

// export copies tensors out of the slices that place finds, with the buffers
// if wanted.
func (p *Params) export(place func(param) []float32, buffers bool) batch.State {
	s := batch.State{Tensors: map[string]*tensor.Dense{}}
	for _, e := range p.list {
		switch {
		case !buffers && !e.spec.role.trained():
		case e.spec.role == counter:
			s.Tensors[e.name] = batch.NewTensor([]int64{p.counters[e.from]})
		default:
			src, dst := place(e), make([]float32, e.len)
			e.spec.outsideIn(e.len, func(outside, inside int) { dst[outside] = src[inside] })
			s.Tensors[e.name] = batch.NewTensor(dst, e.spec.exportShape()...)
		}
	}
	return s
}

// load is the reverse of export; after an error nothing is changed.
func (p *Params) load(s batch.State, place func(param) []float32, buffers bool) error {
	if err := p.check(s, buffers); err != nil {
		return err
	}
	p.take(s, place, buffers)
	return nil
}

// check reports what keeps load from taking a state over.
func (p *Params) check(s batch.State, buffers bool) error {
	var wrong []string
	known := map[string]bool{}
	for _, e := range p.list {
		if !buffers && !e.spec.role.trained() {
			continue
		}
		known[e.name] = true
		t, ok := s.Tensors[e.name]
		if !ok {
			if e.spec.role != counter {
				wrong = append(wrong, fmt.Sprintf("%s %v is missing", e.name, e.spec.exportShape()))
			}
			continue
		}
		if err := e.spec.check(t); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", e.name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		if !known[name] {
			wrong = append(wrong, name+" is not part of the network")
		}
	}
	if len(wrong) > 0 {
		const most = 6
		if n := len(wrong); n > most {
			wrong = append(wrong[:most], fmt.Sprintf("and %d more", n-most))
		}
		return fmt.Errorf("encoder: load: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// take takes a state over that check has passed.
func (p *Params) take(s batch.State, place func(param) []float32, buffers bool) {
	for _, e := range p.list {
		t, ok := s.Tensors[e.name]
		if !ok || !buffers && !e.spec.role.trained() {
			continue
		}
		if e.spec.role == counter {
			n, _ := batch.Values[int64](t)
			p.counters[e.from] = n[0]
			continue
		}
		src, _ := batch.Values[float32](t)
		dst := place(e)
		e.spec.outsideIn(e.len, func(outside, inside int) { dst[inside] = src[outside] })
	}
}

// check compares a tensor with what the network has under its name.
func (s paramSpec) check(t *tensor.Dense) error {
	got, want := []int(t.Shape()), s.exportShape()
	if s.role == counter {
		// A counter is a scalar, though some writers make it [1].
		if n, err := batch.Values[int64](t); err != nil || len(n) != 1 {
			return fmt.Errorf("got %v of %s, want one int64", got, t.Dtype())
		}
		return nil
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("has shape %v, want %v", got, want)
	}
	_, err := batch.Values[float32](t)
	return err
}
