package contrast_test

import (
	"math"
	"strings"
	"testing"

	"clpipe/contrast"
	"clpipe/encoder"
)

func TestOptimizerSetsItsRate(t *testing.T) {
	for _, c := range []struct {
		method               string
		kind                 encoder.OptimizerKind
		lr, decay, momentum  float64
		warmup, warmupEpochs int
	}{
		{"moco-cifar", encoder.SGDOptimizer, 0.06, 5e-4, 0.9, 0, 0}, // the recipe's own; batch 512
		{"moco-cifar", encoder.LARSOptimizer, 0.6, 1e-6, 0.9, 0, 10},
		{"moco-cifar", encoder.AdamOptimizer, 2e-4, 1e-5, 0.9, 0, 0},
		{"moco-cifar", encoder.AdamWOptimizer, 3e-4, 0.1, 0.9, 0, 0},
		{"dim", encoder.SGDOptimizer, 0.0075, 1e-4, 0.9, 0, 0},   // batch 64
		{"cpc", encoder.AdamWOptimizer, 0.75e-4, 0.1, 0.9, 0, 0}, // batch 128, and Adam's epsilon is CPC's no more
		{"amdim", encoder.SGDOptimizer, 0.03 * 200 / 256, 1e-4, 0.9, 500, 0},
		{"amdim", encoder.LARSOptimizer, 0.3 * 200 / 256, 1e-6, 0.9, 500, 0},
	} {
		cfg, err := contrast.Recipe(c.method, 32, contrast.Paper)
		if err != nil {
			t.Fatal(err)
		}
		cfg.SetOptimizer(c.kind)
		if cfg.Optimizer != c.kind || cfg.AdamEps != 0 || math.Abs(cfg.Schedule.Base-c.lr) > 1e-12 || cfg.WeightDecay != c.decay || cfg.SGDMomentum != c.momentum ||
			cfg.Schedule.Warmup != c.warmup || cfg.Schedule.WarmupEpochs != c.warmupEpochs {
			t.Errorf("%s of %s: %+v, want %+v", c.kind, c.method, cfg, c)
		}
	}
}

// Each optimiser trains its own way, and a run that goes on from a checkpoint
// ends as one that was never interrupted.
func TestResumedOptimizers(t *testing.T) {
	weights := map[string]encoder.OptimizerKind{}
	for _, kind := range []encoder.OptimizerKind{encoder.SGDOptimizer, encoder.LARSOptimizer, encoder.AdamOptimizer, encoder.AdamWOptimizer} {
		cfg := small(t, 4)
		cfg.Optimizer = kind
		want, full := train(t, cfg, newSource(8, 1, 16, 4), nil, contrast.Hooks{})
		if other, taken := weights[want.Weights]; taken {
			t.Errorf("%s trains to the weights of %s", kind, other)
		}
		weights[want.Weights] = kind
		state := full.states[2]
		got, _ := train(t, cfg, newSource(8, 1, 16, 4), &state, contrast.Hooks{})
		if got.Weights != want.Weights || got.Steps != 4 {
			t.Errorf("%s: %d steps to weights %.8s after resuming, want 4 to %.8s", kind, got.Steps, got.Weights, want.Weights)
		}
	}
}

// The state of one optimiser is no other's.
func TestStateOfAnotherOptimizerIsRefused(t *testing.T) {
	cfg := small(t, 2)
	_, rec := train(t, cfg, newSource(8, 1, 8, 4), nil, contrast.Hooks{})
	cfg.Optimizer = encoder.AdamOptimizer
	trainer, err := contrast.New(cfg, contrast.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	const want = "not part of Adam"
	if err := trainer.Load(rec.states[1]); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("loading SGD's state into Adam: got error %v, want %q", err, want)
	}
}

func TestClipNormChangesTheRun(t *testing.T) {
	weights := map[float64]string{}
	for _, most := range []float64{0, 1e9, 1e-3} {
		cfg := small(t, 2)
		cfg.ClipNorm = most
		summary, _ := train(t, cfg, newSource(8, 1, 8, 4), nil, contrast.Hooks{})
		weights[most] = summary.Weights
	}
	if weights[0] != weights[1e9] || weights[0] == weights[1e-3] {
		t.Errorf("weights %v, want those of 0 and 1e9 alone to be equal", weights)
	}
}
