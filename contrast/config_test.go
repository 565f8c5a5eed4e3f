package contrast_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/internal/kernel"
)

// The recipes are those of the papers and their code; the small preset scales the
// learning rate with the batch.
func TestRecipesAreThePublishedOnes(t *testing.T) {
	for _, c := range []struct {
		method             string
		size               int
		preset             contrast.Preset
		name               string
		depth              int
		head               encoder.HeadKind
		queue, batch       int
		m, tau, lr, decay  float64
		kind               encoder.ScheduleKind
		normalize          encoder.Normalize
		cifarStem, unknown bool
	}{
		{"moco-v1", 224, "", "moco-v1", 50, encoder.LinearHead, 65536, 256, 0.999, 0.07, 0.03, 1e-4, encoder.StepDecay, contrast.NormalizeImageNet, false, false},
		{"moco-v2", 224, contrast.Paper, "moco-v2", 50, encoder.MLPHead, 65536, 256, 0.999, 0.2, 0.03, 1e-4, encoder.Cosine, contrast.NormalizeImageNet, false, false},
		{"moco", 224, contrast.Small, "moco-v2", 18, encoder.MLPHead, 4096, 256, 0.999, 0.2, 0.03, 1e-4, encoder.Cosine, contrast.NormalizeImageNet, false, false},
		{"moco", 32, contrast.Paper, "moco-cifar", 18, encoder.LinearHead, 4096, 512, 0.99, 0.1, 0.06, 5e-4, encoder.Cosine, contrast.NormalizeCIFAR10, true, false},
		{"moco", 96, "", "moco-cifar", 18, encoder.LinearHead, 4096, 256, 0.99, 0.1, 0.03, 5e-4, encoder.Cosine, contrast.NormalizeCIFAR10, true, false},
		{"moco", 97, "", "moco-v2", 50, encoder.MLPHead, 65536, 256, 0.999, 0.2, 0.03, 1e-4, encoder.Cosine, contrast.NormalizeImageNet, false, false},
		{method: "byol", size: 224, unknown: true},
		{method: "moco", size: 224, preset: "huge", unknown: true},
	} {
		got, err := contrast.Recipe(c.method, c.size, c.preset)
		if c.unknown {
			if err == nil {
				t.Errorf("%s, preset %q: no error", c.method, c.preset)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.method, err)
			continue
		}
		want := contrast.Config{
			Method:  c.name,
			Encoder: encoder.ResNetConfig{Depth: c.depth, CIFAR: c.cifarStem, Size: c.size, Width: 1, Normalize: c.normalize},
			Head:    c.head, Dim: 128, Batch: c.batch, Queue: c.queue, QueueInit: contrast.QueueRandom, MaskSameID: true, Critic: contrast.CosineCritic,
			Temperature: c.tau, Momentum: c.m, SplitBN: 8, MomentumSchedule: encoder.Constant, Optimizer: encoder.SGDOptimizer, SGDMomentum: 0.9, WeightDecay: c.decay,
			Schedule: encoder.Schedule{Kind: c.kind, Base: c.lr, Epochs: 200}, LogEvery: 10,
		}
		if got != want {
			t.Errorf("%s, size %d, preset %q:\ngot  %+v\nwant %+v", c.method, c.size, c.preset, got, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s, size %d: %v", c.method, c.size, err)
		}
	}
	for size, want := range map[int]string{32: "moco-cifar", 96: "moco-cifar", 97: "moco-v2", 224: "moco-v2"} {
		if got := contrast.PolicyFor(size); got != want {
			t.Errorf("policy for size %d is %s, want %s", size, got, want)
		}
	}
}

// Those of methods that take their negatives from the batch.
func TestInBatchRecipesAreThePublishedOnes(t *testing.T) {
	sgd := func(base, decay float64, warmup int) func(*contrast.Config) {
		return func(c *contrast.Config) {
			c.Optimizer, c.WeightDecay = encoder.SGDOptimizer, decay
			c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: base, Epochs: 200, WarmupEpochs: warmup}
		}
	}
	lars := func(form kernel.LARSForm, base, decay float64, epochs int) func(*contrast.Config) {
		return func(c *contrast.Config) {
			c.Optimizer, c.LARS, c.WeightDecay = encoder.LARSOptimizer, form, decay
			c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: base, Epochs: epochs, WarmupEpochs: 10}
		}
	}
	for _, c := range []struct {
		method       string
		size         int
		preset       contrast.Preset
		depth, batch int
		hidden, dim  int
		tau, m       float64
		head         encoder.HeadKind
		normalize    encoder.Normalize
		optimise     func(*contrast.Config)
	}{
		{"infonce", 224, contrast.Paper, 50, 256, 0, 128, 0.2, 0, encoder.MLPHead, contrast.NormalizeImageNet, sgd(0.03, 1e-4, 0)},
		{"infonce", 32, contrast.Small, 18, 256, 0, 128, 0.1, 0, encoder.LinearHead, contrast.NormalizeCIFAR10, sgd(0.03, 5e-4, 0)},
		{"simclr", 224, contrast.Paper, 50, 4096, 0, 128, 0.1, 0, encoder.SimCLRHead, contrast.NormalizeNone, lars(kernel.LARSSimCLR, 4.8, 1e-6, 100)},
		{"simclr", 32, contrast.Paper, 18, 512, 0, 128, 0.5, 0, encoder.SimCLRHead, contrast.NormalizeNone, lars(kernel.LARSSimCLR, 2, 1e-4, 1000)},
		{"simclr", 32, contrast.Small, 18, 256, 0, 128, 0.5, 0, encoder.SimCLRHead, contrast.NormalizeNone, sgd(0.12, 5e-4, 0)},
		{"moco-v3", 224, contrast.Paper, 50, 4096, 4096, 256, 1, 0.99, encoder.MoCoV3Head, contrast.NormalizeImageNet, lars(kernel.LARSMoCoV3, 9.6, 1e-6, 100)},
		{"moco-v3", 32, contrast.Paper, 18, 256, 4096, 256, 0.2, 0.99, encoder.MoCoV3Head, contrast.NormalizeImageNet, lars(kernel.LARSSoloLearn, 0.3, 1e-6, 1000)},
		{"moco-v3", 32, contrast.Small, 18, 256, 0, 256, 0.2, 0.99, encoder.MoCoV3Head, contrast.NormalizeImageNet, sgd(0.3, 1e-4, 10)},
	} {
		got, err := contrast.Recipe(c.method, c.size, c.preset)
		if err != nil {
			t.Fatal(err)
		}
		want := contrast.Config{
			Method: c.method, Encoder: encoder.ResNetConfig{Depth: c.depth, CIFAR: c.size <= 96, Size: c.size, Width: 1, Normalize: c.normalize},
			Head: c.head, Hidden: c.hidden, Dim: c.dim, Batch: c.batch, Temperature: c.tau, Momentum: c.m, MomentumSchedule: encoder.Constant,
			SplitBN: 1, SGDMomentum: 0.9, LogEvery: 10, Critic: contrast.CosineCritic,
		}
		c.optimise(&want)
		switch c.method {
		case "infonce":
			want.SplitBN, want.Bound, want.BoundAlpha = 8, contrast.BoundNCE, 0.01
		case "simclr":
			want.Encoder.ZeroGamma = c.preset == contrast.Paper
			want.LARS = kernel.LARSSimCLR // also where only --optimizer lars asks for it
		case "moco-v3":
			want.MomentumSchedule = encoder.Cosine
			if c.preset == contrast.Small {
				want.LARS = kernel.LARSSoloLearn
			}
		}
		if got != want {
			t.Errorf("%s, size %d, preset %q:\ngot  %+v\nwant %+v", c.method, c.size, c.preset, got, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s, size %d: %v", c.method, c.size, err)
		}
	}
}

func TestBatchScalesTheLearningRate(t *testing.T) {
	cfg := small(t, 1)
	cfg.Batch, cfg.Schedule.Base = 256, 0.03
	if cfg.SetBatch(64); cfg.Batch != 64 || math.Abs(cfg.Schedule.Base-0.0075) > 1e-12 {
		t.Errorf("batch %d with learning rate %v, want 64 with 0.0075", cfg.Batch, cfg.Schedule.Base)
	}
	for method, want := range map[string]float64{"dim": 1e-4, "amdim": 2e-4, "cpc": 4e-4} { // Adam's stay
		adam, err := contrast.Recipe(method, 32, contrast.Small)
		if err != nil {
			t.Fatal(err)
		}
		if adam.SetBatch(256); adam.Batch != 256 || adam.Schedule.Base != want {
			t.Errorf("%s: batch %d with learning rate %v, want 256 with %v", method, adam.Batch, adam.Schedule.Base, want)
		}
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		change func(*contrast.Config)
		want   string
	}{
		{func(c *contrast.Config) { c.Method = "byol" }, "method is byol, want one of [moco-v1 moco-v2 moco-cifar"},
		{func(c *contrast.Config) { c.Method = "moco" }, "method is moco, want one of"}, // Recipe makes it one of the others
		{func(c *contrast.Config) { c.Batch = 0 }, "batch is 0, want 1 to 131072"},
		{func(c *contrast.Config) { c.Batch = 1 << 40 }, "batch is 1099511627776, want 1 to 131072"},
		{func(c *contrast.Config) { c.Encoder.Depth = 34 }, "encoder is resnet34, want resnet18 or resnet50"},
		{func(c *contrast.Config) { c.Encoder.Size = 7 }, "size is 7, want 8 to 8192"},
		{func(c *contrast.Config) { c.Encoder.Size = 1 << 30 }, "size is 1073741824, want 8 to 8192"},
		{func(c *contrast.Config) { c.Encoder.Width = 0 }, "width is 0, want in (0,16]"},
		{func(c *contrast.Config) { c.Encoder.Width = math.NaN() }, "width is NaN, want in (0,16]"},
		{func(c *contrast.Config) { c.Head = "" }, `head is "", want linear, mlp, mlp-bn or none`},
		{func(c *contrast.Config) { c.Hidden = -1 }, "hidden is -1, want 0 to 65536"},
		{func(c *contrast.Config) { c.Dim = 0 }, "dim is 0, want 1 to 65536"},
		{func(c *contrast.Config) { c.Head = encoder.NoHead }, "dim is 6, want 32: without a head the embedding has the size of the features"},
		{func(c *contrast.Config) { c.Queue = 3 }, "queue is 3, want at least the 4 keys of a step"},
		{func(c *contrast.Config) { c.Symmetric, c.Queue = true, 7 }, "queue is 7, want at least the 8 keys of a step"},
		{func(c *contrast.Config) { c.QueueInit = "zero" }, "queue-init is zero, want random or empty"},
		{func(c *contrast.Config) { c.Temperature = 0 }, "temperature is 0, want above 0"},
		{func(c *contrast.Config) { c.Temperature = math.Inf(1) }, "temperature is +Inf, want above 0"},
		{func(c *contrast.Config) { c.LearnTemperature, c.Temperature = true, 0.005 }, "temperature is 0.005, want 0.01 to 100 where it is learned"},
		{func(c *contrast.Config) { c.Momentum = 1.01 }, "momentum is 1.01, want in [0,1]"},
		{func(c *contrast.Config) { c.Momentum = math.NaN() }, "momentum is NaN, want in [0,1]"},
		{func(c *contrast.Config) { c.MomentumSchedule = "step" }, "momentum-schedule is step, want constant or cosine"},
		{func(c *contrast.Config) { c.Schedule.WarmupEpochs = -1 }, "warmup-epochs is -1, want at least 0"},
		{func(c *contrast.Config) { c.SplitBN = 3 }, "split-bn is 3, want a divisor of the batch of 4"},
		{func(c *contrast.Config) { c.SplitBN = 0 }, "split-bn is 0, want a divisor of the batch of 4"},
		{func(c *contrast.Config) { c.SplitBN = 4 }, "batch statistics need more than one value per channel"},
		{func(c *contrast.Config) { c.Optimizer = "lion" }, `optimizer is "lion", want sgd, lars, adam or adamw`},
		{func(c *contrast.Config) { c.SGDMomentum = 1 }, "sgd-momentum is 1, want in [0,1)"},
		{func(c *contrast.Config) { c.Schedule.Kind = "linear" }, `schedule is "linear", want cosine, step or constant`},
		{func(c *contrast.Config) { c.Schedule.Base = -1 }, "lr is -1, want at least 0"},
		{func(c *contrast.Config) { c.Schedule.Base = math.Inf(1) }, "lr is +Inf, want at least 0"},
		{func(c *contrast.Config) { c.Schedule.Warmup = -1 }, "warmup is -1, want at least 0"},
		{func(c *contrast.Config) { c.WeightDecay = math.NaN() }, "weight-decay is NaN, want at least 0"},
		{func(c *contrast.Config) { c.ClipNorm = math.NaN() }, "clip-norm is NaN, want at least 0"},
		{func(c *contrast.Config) { c.Schedule.Epochs = -1 }, "epochs is -1, want at least 0"},
		{func(c *contrast.Config) { c.Schedule.Steps = 0 }, "steps is 0, want a length of the run"},
		{func(c *contrast.Config) { c.Schedule.Steps, c.Schedule.Epochs = -1, 1 }, "steps is -1, want a length of the run"},
	} {
		cfg := small(t, 1)
		cfg.Schedule.Epochs = 0
		c.change(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
			continue
		}
		if _, newErr := contrast.New(cfg, contrast.Hooks{}); newErr == nil || newErr.Error() != err.Error() {
			t.Errorf("New returns %v, want %v", newErr, err)
		}
	}
}

func TestValidateReportsAllAtOnce(t *testing.T) {
	cfg := small(t, 1)
	cfg.Temperature, cfg.Momentum, cfg.Dim = -1, 2, -3
	var all interface{ Unwrap() []error }
	if err := cfg.Validate(); !errors.As(err, &all) || len(all.Unwrap()) != 3 {
		t.Errorf("%v, want three errors", err)
	}
}
