package contrast_test

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/contrast"

	"gorgonia.org/tensor"
)

// A step whose loss is no number is neither logged nor counted, and a weight
// that is none is not saved.
func TestDivergedRunEndsBeforeItIsRecorded(t *testing.T) {
	for _, c := range []struct {
		name  string
		lr    float64
		every int // steps between checkpoints
		want  string
		steps int
		saved []int
	}{
		{"loss", math.MaxFloat32, 100, "step 2: the loss is NaN", 1, nil},
		{"weight", math.MaxFloat64, 1, "step 1: a weight is no finite number", 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := small(t, 4)
			cfg.Schedule.Base, cfg.CheckpointSteps = c.lr, c.every
			trainer, err := contrast.New(cfg, contrast.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			rec := &recorder{}
			summary, err := trainer.Train(t.Context(), newSource(8, 2, 13, 4), rec)
			var diverged *contrast.DivergedError
			if !errors.As(err, &diverged) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "lower --lr") {
				t.Errorf("got %v, want %s and what to do", err, c.want)
			}
			if summary.Steps != c.steps || summary.Finished || len(rec.metrics) != c.steps {
				t.Errorf("summary %+v and %d entries, want %d steps", summary, len(rec.metrics), c.steps)
			}
			if saved := slices.Sorted(maps.Keys(rec.states)); !slices.Equal(saved, c.saved) {
				t.Errorf("checkpoints at %v, want %v", saved, c.saved)
			}
		})
	}
}

// A run of so many epochs ends there although the stream goes on.
func TestEpochsEndARun(t *testing.T) {
	cfg := small(t, 0)
	cfg.Schedule.Epochs = 2
	summary, rec := train(t, cfg, newSource(8, 5, 13, 4), nil, contrast.Hooks{})
	if summary.Steps != 6 || !summary.Finished || len(rec.epochs) != 2 {
		t.Errorf("summary %+v and %d epochs' entries, want 6 steps, finished, and 2", summary, len(rec.epochs))
	}
}

// A file without the head gives the backbone its weights.
func TestInitWithoutAHead(t *testing.T) {
	cfg := small(t, 1)
	trainer, err := contrast.New(cfg, contrast.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	cfg.Seed++
	other, err := contrast.New(cfg, contrast.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	own, theirs := trainer.Params().State(), other.Params().State()
	head := own.Under("fc.").Digest()
	backbone := theirs
	backbone.Tensors = maps.Clone(theirs.Tensors)
	maps.DeleteFunc(backbone.Tensors, func(name string, _ *tensor.Dense) bool { return strings.HasPrefix(name, "fc.") })
	if err := trainer.Init(backbone); err != nil {
		t.Fatal(err)
	}
	got := trainer.Params().State()
	if got.Under("conv1.").Digest() != theirs.Under("conv1.").Digest() || got.Under("fc.").Digest() != head {
		t.Error("want the backbone of the file and the head of the seed")
	}
	delete(backbone.Tensors, "conv1.weight")
	if err := trainer.Init(backbone); err == nil || !strings.Contains(err.Error(), "conv1.weight") {
		t.Errorf("without conv1.weight: got %v, want an error that names it", err)
	}
}
