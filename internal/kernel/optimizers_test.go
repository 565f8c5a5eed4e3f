package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/par"
)

// Lengths around vectors and chunks; the small eps and the second moment near
// zero make the division matter.
func TestAdamAgainstReference(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, a := range []AdamArgs{
			{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Step: 3},
			{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Decoupled: true, Step: 1000},
		} {
			for _, n := range sweepLens {
				r := rand.New(rand.NewPCG(5, uint64(n)))
				p, g, m, v := narrowed(randoms(r, n)), narrowed(randoms(r, n)), narrowed(randoms(r, n)), narrowed(squared(randoms(r, n)))
				got := runGuarded(t, func(b ...[]float32) []par.Phase { return Adam(b[0], b[1], b[2], b[3], &a) }, p, g, m, v)
				for i := range n {
					w, d := float64(p[i]), float64(g[i])
					if a.Decoupled {
						w *= 1 - a.LR*a.WeightDecay
					} else {
						d += a.WeightDecay * w
					}
					m1 := a.Beta1*float64(m[i]) + (1-a.Beta1)*d
					v1 := a.Beta2*float64(v[i]) + (1-a.Beta2)*d*d
					unbiased := v1 / (1 - math.Pow(a.Beta2, float64(a.Step)))
					move := a.LR * m1 / (1 - math.Pow(a.Beta1, float64(a.Step))) / (math.Sqrt(unbiased) + a.Eps)
					// A few roundings of the terms; those of m may cancel.
					terms := math.Abs(a.LR * (math.Abs(float64(m[i])) + math.Abs(d)) / math.Sqrt(unbiased))
					for _, c := range []struct {
						name             string
						got, want, bound float64
					}{
						{"parameter", float64(got[0][i]), w - move, 0x1p-22 * (math.Abs(w) + 10*terms)},
						{"first moment", float64(got[2][i]), m1, 0x1p-22 * (math.Abs(float64(m[i])) + math.Abs(d))},
						{"second moment", float64(got[3][i]), v1, 0x1p-21 * v1},
					} {
						if e := math.Abs(c.got - c.want); !(e <= c.bound) {
							t.Fatalf("%+v, %s %d of %d: got %v, want %v", a, c.name, i, n, c.got, c.want)
						}
					}
				}
			}
		}
	})
}

func TestOptimizerBitsDoNotDependOnWorkers(t *testing.T) {
	n := 3*vectorChunk + 5
	initial := Alloc(n)
	for i := range initial {
		initial[i] = float32(i%1013)/1013 - 0.3
	}
	tensors := []LARSTensor{{0, 2*vectorChunk + 3, true}, {2*vectorChunk + 16, vectorChunk - 11, true}}
	run := func(workers int) []float32 {
		pool := par.NewPool(workers)
		defer pool.Close()
		p, q, buf, m, v := Alloc(n), Alloc(n), Alloc(n), Alloc(n), Alloc(n)
		copy(p, initial)
		copy(q, initial)
		runPhases(pool, LARS(p, initial, buf, tensors, &LARSArgs{LR: 0.1, Momentum: 0.9, Trust: 0.1, WeightDecay: 0.01, First: true}))
		runPhases(pool, Adam(q, initial, m, v, &AdamArgs{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 1}))
		return append(p, q...)
	}
	eachVariant(t, func(t *testing.T) {
		want := run(1)
		for _, workers := range []int{2, 5} {
			for i, got := range run(workers) {
				if got != want[i] {
					t.Fatalf("%d workers, element %d: got %v, want %v", workers, i, got, want[i])
				}
			}
		}
	})
}

func TestOptimizersAllocateNothing(t *testing.T) {
	pool := par.NewPool(2)
	defer pool.Close()
	n := 2*vectorChunk + 5
	p, g, m, v := Alloc(n), Alloc(n), Alloc(n), Alloc(n)
	eachVariant(t, func(t *testing.T) {
		for name, phases := range map[string][]par.Phase{
			"lars": LARS(p, g, m, []LARSTensor{{0, n, true}}, &LARSArgs{LR: 0.1, Trust: 0.1}),
			"clip": ClipNorm(g, 1),
			"adam": Adam(p, g, m, v, &AdamArgs{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 1}),
		} {
			if n := testing.AllocsPerRun(3, func() { runPhases(pool, phases) }); n != 0 {
				t.Errorf("%s allocates %v times a run, want 0", name, n)
			}
		}
	})
}

// Long gradients, in blocks: the scale is the same for all, and the bits do not
// depend on workers. What is no number stays visible.
func TestClipNorm(t *testing.T) {
	var want []float32
	for _, workers := range []int{1, 2, 5} {
		pool := par.NewPool(workers)
		defer pool.Close()
		g := Alloc(2*vectorChunk + 5)
		for i := range g {
			g[i] = float32(i%7) - 3 // of mean square about 4
		}
		phases := ClipNorm(g, 2)
		runPhases(pool, phases)
		if norm := math.Sqrt(float64(len(g))) * rms(widened(g)); math.Abs(norm-2) > 1e-5 {
			t.Errorf("%d workers: norm %v after clipping, want 2", workers, norm)
		}
		if want == nil {
			want = slices.Clone(g)
		} else if !slices.Equal(g, want) {
			t.Errorf("%d workers give other bits than one", workers)
		}
		for _, bad := range []float32{float32(math.Inf(1)), float32(math.NaN())} {
			before := g[2]
			g[1] = bad
			runPhases(pool, phases)
			if g[1]-g[1] == 0 || g[2] != before {
				t.Errorf("a gradient of %v: got %v and %v, want %v and %v", bad, g[1], g[2], bad, before)
			}
		}
	}
}
