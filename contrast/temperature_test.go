package contrast

import (
	"math"
	"testing"

	"clpipe/encoder"
)

// At SimCLR's rate of LARS a step takes log 1/τ no further than a rate of 0.01 does,
// and from a bound it returns with the first gradient that says so, whatever the
// optimiser remembers.
func TestLearnedTemperatureLeavesItsBound(t *testing.T) {
	for _, kind := range []encoder.OptimizerKind{encoder.SGDOptimizer, encoder.LARSOptimizer, encoder.AdamOptimizer} {
		cfg, err := Recipe("simclr", 32, Small)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Optimizer, cfg.LearnTemperature, cfg.Temperature, cfg.Workers = kind, true, 0.5, 1
		x := newCPU(&blueprint{cfg: cfg})
		defer x.close()
		temper := x.newTemperature()
		step := func(grad float32) float64 {
			before := temper.net.params.Data[0]
			temper.net.params.Grad[0] = grad
			temper.optimise(2)
			return float64(temper.net.params.Data[0] - before)
		}
		if moved := step(-1); math.Abs(moved-0.01) > 1e-6 {
			t.Errorf("%s: the first step goes %v, want 0.01", kind, moved)
		}
		for range 1000 {
			step(-1)
		}
		if got := temper.value(); math.Abs(got-0.01) > 1e-6 {
			t.Errorf("%s: τ ends at %v, want the bound 0.01", kind, got)
		}
		if moved := step(1); math.Abs(moved+0.01) > 1e-6 {
			t.Errorf("%s: the first step back goes %v, want -0.01", kind, moved)
		}
	}
}
