package encoder_test

import (
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/par"
)

// trainer is a network in training.
type trainer struct {
	params *encoder.Params
	sgd    *encoder.SGD
	arena  *encoder.Arena
}

func newTrainer(t *testing.T, seed uint64) trainer {
	t.Helper()
	g := resnet(small18, encoder.LinearHead)
	params := randomParams(t, g, seed)
	pool := par.NewPool(2)
	t.Cleanup(pool.Close)
	return trainer{
		params: params,
		sgd:    encoder.NewSGD(params, encoder.SGDConfig{Momentum: .9, WeightDecay: 5e-4}, pool),
		arena:  model(t, g, params, encoder.Options{Batch: 6, Grads: []string{"embedding"}}).NewArena(),
	}
}

// steps takes steps [from,to).
func (tr trainer) steps(from, to uint64) {
	for i := from; i < to; i++ {
		tr.arena.Forward(pixels(resnet(small18, encoder.LinearHead), 6, i))
		fillGrads(tr.arena, i, "embedding")
		tr.arena.Backward()
		tr.sgd.Step(.1)
	}
}

func (tr trainer) digest() string { return tr.params.State().Digest() + tr.sgd.State().Digest() }

func TestTrainingGoesOnFromItsState(t *testing.T) {
	for _, at := range []uint64{0, 2} {
		straight := newTrainer(t, 1)
		straight.steps(0, 4)

		stopped := newTrainer(t, 1)
		stopped.steps(0, at)
		params, optimizer := stopped.params.State(), stopped.sgd.State()
		resumed := newTrainer(t, 2)
		resumed.steps(7, 8) // what it did before must not matter
		if err := resumed.params.Load(params); err != nil {
			t.Fatal(err)
		}
		if err := resumed.sgd.Load(optimizer); err != nil {
			t.Fatal(err)
		}
		resumed.steps(at, 4)
		if resumed.digest() != straight.digest() {
			t.Errorf("stopped after %d steps: four steps differ from those of a run that went through", at)
		}
	}
}

func TestStepSetsGradientsToZero(t *testing.T) {
	tr := newTrainer(t, 1)
	tr.steps(0, 1)
	for i, g := range tr.params.Grad {
		if g != 0 {
			t.Fatalf("gradient %d is %v after the step, want 0", i, g)
		}
	}
}

func TestFailedLoadLeavesOptimizerAsItWas(t *testing.T) {
	for _, steps := range []uint64{0, 2} {
		tr := newTrainer(t, 1)
		tr.steps(0, steps)
		before := tr.digest()
		other := newTrainer(t, 1)
		other.steps(0, 1)

		cut := other.sgd.State()
		delete(cut.Tensors, "momentum_buffer.conv1.weight")
		foreign := batch.State{}
		foreign.Add("exp_avg.", other.params.Grads())
		for _, c := range []struct {
			state batch.State
			want  string
		}{{cut, "conv1.weight [4 3 3 3] is missing"}, {foreign, "exp_avg.bn1.bias"}} {
			if err := tr.sgd.Load(c.state); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		}
		if tr.digest() != before {
			t.Errorf("after %d steps: a failed Load changed the optimiser", steps)
		}
	}
}
