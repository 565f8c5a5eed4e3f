package contrast

import (
	"fmt"
	"math"
	"slices"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// GlobalLocal is the contrast of images' global vectors with the cells of their
// local maps: the losses of Deep InfoMax and AMDIM (kernel.GlobalLocal). Both
// outputs receive gradients.
type GlobalLocal struct {
	Global, Local Out
	// Components are the global vectors of a mixture, in place of Global. A cell's
	// posterior over them has the softmax' Sharpness τ, and its entropy counts
	// Entropy α (kernel.GlobalLocal).
	Components         []Out
	Sharpness, Entropy float64
	// RandomCell takes as the global vector one cell of a map, drawn for every
	// image and step under Draw.
	RandomCell bool
	Draw       int

	Estimator            Estimator
	Scale, Clip, Penalty float64
	Weight               float64
}

// Estimator names the way from scores to a bound on mutual information.
type Estimator string

const (
	NCE Estimator = "nce"
	JSD Estimator = "jsd"
	DV  Estimator = "dv"
)

var estimators = map[Estimator]kernel.Estimator{NCE: kernel.NCEEstimator, JSD: kernel.JSDEstimator, DV: kernel.DVEstimator}

func (o GlobalLocal) bind(c *cpu) boundLoss {
	globals := o.Components
	if len(globals) == 0 {
		globals = []Out{o.Global}
	}
	global, local := c.rows(globals[0]), c.rows(o.Local)
	n := c.cfg.Batch
	s := kernel.GlobalLocalShape{N: n, Q: local.N / n, D: global.Stride, K: len(globals)}
	if global.Stride != local.Stride {
		panic(fmt.Sprintf("contrast: global-local: global vectors of %d floats, cells of %d", global.Stride, local.Stride))
	}
	result := &kernel.GlobalLocalResult{}
	args := &kernel.GlobalLocalArgs{
		Local: local.Data, DLocal: c.grad(o.Local).Data, Sharpness: float32(o.Sharpness), Entropy: float32(o.Entropy),
		Estimator: estimators[o.Estimator], Scale: float32(o.Scale), Clip: float32(o.Clip), Penalty: float32(o.Penalty),
		GradScale: float32(o.Weight), Result: result,
	}
	for _, g := range globals {
		args.Components = append(args.Components, c.rows(g).Data)
		args.DComponents = append(args.DComponents, c.grad(g).Data)
	}
	b := boundLoss{
		value: func() float64 { return o.Weight * (result.Loss + result.Penalty) },
		acc1:  func() float64 { return result.Top1 },
		report: func(m *Metrics) {
			m.Acc1 = result.Top1
			m.MIBound = math.Log(float64(1+(n-1)*s.Q)) - result.NCE
			m.ofLoss(o.Estimator, result.Loss)
		},
	}
	if o.RandomCell {
		args.GlobalRow = make([]int32, n)
		cells := global.N / n
		b.before = func() {
			for i := range n {
				draw := c.draw(rng.Cell, uint64(o.Draw*n+i))
				args.GlobalRow[i] = int32(i*cells + draw.IntN(cells))
			}
		}
	}
	plan := kernel.NewGlobalLocal(s, c.pool.Workers())
	b.phases = plan.Bind(args, c.scratchOf(plan.ScratchLen()))
	return b
}

// ScorePairs is the loss of scores given in turn, image by image: Rows of the
// image's own pairs, then as many of pairs with another image. The negatives of
// InfoNCE are the latter.
type ScorePairs struct {
	Scores    Out
	Estimator Estimator
	Weight    float64
}

func (o ScorePairs) bind(c *cpu) boundLoss {
	scores, grads := c.rows(o.Scores), c.grad(o.Scores)
	n := c.cfg.Batch
	q := scores.N / (2 * n)
	loss, top1, nce := 0.0, 0.0, 0.0
	return boundLoss{
		phases: []par.Phase{{Tasks: 1, Run: func(_, _ int) {
			loss, nce, top1 = o.estimate(scores.Data, grads.Data, scores.Stride, n, q)
		}}},
		value: func() float64 { return o.Weight * loss },
		acc1:  func() float64 { return top1 },
		report: func(m *Metrics) {
			m.Acc1, m.MIBound = top1, math.Log(float64(1+q))-nce
			m.ofLoss(o.Estimator, loss)
		},
	}
}

// estimate returns the loss, that of InfoNCE and the share of positives above
// their negatives, and adds the gradients.
func (o ScorePairs) estimate(scores, grads []float32, stride, n, q int) (loss, nce, top1 float64) {
	cells := float64(n * q)
	at := func(image, negative, l int) int { return ((2*image+negative)*q + l) * stride }
	score := func(image, negative, l int) float64 { return float64(scores[at(image, negative, l)]) }
	add := func(image, negative, l int, g float64) { grads[at(image, negative, l)] += float32(o.Weight * g) }
	all, most := 0.0, math.Inf(-1)
	for i := range n {
		for l := range q {
			most = max(most, score(i, 1, l))
		}
	}
	for i := range n {
		top, sum := math.Inf(-1), 0.0
		for l := range q {
			top = max(top, score(i, 1, l))
		}
		for l := range q {
			sum += math.Exp(score(i, 1, l) - top)
			all += math.Exp(score(i, 1, l) - most)
		}
		negatives, inverse := top+math.Log(sum), 0.0
		for l := range q {
			t := score(i, 0, l)
			lost := sigmoid(negatives - t)
			nce += softplus(negatives-t) / cells
			inverse += lost
			if t > top {
				top1 += 1 / cells
			}
			switch o.Estimator {
			case NCE:
				add(i, 0, l, -lost/cells)
			case JSD:
				loss += (softplus(-t) + softplus(score(i, 1, l))) / cells
				add(i, 0, l, -sigmoid(-t)/cells)
				add(i, 1, l, sigmoid(score(i, 1, l))/cells)
			case DV:
				loss -= t / cells
				add(i, 0, l, -1/cells)
			}
		}
		if o.Estimator == NCE {
			for l := range q {
				add(i, 1, l, math.Exp(score(i, 1, l)-negatives)*inverse/cells)
			}
		}
	}
	switch o.Estimator {
	case NCE:
		loss = nce
	case JSD:
		loss -= 2 * math.Ln2
	case DV:
		loss += most + math.Log(all/cells)
		for i := range n {
			for l := range q {
				add(i, 1, l, math.Exp(score(i, 1, l)-most)/all)
			}
		}
	}
	return loss, nce, top1
}

// Logistic is the loss of a discriminator's scores: mean log(1+exp(-score))
// where Real, of log(1+exp(score)) where not.
type Logistic struct {
	Scores Out
	Real   bool
	Weight float64
	// Apart leaves the loss out of the step's sum: that of an adversary.
	Apart bool
}

func (o Logistic) bind(c *cpu) boundLoss {
	scores, grads := c.rows(o.Scores), c.grad(o.Scores)
	sign := 1.0
	if o.Real {
		sign = -1
	}
	loss := 0.0
	return boundLoss{
		phases: []par.Phase{{Tasks: 1, Run: func(_, _ int) {
			loss = 0
			for i := range scores.N {
				x := sign * float64(scores.Row(i)[0])
				loss += softplus(x) / float64(scores.N)
				grads.Row(i)[0] += float32(o.Weight * sign * sigmoid(x) / float64(scores.N))
			}
		}}},
		value: func() float64 {
			if o.Apart {
				return 0
			}
			return o.Weight * loss
		},
	}
}

// sigmoid is 1/(1+exp(-x)), softplus log(1+exp(x)).
func sigmoid(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// checkEstimator returns what is wrong with it, and with so few images.
func checkEstimator(c Config) []error {
	_, ok := estimators[c.Estimator]
	return slices.Concat(
		expect(ok, "estimator", fmt.Sprintf("%q", c.Estimator), "jsd, nce or dv"),
		expect(c.Batch > 1 || c.Estimator == NCE, "batch", c.Batch, fmt.Sprintf("at least 2: %s compares images with one another", c.Estimator)))
}
