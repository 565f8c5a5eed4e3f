package contrast

import (
	"fmt"
	"math"
	"slices"

	"clpipe/contrast/bounds"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// Bound names a lower bound on mutual information as a training objective
// (Poole et al. 2019; package bounds).
type Bound string

const (
	BoundNCE          Bound = "nce"
	BoundNWJ          Bound = "nwj"
	BoundTUBA         Bound = "tuba"
	BoundDV           Bound = "dv"
	BoundJSD          Bound = "jsd"
	BoundInterpolated Bound = "ialpha"
)

var trainedBounds = []Bound{BoundNCE, BoundNWJ, BoundTUBA, BoundDV, BoundJSD, BoundInterpolated}

// SetBound changes the objective of InfoNCE within the batch; SetCritic and Dim
// come before. NWJ and TUBA hold e^f itself, which a small temperature lets explode:
// they start at τ 1, and at √Dim where f is an inner product of that many terms of
// any size. Where nothing holds scores back, gradients are clipped, as Belghazi et
// al. 2018 clip those of DV.
func (c *Config) SetBound(b Bound) {
	c.Bound = b
	switch b {
	case BoundNWJ, BoundTUBA:
		c.Temperature, c.ClipNorm = 1, 1
		if c.Critic == DotCritic {
			c.Temperature = math.Sqrt(float64(c.Dim))
		}
	case BoundDV:
		c.ClipNorm = 1
	}
}

// hasBaseline reports whether a baseline is trained with the bound: a linear
// layer on the query's projection.
func (b Bound) hasBaseline() bool { return b == BoundTUBA || b == BoundInterpolated }

// maxPairs bounds the batch whose N² scores are all held.
const maxPairs = 1 << 13

// checkBound returns what is wrong with a bound and what it is trained on.
func checkBound(c Config) []error {
	return slices.Concat(
		expect(slices.Contains(trainedBounds, c.Bound), "bound", fmt.Sprintf("%q", c.Bound), "nce, nwj, tuba, dv, jsd or ialpha"),
		expect(c.BoundAlpha >= 0 && c.BoundAlpha <= 1, "bound-alpha", c.BoundAlpha, "in [0,1]"),
		expect(!c.holdsScores() || c.Batch <= maxPairs, "batch", c.Batch, fmt.Sprintf("at most %d: this bound and critic hold the scores of all pairs", maxPairs)))
}

// holdsScores reports whether the objective holds the scores of all pairs, as
// every one but InfoNCE of an inner product.
func (c Config) holdsScores() bool { return c.Bound != BoundNCE || c.Critic == MLPCritic }

// PairBound is the negative of a bound over the N² pairs of N queries and N keys,
// of which query i belongs to key i. Scores are inner products, or with Last
// those of a perceptron, and are held, with their gradients: [N,N] each. Both
// outputs receive gradients, and so does the baseline [N,1].
type PairBound struct {
	Query, Key  Out
	Baseline    *Out // of a bound that trains one
	Last        *Net // encoder.PairCritic; nil: the score is the inner product
	Bound       Bound
	Alpha       float64 // of I_α
	Temperature float64
}

// pairBound is a PairBound at work.
type pairBound struct {
	PairBound
	n             int
	scores, grads []float32 // [N,N]: f_ij; from -∂I/∂f_ij on ∂loss/∂(f_ij·τ)
	above         []int32   // negatives above a query's positive
	base, dbase   []float32 // [N]; nil: no baseline
	interpolated  *bounds.Interpolator
	average       *bounds.DVAverage
	tau           func() float64
	dlogscale     []float32 // gradient of log 1/τ; nil: it is not learned
	value         float64   // nats
}

func (o PairBound) bind(c *cpu) boundLoss {
	n := c.cfg.Batch
	b := &pairBound{PairBound: o, n: n, scores: kernel.Alloc(n * n), grads: kernel.Alloc(n * n), above: make([]int32, n)}
	b.tau = func() float64 { return o.Temperature }
	if t := c.temperature; t != nil {
		b.tau, b.dlogscale = t.value, t.net.params.Grad
	}
	switch o.Bound {
	case BoundInterpolated:
		b.interpolated = bounds.NewInterpolator(n, o.Alpha)
	case BoundDV:
		b.average = c.newAverage()
	}
	if o.Baseline != nil {
		b.base, b.dbase = make([]float32, n), make([]float32, n)
	}
	var forward, backward []par.Phase
	if o.Last != nil {
		forward, backward = b.perceptron(c.rows(o.Query), c.rows(o.Key), c.grad(o.Query), c.grad(o.Key), c.byNet[*o.Last].params)
	} else {
		forward, backward = b.product(c)
	}
	return boundLoss{
		before: func() {
			if b.average != nil {
				b.average.Started = c.step > 0
			}
			if o.Baseline != nil {
				rows := c.rows(*o.Baseline)
				for i := range b.base {
					b.base[i] = rows.Row(i)[0]
				}
			}
		},
		phases: slices.Concat(forward, []par.Phase{{Tasks: 1, Run: func(_, _ int) {
			b.evaluate()
			if o.Baseline != nil {
				rows := c.grad(*o.Baseline)
				for i, g := range b.dbase {
					rows.Row(i)[0] -= g
				}
			}
		}}}, backward),
		value: func() float64 { return -b.value },
		acc1:  func() float64 { return shareBelow(b.above, 1) },
		report: func(m *Metrics) {
			b.report(m)
			c.temperature.report(m)
		},
	}
}

// evaluate turns the products in scores into scores, and sets the gradients.
func (b *pairBound) evaluate() {
	scale := float32(1 / b.tau())
	for i := range b.n {
		row := b.scores[i*b.n : (i+1)*b.n]
		for j := range row {
			row[j] *= scale
		}
		b.above[i] = 0
		for j, f := range row {
			if f > row[i] && j != i {
				b.above[i]++
			}
		}
	}
	s := bounds.Scores[float32]{K: b.n, F: b.scores}
	switch b.Bound {
	case BoundNCE:
		b.value = s.NCE(b.grads) - math.Log(float64(b.n)) // the loss is the cross-entropy
	case BoundNWJ:
		b.value = s.NWJ(b.grads)
	case BoundTUBA:
		b.value = s.TUBA(b.base, b.grads, b.dbase)
	case BoundDV:
		b.value = bounds.DVCorrected(s, b.average, b.grads)
	case BoundJSD:
		b.value = s.JSD(b.grads)
	case BoundInterpolated:
		b.value = bounds.Interpolate(b.interpolated, s, b.base, b.grads, b.dbase)
	}
	if b.dlogscale != nil {
		sum := 0.0
		for i, g := range b.grads {
			sum -= float64(g) * float64(b.scores[i])
		}
		b.dlogscale[0] += float32(sum)
	}
	for i := range b.grads {
		b.grads[i] *= -scale
	}
}

// report measures the scores of the step by every bound.
func (b *pairBound) report(m *Metrics) {
	s := bounds.Scores[float32]{K: b.n, F: b.scores}
	m.MIBound = s.NCE(nil)
	m.Acc1, m.Acc5 = shareBelow(b.above, 1), known(shareBelow(b.above, 5))
	m.DV, m.NWJ = known(s.DV(nil)), known(s.NWJ(nil))
	m.TUBA = known(s.OwnBaseline())
	m.ofBatch(s)
	switch b.Bound {
	case BoundTUBA:
		m.TUBA = known(b.value)
	case BoundInterpolated:
		m.Interpolated = known(b.value)
	}
}

// product returns the phases of the inner products and of their gradients.
func (b *pairBound) product(c *cpu) (forward, backward []par.Phase) {
	q, k := c.rows(b.Query), c.rows(b.Key)
	dq, dk := c.grad(b.Query), c.grad(b.Key)
	n, workers := b.n, c.pool.Workers()
	product := kernel.NewGemm(kernel.GemmShape{M: n, N: n, K: q.D, TransB: true, LDA: q.Stride, LDB: k.Stride}, workers)
	toQuery := kernel.NewGemm(kernel.GemmShape{M: n, N: q.D, K: n, LDB: k.Stride, LDC: dq.Stride}, workers)
	toKey := kernel.NewGemm(kernel.GemmShape{M: n, N: q.D, K: n, TransA: true, LDB: q.Stride, LDC: dk.Stride}, workers)
	scratch := c.scratchOf(max(product.ScratchLen(), toQuery.ScratchLen(), toKey.ScratchLen()))
	forward = product.Run(b.scores, q.Data, k.Data, scratch, false)
	backward = append(toQuery.Run(dq.Data, b.grads, k.Data, scratch, true), toKey.Run(dk.Data, b.grads, q.Data, scratch, true)...)
	return forward, backward
}

// perceptron returns the phases of v·ReLU(u_i + w_j) + c, whose hidden layer is
// never held, and of its gradients.
func (b *pairBound) perceptron(u, w, du, dw encoder.Rows, last *encoder.Params) (forward, backward []par.Phase) {
	v, dv := last.Tensor("out.weight")
	bias, dbias := last.Tensor("out.bias")
	n, h := b.n, u.D
	parts := kernel.Alloc(n * (h + 1)) // a query's share in the gradients of v and c
	forward = []par.Phase{{Tasks: n, Run: func(_, i int) {
		ui := u.Row(i)[:h]
		for j := range n {
			b.scores[i*n+j] = bias[0] + hidden(ui, w.Row(j)[:h], v)
		}
	}}}
	backward = []par.Phase{
		{Tasks: n, Run: func(_, i int) {
			ui, part := u.Row(i)[:h], parts[i*(h+1):(i+1)*(h+1)]
			clear(part)
			for j := range n {
				g := b.grads[i*n+j]
				hiddenBackward(g, ui, w.Row(j)[:h], v, du.Row(i)[:h], part[:h])
				part[h] += g
			}
		}},
		{Tasks: n, Run: func(_, j int) {
			wj := w.Row(j)[:h]
			for i := range n {
				hiddenBackward(b.grads[i*n+j], wj, u.Row(i)[:h], v, dw.Row(j)[:h], nil)
			}
		}},
		{Tasks: 1, Run: func(_, _ int) {
			for i := range n {
				part := parts[i*(h+1) : (i+1)*(h+1)]
				for k := range dv {
					dv[k] += part[k]
				}
				dbias[0] += part[h]
			}
		}},
	}
	return forward, backward
}

// hidden is Σ v·ReLU(x+y).
func hidden(x, y, v []float32) float32 {
	sum := float32(0)
	for k, a := range x {
		if a += y[k]; a > 0 {
			sum += a * v[k]
		}
	}
	return sum
}

// hiddenBackward adds the gradients g·∂hidden in x to dx and in v to dv, unless
// it is nil.
func hiddenBackward(g float32, x, y, v, dx, dv []float32) {
	for k, a := range x {
		if a += y[k]; a > 0 {
			dx[k] += g * v[k]
			if dv != nil {
				dv[k] += g * a
			}
		}
	}
}

// newAverage declares the moving average of a DV that is trained: state that goes
// on from step to step.
func (c *cpu) newAverage() *bounds.DVAverage {
	a := &bounds.DVAverage{}
	c.averages = append(c.averages, a)
	return a
}

// baseline is the output of encoder.AddBaseline.
const baseline = "baseline"

// pairCritic declares the last layer of a perceptron's scores, nil of other critics.
func pairCritic(x Executor, c Config) *Net {
	if c.Critic != MLPCritic {
		return nil
	}
	n := x.Network("critic", encoder.PairCritic())
	return &n
}
