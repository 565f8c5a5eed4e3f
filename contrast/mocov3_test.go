package contrast

import (
	"maps"
	"math"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"

	"gorgonia.org/tensor"
)

// m rises from its first value to 1 as half a cosine, by steps where the length
// of the run is known in steps.
func TestMomentumSchedule(t *testing.T) {
	for _, c := range []struct {
		kind          encoder.ScheduleKind
		steps, epochs int
		step, epoch   int
		want          float64
	}{
		{encoder.Constant, 100, 0, 50, 0, 0.9},
		{encoder.Cosine, 100, 0, 0, 0, 0.9},
		{encoder.Cosine, 100, 0, 50, 0, 0.95},
		{encoder.Cosine, 100, 0, 100, 0, 1},
		{encoder.Cosine, 0, 20, 777, 10, 0.95},
		{encoder.Cosine, 100, 20, 25, 19, 1 - 0.1*0.5*(1+math.Sqrt2/2)},
	} {
		cfg := Config{Momentum: 0.9, MomentumSchedule: c.kind, Schedule: encoder.Schedule{Steps: c.steps, Epochs: c.epochs}}
		if got := cfg.momentumAt(c.step, c.epoch); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Init takes a backbone, a network without the predictor or the whole; the key
// network gets the same values.
func TestMoCoV3StartsFromGivenWeights(t *testing.T) {
	cfg, err := Recipe("moco-v3", 8, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Workers = 0.0625, 8, 4, 1
	given := encoder.NewParams(mocoV3Graph(cfg), 99).State()
	for _, without := range [][]string{nil, {predictor}, {predictor, "fc."}} {
		trainer, err := New(cfg, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		part := batch.State{Tensors: maps.Clone(given.Tensors)}
		maps.DeleteFunc(part.Tensors, func(name string, _ *tensor.Dense) bool { return hasAnyPrefix(name, without) })
		if err := trainer.Init(part); err != nil {
			t.Fatalf("without %v: %v", without, err)
		}
		s := trainer.x.State()
		for name, want := range part.Tensors {
			for _, net := range []string{"encoder_q.", "encoder_k."} {
				got, ok := s.Tensors[net+name]
				if !ok && net == "encoder_k." && name[0] == 'p' {
					continue
				}
				if !ok || !got.Eq(want) {
					t.Fatalf("without %v: %s%s is not what was given", without, net, name)
				}
			}
		}
		trainer.Close()
	}
}

// What another method's encoder has beside backbone and head is left out.
func TestInitLeavesOutForeignHeads(t *testing.T) {
	cfg, err := Recipe("infonce", 8, Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.SplitBN, cfg.Workers = 0.0625, 8, 4, 1, 1
	other := cfg
	other.Critic, other.Bound = BilinearCritic, BoundTUBA
	given := encoder.NewParams(other.Graph(), 99).State()
	for _, critic := range []Critic{CosineCritic, MLPCritic} {
		cfg.Critic = critic
		trainer, err := New(cfg, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if err := trainer.Init(given); critic == CosineCritic && err != nil {
			t.Errorf("%s: %v", critic, err)
		} else if critic == MLPCritic && (err == nil || !strings.Contains(err.Error(), "critic.query.weight")) {
			t.Errorf("%s: %v, want an error that names its layer", critic, err)
		}
		if got := trainer.Params().State().Under("fc.").Digest() == given.Under("fc.").Digest(); got != (critic == CosineCritic) {
			t.Errorf("%s: the head is that of the file: %v", critic, got)
		}
		trainer.Close()
	}
}
