package gaussian

import (
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// output is the name of a network's output.
const output = "out"

// perceptron is dim-256-256-out with ReLU.
func perceptron(dim, out int) *encoder.Graph {
	g := encoder.NewVectorGraph(dim)
	v := g.Add("0", encoder.Linear{Out: hidden, Bias: true}, 0)
	v = g.Add("2", encoder.Linear{Out: hidden, Bias: true}, g.Add("1", encoder.ReLU{}, v))
	g.Output(output, g.Add("4", encoder.Linear{Out: out, Bias: true}, g.Add("3", encoder.ReLU{}, v)))
	return g
}

// linear is a matrix [dim,dim].
func linear(dim int) *encoder.Graph {
	g := encoder.NewVectorGraph(dim)
	g.Output(output, g.Add("0", encoder.Linear{Out: dim}, 0))
	return g
}

// network is a graph in training.
type network struct {
	arena     *encoder.Arena
	optimizer encoder.Optimizer
	lr        float64
	in        encoder.Rows
	out, grad encoder.Rows
}

// network makes a graph learn by Adam on batches of rows.
func (e *experiment) network(name string, g *encoder.Graph, rows int) (*network, error) {
	plan, err := encoder.Compile(g, encoder.Options{Batch: rows, Mode: encoder.Train, Workers: 1, Grads: []string{output}})
	if err != nil {
		return nil, err
	}
	params := encoder.NewParams(g, e.cfg.Seed^rng.HashID(name)) // two networks of one form begin apart
	n := &network{arena: plan.Bind(params, e.pool).NewArena(), lr: e.cfg.LR}
	n.optimizer = encoder.NewAdam(params, encoder.AdamConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, e.pool)
	n.in, n.out, n.grad = n.arena.Input(), n.arena.Output(output), n.arena.OutputGrad(output)
	return n, nil
}

// forward runs the network on rows without gaps.
func (n *network) forward(x []float32) {
	for i := range n.in.N {
		copy(n.in.Row(i), x[i*n.in.D:(i+1)*n.in.D])
	}
	n.arena.Forward(nil)
}

// learn takes a step by the gradients in grad.
func (n *network) learn() {
	n.arena.Backward()
	n.optimizer.Step(n.lr)
}

// separable is f(x,y) = g(x)·h(y); without h it is g(x)·y.
type separable struct {
	pool              *par.Pool
	g, h              *network
	a, b, da, db      []float32 // [K,D] without gaps: g's and h's outputs and their gradients
	scores, grad      []float32 // [K,K]
	product, toA, toB []par.Phase
}

func newSeparable(e *experiment, g, h *encoder.Graph) (*separable, error) {
	k := e.cfg.Batch
	s := &separable{pool: e.pool, scores: kernel.Alloc(k * k), grad: kernel.Alloc(k * k)}
	var err error
	if s.g, err = e.network("g", g, k); err != nil {
		return nil, err
	}
	if h != nil {
		if s.h, err = e.network("h", h, k); err != nil {
			return nil, err
		}
	}
	d := s.g.out.D
	s.a, s.b, s.da, s.db = kernel.Alloc(k*d), kernel.Alloc(k*d), kernel.Alloc(k*d), kernel.Alloc(k*d)
	product := kernel.NewGemm(kernel.GemmShape{M: k, N: k, K: d, TransB: true}, 1)
	toA := kernel.NewGemm(kernel.GemmShape{M: k, N: d, K: k}, 1)
	toB := kernel.NewGemm(kernel.GemmShape{M: k, N: d, K: k, TransA: true}, 1)
	scratch := kernel.Alloc(max(product.ScratchLen(), toA.ScratchLen(), toB.ScratchLen()))
	s.product = product.Run(s.scores, s.a, s.b, scratch, false)
	s.toA = toA.Run(s.da, s.grad, s.b, scratch, false)
	s.toB = toB.Run(s.db, s.grad, s.a, scratch, false)
	return s, nil
}

func (s *separable) run(phases []par.Phase) {
	for _, ph := range phases {
		s.pool.Run(ph)
	}
}

func (s *separable) forward(x, y, scores []float32) {
	s.g.forward(x)
	take(s.a, s.g.out)
	if s.h == nil {
		copy(s.b, y)
	} else {
		s.h.forward(y)
		take(s.b, s.h.out)
	}
	s.run(s.product)
	copy(scores, s.scores)
}

func (s *separable) backward(grad []float32) {
	copy(s.grad, grad)
	s.run(s.toA)
	give(s.g.grad, s.da)
	s.g.learn()
	if s.h != nil {
		s.run(s.toB)
		give(s.h.grad, s.db)
		s.h.learn()
	}
}

func take(to []float32, from encoder.Rows) {
	for i := range from.N {
		copy(to[i*from.D:(i+1)*from.D], from.Row(i))
	}
}

func give(to encoder.Rows, from []float32) {
	for i := range to.N {
		copy(to.Row(i), from[i*to.D:(i+1)*to.D])
	}
}

// joint is f([x,y]): a network that sees all K·K pairs.
type joint struct {
	f      *network
	dim, k int
}

func newJoint(e *experiment) (*joint, error) {
	f, err := e.network("f", perceptron(2*e.cfg.Dim, 1), e.cfg.Batch*e.cfg.Batch)
	return &joint{f, e.cfg.Dim, e.cfg.Batch}, err
}

func (j *joint) forward(x, y, scores []float32) {
	for row := range j.k * j.k {
		in := j.f.in.Row(row)
		a, b := row/j.k, row%j.k
		copy(in, x[a*j.dim:(a+1)*j.dim])
		copy(in[j.dim:], y[b*j.dim:(b+1)*j.dim])
	}
	j.f.arena.Forward(nil)
	for row := range scores {
		scores[row] = j.f.out.Row(row)[0]
	}
}

func (j *joint) backward(grad []float32) {
	for row, g := range grad {
		j.f.grad.Row(row)[0] = g
	}
	j.f.learn()
}
