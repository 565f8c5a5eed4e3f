// Package gaussian repeats the experiment of "On Variational Bounds of Mutual
// Information" (Poole et al. 2019, figure 2): critics are trained to estimate
// the mutual information of two Gaussian vectors whose correlation, and with it
// the information, is known and rises in steps. It shows what each bound of
// package bounds costs: the bias of InfoNCE at its ceiling log K, the variance of
// NWJ and TUBA, and the trade between them of I_α.
package gaussian

import (
	"fmt"
	"math"
	"slices"

	"clpipe/contrast/bounds"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// Config is an experiment with one bound.
type Config struct {
	Bound  string // one of Bounds
	Critic string // one of Critics
	Dim    int    // of each vector
	Batch  int    // K pairs
	Levels []float64
	Steps  int // of training at each level
	LR     float64
	Seed   uint64
}

// Bounds names what is estimated by: alpha-A is I_α with a learned baseline, as
// tuba has. jsd is trained by the Jensen-Shannon objective and read off by TUBA
// without a baseline.
var Bounds = []string{"nce", "nwj", "tuba", "dv", "jsd", "alpha-0.01", "alpha-0.5"}

// Critics names the forms of f(x,y): separable g(x)·h(y) and joint f([x,y]) with
// two hidden layers of 256 units, bilinear x·W y.
var Critics = []string{"separable", "bilinear", "joint"}

const (
	hidden = 256 // units of a layer
	code   = 32  // of a separable critic
)

// Correlation returns the ρ at which vectors of dim dimensions, each pair of
// coordinates correlated by ρ, have so many nats in common: I = -dim/2 log(1-ρ²).
func Correlation(nats float64, dim int) float64 {
	return math.Sqrt(-math.Expm1(-2 * nats / float64(dim)))
}

// Run trains the critic through all levels, one after the other, and returns the
// estimate of each step, in nats. It runs on the calling goroutine; the result
// depends on cfg alone.
func Run(cfg Config) ([]float64, error) {
	if !slices.Contains(Bounds, cfg.Bound) || !slices.Contains(Critics, cfg.Critic) {
		return nil, fmt.Errorf("gaussian: bound %q by a %q critic: want one of %v by one of %v", cfg.Bound, cfg.Critic, Bounds, Critics)
	}
	if cfg.Dim < 1 || cfg.Batch < 2 || cfg.Steps < 1 || len(cfg.Levels) == 0 {
		return nil, fmt.Errorf("gaussian: %d dimensions, %d pairs, %d steps at %d levels: want some of each, and two pairs", cfg.Dim, cfg.Batch, cfg.Steps, len(cfg.Levels))
	}
	pool := par.NewPool(1)
	defer pool.Close()
	e := &experiment{cfg: cfg, pool: pool, x: make([]float32, cfg.Batch*cfg.Dim), y: make([]float32, cfg.Batch*cfg.Dim)}
	n := cfg.Batch * cfg.Batch
	e.scores = bounds.Scores[float32]{K: cfg.Batch, F: kernel.Alloc(n)}
	e.grad = kernel.Alloc(n)
	var err error
	switch cfg.Critic {
	case "separable":
		e.critic, err = newSeparable(e, perceptron(cfg.Dim, code), perceptron(cfg.Dim, code))
	case "bilinear":
		e.critic, err = newSeparable(e, linear(cfg.Dim), nil)
	default:
		e.critic, err = newJoint(e)
	}
	if err == nil && e.hasBaseline() {
		e.baseline, err = e.network("baseline", perceptron(cfg.Dim, 1), cfg.Batch)
		e.b, e.gradB = make([]float32, cfg.Batch), make([]float32, cfg.Batch)
	}
	if err != nil {
		return nil, err
	}
	estimates := make([]float64, 0, len(cfg.Levels)*cfg.Steps)
	for _, nats := range cfg.Levels {
		for range cfg.Steps {
			e.draw(len(estimates), Correlation(nats, cfg.Dim))
			estimates = append(estimates, e.step())
		}
	}
	return estimates, nil
}

type experiment struct {
	cfg  Config
	pool *par.Pool

	x, y   []float32 // [K,Dim]
	scores bounds.Scores[float32]
	grad   []float32 // of the bound, in the scores

	critic   critic
	baseline *network  // nil: none
	b, gradB []float32 // [K]
	average  bounds.DVAverage
}

// critic computes scores from x and y and learns by their gradients.
type critic interface {
	forward(x, y []float32, scores []float32)
	backward(grad []float32) // of the loss
}

func (e *experiment) hasBaseline() bool {
	return e.cfg.Bound == "tuba" || len(e.cfg.Bound) > 5 && e.cfg.Bound[:5] == "alpha"
}

// draw fills x and y: y = ρ x + sqrt(1-ρ²) noise.
func (e *experiment) draw(step int, rho float64) {
	s := rng.New(e.cfg.Seed, rng.Benchmark, rng.HashID("gaussian"), uint64(step))
	rest := math.Sqrt(1 - rho*rho)
	for i := range e.x {
		x := s.Normal()
		e.x[i], e.y[i] = float32(x), float32(rho*x+rest*s.Normal())
	}
}

// step estimates the information of the batch and then learns from it.
func (e *experiment) step() float64 {
	e.critic.forward(e.x, e.y, e.scores.F)
	if e.baseline != nil {
		e.baseline.forward(e.x)
		for i := range e.b {
			e.b[i] = e.baseline.out.Row(i)[0]
		}
	}
	estimate := e.bound()
	for i := range e.grad {
		e.grad[i] = -e.grad[i]
	}
	e.critic.backward(e.grad)
	if e.baseline != nil {
		for i, g := range e.gradB {
			e.baseline.grad.Row(i)[0] = -g
		}
		e.baseline.learn()
	}
	return estimate
}

// bound returns the estimate and sets the gradients.
func (e *experiment) bound() float64 {
	switch e.cfg.Bound {
	case "nce":
		return e.scores.NCE(e.grad)
	case "nwj":
		return e.scores.NWJ(e.grad)
	case "tuba":
		return e.scores.TUBA(e.b, e.grad, e.gradB)
	case "dv":
		return bounds.DVCorrected(e.scores, &e.average, e.grad)
	case "jsd":
		e.scores.JSD(e.grad)
		return e.scores.TUBA(nil, nil, nil)
	case "alpha-0.01":
		return e.scores.Interpolated(0.01, e.b, e.grad, e.gradB)
	}
	return e.scores.Interpolated(0.5, e.b, e.grad, e.gradB)
}
