package contrast

import (
	"math"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// maxLogScale is the logarithm of the largest 1/τ that is learned, 100 (Radford et
// al. 2021, section 2.5), and of the largest τ.
const maxLogScale = 4.605170

// temperatureRate is the largest rate of log 1/τ. Radford et al. train it at the
// encoder's, 5e-4 of Adam; SGD's and LARS's, up to 5, would take it from bound to bound
// in a step.
const temperatureRate = 0.01

// A temperature that is learned is trained as log 1/τ, without weight decay, by
// the optimiser of the encoder (Radford et al. 2021), at its rate up to temperatureRate.
type temperature struct {
	net *cpuNet // of one value
}

func (c *cpu) newTemperature() *temperature {
	n := &cpuNet{name: "temperature", params: encoder.NewScalar("log_scale", float32(-math.Log(c.cfg.Temperature)))}
	cfg := c.cfg
	cfg.WeightDecay = 0
	n.optimizer = cfg.newOptimizer(n.params, c.pool)
	c.nets = append(c.nets, n)
	return &temperature{n}
}

func (t *temperature) value() float64 { return math.Exp(-float64(t.net.params.Data[0])) }

func (t *temperature) optimise(lr float64) {
	t.net.optimizer.Step(min(lr, temperatureRate))
	log := &t.net.params.Data[0]
	bounded := min(max(*log, -maxLogScale), maxLogScale)
	if bounded == *log {
		return
	}
	*log = bounded
	// What the optimiser remembers is the way beyond the bound, where it would hold
	// τ long after the gradient has turned.
	if err := t.net.optimizer.Load(batch.State{}); err != nil {
		panic(err) // that of no step is every optimiser's
	}
}

// teach makes a loss of so much weight use the temperature and adds to its
// gradient: of log a, a = 1/τ,
//
//	a·Σ_i g_i (Σ_j P_ij c_ij - c_i+) = Σ_i g_i (loss_i - entropy_i)
//
// since Σ_j P_ij s_ij = lse_i - entropy_i. It returns what comes before the
// loss's own phases and after them; without a temperature to learn, nothing.
func (t *temperature) teach(args *kernel.InfoNCEArgs, weight float64) (before func(), after []par.Phase) {
	if t == nil {
		return func() {}, nil
	}
	grad := t.net.params.Grad
	return func() { args.Temperature = float32(t.value()) }, []par.Phase{{Tasks: 1, Run: func(_, _ int) {
		grad[0] += float32(weight * (mean(args.Loss) - mean(args.Entropy)))
	}}}
}

// report puts the temperature into the metrics where it is learned.
func (t *temperature) report(m *Metrics) {
	if t != nil {
		m.Temperature = t.value()
	}
}
