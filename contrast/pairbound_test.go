package contrast

import (
	"math"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/par"
)

// firstStep returns the metrics of a first step on fixed views.
func firstStep(t *testing.T, cfg Config) Metrics {
	t.Helper()
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.SplitBN, cfg.Workers = 0.0625, 10, 7, 1, 2
	cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 1e-4, Steps: 1}
	trainer, err := New(cfg, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	size := cfg.Batch * 16 * 16 * 3
	b := &Batch{Anchor: make([]byte, size), Positive: make([]byte, size), IDs: make([]uint64, cfg.Batch)}
	for i := range size {
		b.Anchor[i], b.Positive[i] = byte(i*i*7>>4), byte(i*i*7>>4+i%11)
	}
	trainer.x.begin(b, 0, 1e-4)
	trainer.method.Step(trainer.x)
	m := trainer.x.measure()
	m.Loss = trainer.x.meanLoss()
	return m
}

// The metrics of a bound over held scores are those of InfoNCE, which holds none,
// and each bound's loss is the negative of its own estimate.
func TestBoundsMeasureWhatInfoNCEMeasures(t *testing.T) {
	for _, critic := range []Critic{CosineCritic, DotCritic, BilinearCritic} {
		recipe, err := Recipe("infonce", 16, Small)
		if err != nil {
			t.Fatal(err)
		}
		recipe.SetCritic(critic)
		want := firstStep(t, recipe)
		if d := math.Abs(want.MIBound + want.Loss - math.Log(7)); d > 1e-6 {
			t.Errorf("%s: bound %v and loss %v, want log 7 in all", critic, want.MIBound, want.Loss)
		}
		for _, bound := range trainedBounds[1:] {
			cfg := recipe
			cfg.Bound = bound
			got := firstStep(t, cfg)
			same := map[string][2]float64{
				"nce": {got.MIBound, want.MIBound}, "acc1": {got.Acc1, want.Acc1}, "acc5": {*got.Acc5, *want.Acc5},
				"dv": {*got.DV, *want.DV}, "nwj": {*got.NWJ, *want.NWJ}, "jsd": {*got.JSD, *want.JSD},
			}
			own := map[Bound]*float64{BoundNWJ: got.NWJ, BoundTUBA: got.TUBA, BoundDV: got.DV, BoundJSD: got.JSD, BoundInterpolated: got.Interpolated}[bound]
			loss := got.Loss
			if bound == BoundJSD {
				loss -= 2 * math.Ln2
			}
			same["own"] = [2]float64{*own, -loss}
			if !bound.hasBaseline() {
				same["tuba"], same["ialpha"] = [2]float64{*got.TUBA, *want.TUBA}, [2]float64{*got.Interpolated, *want.Interpolated}
			}
			for name, v := range same {
				if !(math.Abs(v[0]-v[1]) <= 1e-5*max(1, math.Abs(v[1]))) {
					t.Errorf("%s, %s: %s is %v, want %v", critic, bound, name, v[0], v[1])
				}
			}
		}
	}
}

// The gradients of the perceptron's scores, by differences: the loss is Σ g·f.
func TestPerceptronGradients(t *testing.T) {
	const n, h, eps = 3, encoder.CriticHidden, 1e-3
	pool := par.NewPool(2)
	defer pool.Close()
	rows := func(phase float64) encoder.Rows {
		r := encoder.Rows{Data: make([]float32, n*h), N: n, D: h, Stride: h}
		for i := range r.Data {
			r.Data[i] = float32(math.Sin(phase + 1.7*float64(i)))
		}
		return r
	}
	u, w, du, dw := rows(1), rows(2), rows(0), rows(0)
	clear(du.Data)
	clear(dw.Data)
	last := encoder.NewParams(encoder.PairCritic(), 5)
	b := &pairBound{n: n, scores: make([]float32, n*n), grads: []float32{.3, -.2, .5, .1, -.7, .4, .2, -.1, .6}}
	forward, backward := b.perceptron(u, w, du, dw, last)
	run := func(phases []par.Phase) {
		for _, ph := range phases {
			pool.Run(ph)
		}
	}
	run(forward)
	run(backward)
	loss := func() float64 {
		run(forward)
		sum := 0.0
		for i, g := range b.grads {
			sum += float64(g) * float64(b.scores[i])
		}
		return sum
	}
	v, dv := last.Tensor("out.weight")
	bias, dbias := last.Tensor("out.bias")
	for name, p := range map[string][2][]float32{"query": {u.Data, du.Data}, "key": {w.Data, dw.Data}, "weight": {v, dv}, "bias": {bias, dbias}} {
		for i := 0; i < len(p[0]); i += 37 {
			was := p[0][i]
			p[0][i] = was + eps
			up := loss()
			p[0][i] = was - eps
			down := loss()
			p[0][i] = was
			if got, want := float64(p[1][i]), (up-down)/(2*eps); math.Abs(got-want) > 2e-3 {
				t.Errorf("%s %d: %v, by differences %v", name, i, got, want)
			}
		}
	}
}
