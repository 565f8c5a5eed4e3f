package encoder_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// An optimization is an optimiser with settings and what it does to a tensor,
// in float64: memory is whatever it keeps of the tensor, all zero before step 1.
type optimization struct {
	name   string
	make   func(*encoder.Params, *par.Pool) encoder.Optimizer
	change func(p, g []float64, vector bool, memory *[2][]float64, lr float64, step int)
}

var optimizations = []optimization{
	{"sgd", func(p *encoder.Params, pool *par.Pool) encoder.Optimizer {
		return encoder.NewSGD(p, encoder.SGDConfig{Momentum: .9, WeightDecay: 5e-4}, pool)
	}, func(p, g []float64, _ bool, memory *[2][]float64, lr float64, _ int) {
		buf := memory[0]
		for i := range p {
			buf[i] = .9*buf[i] + g[i] + 5e-4*p[i]
			p[i] -= lr * buf[i]
		}
	}},
	{"lars of MoCo v3", lars(kernel.LARSMoCoV3), larsReference(func(buf, d, trust, lr float64) (float64, float64) {
		buf = .9*buf + trust*d
		return buf, lr * buf
	})},
	{"lars of SimCLR", lars(kernel.LARSSimCLR), larsReference(func(buf, d, trust, lr float64) (float64, float64) {
		buf = .9*buf + lr*trust*d
		return buf, buf
	})},
	{"adam", adam(false), adamReference(false)},
	{"adamw", adam(true), adamReference(true)},
}

func lars(form kernel.LARSForm) func(*encoder.Params, *par.Pool) encoder.Optimizer {
	return func(p *encoder.Params, pool *par.Pool) encoder.Optimizer {
		return encoder.NewLARS(p, encoder.LARSConfig{Form: form, Momentum: .9, WeightDecay: .01, Trust: .1}, pool)
	}
}

// larsReference leaves vectors (biases, normalisations) to their plain gradients.
func larsReference(change func(buf, d, trust, lr float64) (newBuf, move float64)) func([]float64, []float64, bool, *[2][]float64, float64, int) {
	return func(p, g []float64, vector bool, memory *[2][]float64, lr float64, _ int) {
		d, trust := slices.Clone(g), 1.0
		if !vector {
			var pp, dd float64
			for i := range p {
				d[i] += .01 * p[i]
				pp += p[i] * p[i]
				dd += d[i] * d[i]
			}
			trust = .1 * math.Sqrt(pp/dd)
		}
		for i := range p {
			var move float64
			memory[0][i], move = change(memory[0][i], d[i], trust, lr)
			p[i] -= move
		}
	}
}

func adam(decoupled bool) func(*encoder.Params, *par.Pool) encoder.Optimizer {
	return func(p *encoder.Params, pool *par.Pool) encoder.Optimizer {
		return encoder.NewAdam(p, encoder.AdamConfig{Beta1: .8, Beta2: .99, Eps: 1e-3, WeightDecay: .01, Decoupled: decoupled}, pool)
	}
}

func adamReference(decoupled bool) func([]float64, []float64, bool, *[2][]float64, float64, int) {
	return func(p, g []float64, _ bool, memory *[2][]float64, lr float64, step int) {
		for i := range p {
			d := g[i]
			if decoupled {
				p[i] *= 1 - lr*.01
			} else {
				d += .01 * p[i]
			}
			memory[0][i] = .8*memory[0][i] + .2*d
			memory[1][i] = .99*memory[1][i] + .01*d*d
			m, v := memory[0][i]/(1-math.Pow(.8, float64(step))), memory[1][i]/(1-math.Pow(.99, float64(step)))
			p[i] -= lr * m / (math.Sqrt(v) + 1e-3)
		}
	}
}

// trainer is a network in training.
type trainer struct {
	params    *encoder.Params
	optimizer encoder.Optimizer
	arena     *encoder.Arena
}

func newTrainer(t *testing.T, o optimization, seed uint64, workers int) trainer {
	t.Helper()
	g := resnet(small18, encoder.LinearHead)
	params := randomParams(t, g, seed)
	pool := par.NewPool(workers)
	t.Cleanup(pool.Close)
	return trainer{
		params:    params,
		optimizer: o.make(params, pool),
		arena:     model(t, g, params, encoder.Options{Batch: 6, Grads: []string{"embedding"}}).NewArena(),
	}
}

const trainerLR = .1

// gradients fills the gradients of step i.
func (tr trainer) gradients(i uint64) {
	tr.arena.Forward(pixels(resnet(small18, encoder.LinearHead), 6, i))
	fillGrads(tr.arena, i, "embedding")
	tr.arena.Backward()
}

// steps takes steps [from,to).
func (tr trainer) steps(from, to uint64) {
	for i := from; i < to; i++ {
		tr.gradients(i)
		tr.optimizer.Step(trainerLR)
	}
}

func (tr trainer) digest() string { return tr.params.State().Digest() + tr.optimizer.State().Digest() }

func TestOptimizersMatchReference(t *testing.T) {
	for _, o := range optimizations {
		tr := newTrainer(t, o, 1, 2)
		memory := map[string]*[2][]float64{}
		for step := range uint64(3) {
			tr.gradients(step)
			want, grads := widened(t, tr.params.State()), widened(t, tr.params.Grads())
			before := tr.params.State()
			tr.optimizer.Step(trainerLR)
			got := widened(t, tr.params.State())
			for name, g := range grads {
				if memory[name] == nil {
					memory[name] = &[2][]float64{make([]float64, len(g)), make([]float64, len(g))}
				}
				vector := before.Tensors[name].Dims() == 1
				o.change(want[name], g, vector, memory[name], trainerLR, int(step)+1)
				if e := deviation(got[name], want[name], 0); !(e <= 1e-6) {
					t.Errorf("%s, step %d: %s is off by %.2g", o.name, step, name, e)
				}
			}
		}
	}
}

func TestTrainingGoesOnFromItsState(t *testing.T) {
	for _, o := range optimizations {
		for _, at := range []uint64{0, 2} {
			straight := newTrainer(t, o, 1, 2)
			straight.steps(0, 4)

			stopped := newTrainer(t, o, 1, 2)
			stopped.steps(0, at)
			params, optimizer := stopped.params.State(), stopped.optimizer.State()
			resumed := newTrainer(t, o, 2, 2)
			resumed.steps(7, 8) // what it did before must not matter
			if err := resumed.params.Load(params); err != nil {
				t.Fatal(err)
			}
			if err := resumed.optimizer.Load(optimizer); err != nil {
				t.Fatal(err)
			}
			resumed.steps(at, 4)
			if resumed.digest() != straight.digest() {
				t.Errorf("%s, stopped after %d steps: four steps differ from those of a run that went through", o.name, at)
			}
		}
	}
}

func TestWorkersChangeNoBitOfAnOptimizer(t *testing.T) {
	for _, o := range optimizations {
		var want string
		for _, workers := range []int{1, 2, 5} {
			tr := newTrainer(t, o, 1, workers)
			tr.steps(0, 2)
			if got := tr.digest(); want == "" {
				want = got
			} else if got != want {
				t.Errorf("%s: %d workers give other bits than one", o.name, workers)
			}
		}
	}
}

func TestStepSetsGradientsToZero(t *testing.T) {
	for _, o := range optimizations {
		tr := newTrainer(t, o, 1, 2)
		tr.steps(0, 1)
		for i, g := range tr.params.Grad {
			if g != 0 {
				t.Fatalf("%s: gradient %d is %v after the step, want 0", o.name, i, g)
			}
		}
	}
}

func TestOptimizersAllocateNothing(t *testing.T) {
	for _, o := range optimizations {
		tr := newTrainer(t, o, 1, 2)
		if n := testing.AllocsPerRun(3, func() { tr.optimizer.Step(trainerLR) }); n != 0 {
			t.Errorf("%s: a step allocates %v times, want 0", o.name, n)
		}
	}
}

func TestFailedLoadLeavesOptimizerAsItWas(t *testing.T) {
	for _, o := range optimizations {
		for _, steps := range []uint64{0, 2} {
			tr := newTrainer(t, o, 1, 2)
			tr.steps(0, steps)
			before := tr.digest()
			other := newTrainer(t, o, 1, 2)
			other.steps(0, 1)
			whole := other.optimizer.State()

			foreign := batch.State{}
			foreign.Add("of_another.", other.params.Grads())
			type refusal struct {
				state batch.State
				want  string
			}
			refused := []refusal{{foreign, "of_another.bn1.bias"}}
			for name, want := range map[string]string{
				"momentum_buffer.conv1.weight": "conv1.weight [4 3 3 3] is missing",
				"exp_avg.conv1.weight":         "exp_avg: encoder: load: conv1.weight [4 3 3 3] is missing",
				"exp_avg_sq.conv1.weight":      "exp_avg_sq: encoder: load: conv1.weight [4 3 3 3] is missing",
				"step":                         "step is missing",
			} {
				if _, ok := whole.Tensors[name]; ok {
					cut := batch.State{}
					cut.Add("", whole)
					delete(cut.Tensors, name)
					refused = append(refused, refusal{cut, want})
				}
			}
			if _, ok := whole.Tensors["step"]; ok {
				zero := batch.State{}
				zero.Add("", whole)
				zero.Tensors["step"] = batch.NewTensor([]int64{0})
				refused = append(refused, refusal{zero, "want one int64 of at least 1"})
			}
			for _, r := range refused {
				if err := tr.optimizer.Load(r.state); err == nil || !strings.Contains(err.Error(), r.want) {
					t.Errorf("%s: got error %v, want one that says %q", o.name, err, r.want)
				}
			}
			if tr.digest() != before {
				t.Errorf("%s, after %d steps: a failed Load changed the optimiser", o.name, steps)
			}
		}
	}
}

func TestParseOptimizer(t *testing.T) {
	for _, name := range []string{"sgd", "lars", "adam", "adamw"} {
		if got, err := encoder.ParseOptimizer(name); err != nil || string(got) != name {
			t.Errorf("%s: got %q, error %v", name, got, err)
		}
	}
	if _, err := encoder.ParseOptimizer("lion"); err == nil || !strings.Contains(err.Error(), `"lion"`) {
		t.Errorf("lion: got error %v, want one that names it", err)
	}
}

// A clipped optimiser moves as the one inside does by clipped gradients, and
// keeps no state of its own.
func TestClip(t *testing.T) {
	plain, most := optimizations[0], 0.25
	clipped := optimization{make: func(p *encoder.Params, pool *par.Pool) encoder.Optimizer {
		return encoder.Clip(plain.make(p, pool), p, most, pool)
	}}
	got, want := newTrainer(t, clipped, 1, 2), newTrainer(t, plain, 1, 2)
	pool := par.NewPool(1)
	defer pool.Close()
	for step := range uint64(2) {
		got.steps(step, step+1)
		want.gradients(step)
		before := want.params.Grads().Digest()
		for _, ph := range kernel.ClipNorm(want.params.Grad, most) {
			pool.Run(ph)
		}
		if want.params.Grads().Digest() == before {
			t.Fatalf("step %d: gradients shorter than %v, nothing to clip", step, most)
		}
		want.optimizer.Step(trainerLR)
	}
	if got.digest() != want.digest() {
		t.Error("two clipped steps differ from steps by clipped gradients")
	}
}
