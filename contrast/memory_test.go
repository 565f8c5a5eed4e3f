package contrast_test

import (
	"testing"

	"clpipe/contrast"
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
