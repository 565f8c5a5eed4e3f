package contrast_test

import (
	"slices"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
)

// profiled trains a small network for three steps, measured after the first.
func profiled(t *testing.T, symmetric, measure bool) (contrast.Summary, *contrast.Trainer) {
	t.Helper()
	cfg, err := contrast.Recipe("moco-cifar", 12, contrast.Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Queue, cfg.SplitBN, cfg.Symmetric = 0.0625, 8, 4, 16, 1, symmetric
	cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 0.01, Steps: 3}
	var trainer *contrast.Trainer
	trainer, err = contrast.New(cfg, contrast.Hooks{Progress: func(p contrast.Progress) {
		if measure && p.Step == 1 {
			trainer.Profile()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trainer.Close)
	in := &hashedPairs{schema: batch.PairsSchema(nil, 2, 12, 12, 3), seed: 3, steps: 3, n: 4, side: 12}
	summary, err := trainer.Train(t.Context(), in, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	return summary, trainer
}

func TestProfileNamesThePartsOfAStep(t *testing.T) {
	for _, symmetric := range []bool{false, true} {
		_, trainer := profiled(t, symmetric, true)
		var parts []string
		var flops int64
		ops := map[[2]string]bool{}
		for _, op := range trainer.Times() {
			if !slices.Contains(parts, op.Part) {
				parts = append(parts, op.Part)
			}
			if key := [2]string{op.Part, op.Name}; ops[key] {
				t.Errorf("symmetric %v: %v is there twice", symmetric, key)
			} else {
				ops[key] = true
			}
			flops += op.Flops
		}
		want := []string{"momentum", "encoder_k forward", "encoder_q forward", "loss", "enqueue", "encoder_q backward", "optimiser"}
		if !slices.Equal(parts, want) {
			t.Errorf("symmetric %v: parts %q, want %q", symmetric, parts, want)
		}
		for _, op := range [][2]string{
			{"encoder_q forward", "layer1.0.conv1"}, {"encoder_k forward", "packing"},
			{"encoder_q backward", "fc weight backward"}, {"loss", ""},
		} {
			if !ops[op] {
				t.Errorf("symmetric %v: no operation %v", symmetric, op)
			}
		}
		plan, err := encoder.Compile(profiledGraph(t), encoder.Options{Batch: 4, Grads: []string{"embedding"}})
		if err != nil {
			t.Fatal(err)
		}
		forward, backward := plan.Flops()
		wantFlops := 2*forward + backward
		if symmetric {
			wantFlops *= 2
		}
		if flops != wantFlops {
			t.Errorf("symmetric %v: %d operations a step, want %d", symmetric, flops, wantFlops)
		}
		// Only passes that run several times a step keep their weights packed.
		own, space := plan.ArenaBytes()
		if arenas, packed := trainer.MemoryBytes(); arenas < own+space || symmetric != (packed >= plan.PackedBytes()) || !symmetric && packed != 0 {
			t.Errorf("symmetric %v: %d bytes of arenas and %d packed, one pass takes %d and %d", symmetric, arenas, packed, own+space, plan.PackedBytes())
		}
	}
}

func profiledGraph(t *testing.T) *encoder.Graph {
	t.Helper()
	cfg, err := contrast.Recipe("moco-cifar", 12, contrast.Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim = 0.0625, 8
	return cfg.Graph()
}

func TestProfileChangesNoWeight(t *testing.T) {
	plain, trainer := profiled(t, false, false)
	if times := trainer.Times(); times != nil {
		t.Errorf("%d operations without Profile", len(times))
	}
	if measured, _ := profiled(t, false, true); measured.Weights != plain.Weights {
		t.Errorf("weights %s with Profile, %s without", measured.Weights, plain.Weights)
	}
}
