package contrast_test

import (
	"testing"

	"clpipe/contrast"
	"clpipe/encoder"
)

// The activations foreseen of every method are those that its trainer takes, and the
// weights at least values, gradients, momentum and packed copies of its encoder.
func TestMemoryIsThatOfTheTrainer(t *testing.T) {
	for _, c := range []struct {
		method string
		change func(*contrast.Config)
	}{
		{"moco-cifar", func(*contrast.Config) {}},
		{"moco-cifar", func(c *contrast.Config) { c.Symmetric, c.EMA = true, 0.9 }},
		{"moco-cifar", func(c *contrast.Config) { c.LearnTemperature, c.EMA = true, 0.9 }},
		{"moco-cifar", func(c *contrast.Config) { c.Local, c.LocalSize = 2, 16 }},
		{"infonce", func(*contrast.Config) {}},
		{"simclr", func(*contrast.Config) {}},
		{"simclr", func(c *contrast.Config) { c.Chunk = 2 }},
		{"moco-v3", func(*contrast.Config) {}},
		{"cpc", func(*contrast.Config) {}},
		{"dim", func(c *contrast.Config) { c.Occlude = 0.5 }},
		{"amdim", func(*contrast.Config) {}},
		{"supervised", func(*contrast.Config) {}},
	} {
		cfg, err := contrast.Recipe(c.method, 32, contrast.Small)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.SplitBN, cfg.Workers = 0.0625, 16, 4, 1, 2
		if cfg.Queue > 0 {
			cfg.Queue = 100
		}
		c.change(&cfg)
		got, err := cfg.Memory()
		if err != nil {
			t.Fatal(err)
		}
		trainer, err := contrast.New(cfg, contrast.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		arenas, packed := trainer.MemoryBytes()
		values := int64(trainer.Params().Count())
		trainer.Close()
		if least := packed + 3*4*values; got.Activations != arenas || got.Weights < least {
			t.Errorf("%s: foreseen %+v, want activations of %d and weights of at least %d", c.method, got, arenas, least)
		}
	}
}

// What a step holds, in MiB, is at most these numbers, measured and rounded up.
// Activations are those of the queries alone: keys are computed where they later lie.
func TestMemoryOfAStep(t *testing.T) {
	for _, c := range []struct {
		depth, size, batch   int
		activations, weights float64
	}{
		{18, 32, 128, 650, 180},
		{18, 224, 32, 720, 180},
		{50, 224, 16, 1350, 370},
	} {
		cfg, err := contrast.Recipe("moco", c.size, contrast.Small)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Encoder.Depth, cfg.Batch, cfg.Queue, cfg.SplitBN, cfg.Head, cfg.Workers = c.depth, c.batch, 4096, 1, encoder.LinearHead, 2
		got, err := cfg.Memory()
		if err != nil {
			t.Fatal(err)
		}
		const mib = 1 << 20
		activations, weights := float64(got.Activations)/mib, float64(got.Weights)/mib
		t.Logf("resnet%d, %d px, batch %d: activations %.0f MiB, weights %.0f MiB", c.depth, c.size, c.batch, activations, weights)
		if activations > c.activations || weights > c.weights {
			t.Errorf("resnet%d, %d px, batch %d: activations take %.0f MiB and weights %.0f, want at most %v and %v",
				c.depth, c.size, c.batch, activations, weights, c.activations, c.weights)
		}
	}
}

// A configuration that no machine has room for is told so without being tried.
func TestMemoryOfAHugeBatch(t *testing.T) {
	cfg, err := contrast.Recipe("simclr", 224, contrast.Paper)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := cfg.Memory()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Chunk = 64
	parts, err := cfg.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if whole.Activations < 1<<38 || parts.Activations > whole.Activations/16 || parts.Weights < whole.Weights {
		t.Errorf("SimCLR's batch of 4096 takes %+v, in chunks of 64 %+v", whole, parts)
	}
}
