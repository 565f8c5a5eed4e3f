package kernel

import (
	"fmt"
	"testing"

	"clpipe/internal/goldentest"
	"clpipe/internal/par"
)

// goldenOptimizers is testdata/optimizers.json: see optimizers.py.
type goldenOptimizers struct {
	Adam []struct {
		Settings struct {
			LR, Eps     float64
			WeightDecay float64 `json:"weight_decay"`
			Betas       []float64
		}
		Decoupled        bool
		P                []float64
		G, After         [][]float64
		ExpAvg, ExpAvgSq []float64
	}
	LARS []struct {
		Form                             string
		LR, Momentum, WeightDecay, Trust float64
		Clip                             bool
		Adapted                          []bool
		Lens                             []int
		P                                []float64
		G, After                         [][]float64
	}
	Clip []struct {
		Most       float64
		G, Clipped []float64
	}
}

func readGoldenOptimizers(t *testing.T) goldenOptimizers {
	t.Helper()
	var g goldenOptimizers
	goldentest.Read(t, "testdata/optimizers.json", &g)
	return g
}

func TestAdamEqualsPyTorch(t *testing.T) {
	g := readGoldenOptimizers(t)
	pool := par.NewPool(2)
	defer pool.Close()
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.Adam {
			n := len(c.P)
			p, grad, m, v := narrowed(c.P), Alloc(n), Alloc(n), Alloc(n)
			a := &AdamArgs{
				LR: c.Settings.LR, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
				WeightDecay: c.Settings.WeightDecay, Decoupled: c.Decoupled,
			}
			if b := c.Settings.Betas; b != nil {
				a.Beta1, a.Beta2 = b[0], b[1]
			}
			if c.Settings.Eps != 0 {
				a.Eps = c.Settings.Eps
			}
			phases := Adam(p, grad, m, v, a)
			for step := range c.G {
				a.Step = step + 1
				copy(grad, narrowed(c.G[step]))
				runPhases(pool, phases)
				compare(t, fmt.Sprintf("%+v, step %d", *a, step), widened(p), c.After[step], errorBound{1e-7, 1e-6})
			}
			compare(t, "exp_avg", widened(m), c.ExpAvg, goldenBound)
			compare(t, "exp_avg_sq", widened(v), c.ExpAvgSq, goldenBound)
		}
	})
}

func TestLARSEqualsItsForms(t *testing.T) {
	g := readGoldenOptimizers(t)
	forms := map[string]LARSForm{"simclr": LARSSimCLR, "moco_v3": LARSMoCoV3, "solo_learn": LARSSoloLearn}
	pool := par.NewPool(2)
	defer pool.Close()
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.LARS {
			// A gap of one element follows each tensor.
			var tensors []LARSTensor
			size := 0
			for i, n := range c.Lens {
				tensors = append(tensors, LARSTensor{From: size, Len: n, Adapted: c.Adapted[i]})
				size += n + 1
			}
			place := func(dst []float32, v []float64) {
				for _, to := range tensors {
					copy(dst[to.From:], narrowed(v[:to.Len]))
					v = v[to.Len:]
				}
			}
			p, grad, buf := Alloc(size), Alloc(size), Alloc(size)
			fill(p, 7)
			fill(grad, 7)
			fill(buf, 7) // the first step must not read it
			place(p, c.P)
			a := &LARSArgs{
				Form: forms[c.Form], LR: c.LR, Momentum: c.Momentum, WeightDecay: c.WeightDecay, Trust: c.Trust, ClipLR: c.Clip,
			}
			phases := LARS(p, grad, buf, tensors, a)
			for step := range c.G {
				a.First = step == 0
				place(grad, c.G[step])
				runPhases(pool, phases)
				var got []float64
				for _, to := range tensors {
					got = append(got, widened(p[to.From:to.From+to.Len])...)
					if gap := p[to.From+to.Len]; gap != 7 {
						t.Errorf("%s, step %d: what lies between tensors is now %v, want 7", c.Form, step, gap)
					}
				}
				compare(t, fmt.Sprintf("%s, clip %t, step %d", c.Form, c.Clip, step), got, c.After[step], errorBound{1e-7, 1e-6})
			}
		}
	})
}

func TestClipNormEqualsPyTorch(t *testing.T) {
	pool := par.NewPool(2)
	defer pool.Close()
	for _, c := range readGoldenOptimizers(t).Clip {
		g := narrowed(c.G)
		runPhases(pool, ClipNorm(g, c.Most))
		compare(t, fmt.Sprintf("most %v", c.Most), widened(g), c.Clipped, errorBound{1e-7, 1e-6})
	}
}
