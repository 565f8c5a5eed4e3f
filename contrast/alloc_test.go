package contrast

import (
	"testing"

	"clpipe/encoder"
)

// A step allocates nothing: neither in the method nor in what it runs on.
func TestStepAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		symmetric bool
		local     int
	}{{}, {symmetric: true}, {local: 3}} {
		cfg, err := Recipe("moco-cifar", 8, Small)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Queue, cfg.SplitBN, cfg.Symmetric, cfg.Workers = 0.0625, 8, 8, 40, 2, c.symmetric, 2
		cfg.Local, cfg.LocalSize = c.local, 12
		cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 0.01, Steps: 1}
		trainer, err := New(cfg, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		b := &Batch{Anchor: make([]byte, 8*8*8*3), Positive: make([]byte, 8*8*8*3), Local: make([]byte, 8*c.local*12*12*3), IDs: make([]uint64, 8)}
		for i := range b.Anchor {
			b.Anchor[i], b.Positive[i] = byte(i*7), byte(i*5)
		}
		step := 0
		if n := testing.AllocsPerRun(5, func() {
			trainer.x.begin(b, step, 0.01)
			trainer.method.Step(trainer.x)
			step++
		}); n != 0 {
			t.Errorf("%+v: %v allocations a step, want none", c, n)
		}
	}
}

// Nor does a step of the methods with networks of their own.
func TestStepOfEveryMethodAllocatesNothing(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Method = "infonce" },
		func(c *Config) { c.Method = "simclr" },
		func(c *Config) { c.Method, c.Chunk = "simclr", 1 },
		func(c *Config) { c.Method, c.LearnTemperature, c.EMA = "simclr", true, 0.9 },
		func(c *Config) { c.Method = "moco-v3" },
		func(c *Config) { c.Method, c.Critic = "moco-cifar", BilinearCritic },
		func(c *Config) { c.Method, c.Critic = "infonce", MLPCritic },
		func(c *Config) { c.Method, c.Bound = "infonce", BoundDV },
		func(c *Config) { c.Method, c.Bound, c.LearnTemperature = "infonce", BoundInterpolated, true },
		func(c *Config) { c.Method, c.Bound, c.Critic = "infonce", BoundTUBA, BilinearCritic },
		func(c *Config) { c.Method = "cpc" },
		func(c *Config) { c.Method, c.Directions = "cpc", 4 },
		func(c *Config) { c.Method = "amdim" },
		func(c *Config) { c.Method, c.Mixture = "amdim", 3 },
		func(c *Config) { c.Method = "dim" },
		func(c *Config) { c.Method, c.Critic = "dim", ConvolveCritic },
		func(c *Config) { c.Method, c.Coordinates, c.Occlude = "dim", BothCoordinates, 0.5 },
	} {
		var named Config
		change(&named)
		cfg, err := Recipe(named.Method, 32, Small)
		if err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Workers, cfg.Hidden = 0.0625, 16, 3, 2, 16
		if cfg.SplitBN > 1 {
			cfg.Batch, cfg.SplitBN = 4, 2 // keys shuffled between groups
		}
		cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 1e-4, Steps: 1}
		trainer, err := New(cfg, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		size := cfg.Batch
		for _, d := range cfg.ViewShape() {
			size *= d
		}
		b := &Batch{Anchor: make([]byte, size), Positive: make([]byte, size), IDs: make([]uint64, cfg.Batch)}
		for i := range b.Anchor {
			b.Anchor[i], b.Positive[i] = byte(i*7), byte(i*5)
		}
		step := 0
		if n := testing.AllocsPerRun(3, func() {
			trainer.x.begin(b, step, 1e-4)
			trainer.method.Step(trainer.x)
			trainer.x.meanLoss()
			trainer.x.accuracy()
			step++
		}); n != 0 {
			t.Errorf("%s %s: %v allocations a step, want none", cfg.Method, cfg.Critic, n)
		}
	}
}

// Of row r and column c of image b the prediction o rows on is of the patch
// (r+o, c) of the same image; upwards rows count from below, and sideways columns
// are rows.
func TestCPCTargets(t *testing.T) {
	for _, p := range encoder.CPCPredictions(4) {
		rows := cpcTargets(3, p)
		if want := 3 * (7 - p.Offset) * 7; len(rows) != want {
			t.Fatalf("%s: %d targets, want %d", p.Output, len(rows), want)
		}
		for i, row := range rows {
			image, r, c := i/((7-p.Offset)*7), i/7%(7-p.Offset), i%7
			gotImage, gotRow, gotColumn := int(row)/49, int(row)/7%7, int(row)%7
			switch p.Direction {
			case encoder.CPCUp:
				gotRow = 6 - gotRow
			case encoder.CPCRight:
				gotRow, gotColumn = gotColumn, gotRow
			case encoder.CPCLeft:
				gotRow, gotColumn = 6-gotColumn, gotRow
			}
			if gotImage != image || gotRow != r+p.Offset || gotColumn != c {
				t.Errorf("%s: the target of (%d,%d,%d) is %d", p.Output, image, r, c, row)
			}
		}
	}
}
