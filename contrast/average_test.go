package contrast

import (
	"math"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
)

// The average holds m·average + (1-m)·weights after every step, of running
// statistics too, with m = min(EMA, (1+t)/(10+t)); it starts from given weights.
func TestAverageOfTheWeights(t *testing.T) {
	cfg, err := Recipe("simclr", 8, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Workers, cfg.EMA = 0.0625, 8, 4, 2, 0.25
	cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 0.01, Steps: 8}
	trainer, err := New(cfg, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if err := trainer.Init(encoder.NewParams(cfg.Graph(), 77).State()); err != nil {
		t.Fatal(err)
	}
	b := &Batch{Anchor: make([]byte, 4*8*8*3), Positive: make([]byte, 4*8*8*3), IDs: make([]uint64, 4)}
	for i := range b.Anchor {
		b.Anchor[i], b.Positive[i] = byte(i*7), byte(i*5)
	}
	want := map[string][]float64{}
	for step := range 6 {
		m := min(0.25, float64(1+step)/float64(10+step))
		for name, tensor := range trainer.x.State().Under("encoder_q.").Tensors {
			if v, err := batch.Values[float32](tensor); err == nil && step == 0 {
				for _, x := range v {
					want[name] = append(want[name], float64(x))
				}
			}
		}
		trainer.x.begin(b, step, 0.01)
		trainer.method.Step(trainer.x)
		state := trainer.x.State()
		for name, average := range want {
			weights, err := batch.Values[float32](state.Tensors["encoder_q."+name])
			if err != nil {
				t.Fatal(err)
			}
			got, err := batch.Values[float32](state.Tensors["encoder_ema."+name])
			if err != nil {
				t.Fatal(err)
			}
			for i := range average {
				average[i] = m*average[i] + (1-m)*float64(weights[i])
				if math.Abs(float64(got[i])-average[i]) > 1e-6*max(1, math.Abs(average[i])) {
					t.Fatalf("step %d: %s[%d] is %v, want %v", step, name, i, got[i], average[i])
				}
			}
		}
	}
}
