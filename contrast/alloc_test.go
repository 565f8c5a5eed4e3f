package contrast

import (
	"testing"

	"clpipe/encoder"
)

// A step allocates nothing: neither in the method nor in what it runs on.
func TestStepAllocatesNothing(t *testing.T) {
	for _, symmetric := range []bool{false, true} {
		cfg, err := Recipe("moco-cifar", 8, Small)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Queue, cfg.SplitBN, cfg.Symmetric, cfg.Workers = 0.0625, 8, 8, 40, 2, symmetric, 2
		cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 0.01, Steps: 1}
		trainer, err := New(cfg, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		b := &Batch{Anchor: make([]byte, 8*8*8*3), Positive: make([]byte, 8*8*8*3), IDs: make([]uint64, 8)}
		for i := range b.Anchor {
			b.Anchor[i], b.Positive[i] = byte(i*7), byte(i*5)
		}
		step := 0
		if n := testing.AllocsPerRun(5, func() {
			trainer.x.begin(b, step, 0.01)
			trainer.method.Step(trainer.x)
			step++
		}); n != 0 {
			t.Errorf("symmetric %v: %v allocations a step, want none", symmetric, n)
		}
	}
}
