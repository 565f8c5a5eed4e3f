package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"clpipe/internal/par"
)

// The contrasts of Deep InfoMax's small form and of AMDIM's largest map.
func BenchmarkGlobalLocal(b *testing.B) {
	for _, c := range []struct {
		s         GlobalLocalShape
		estimator Estimator
		clip      float32
	}{
		{GlobalLocalShape{N: 64, Q: 64, D: 512}, JSDEstimator, 0},
		{GlobalLocalShape{N: 64, Q: 64, D: 512}, NCEEstimator, 0},
		{GlobalLocalShape{N: 64, Q: 49, D: 256}, NCEEstimator, 20},
		{GlobalLocalShape{N: 200, Q: 49, D: 1024}, NCEEstimator, 20},
	} {
		for _, impl := range Variants() {
			b.Run(fmt.Sprintf("n=%d/q=%d/d=%d/estimator=%d/impl=%s", c.s.N, c.s.Q, c.s.D, c.estimator, impl), func(b *testing.B) {
				before := Selected()
				if err := Select(impl); err != nil {
					b.Fatal(err)
				}
				defer Select(before)
				r := rand.New(rand.NewPCG(1, 2))
				global, local := narrowed(randoms(r, c.s.N*c.s.D)), narrowed(randoms(r, c.s.N*c.s.Q*c.s.D))
				pool := par.NewPool(0)
				defer pool.Close()
				plan := NewGlobalLocal(c.s, pool.Workers())
				phases := plan.Bind(&GlobalLocalArgs{
					Global: global, Local: local, DGlobal: Alloc(len(global)), DLocal: Alloc(len(local)),
					Estimator: c.estimator, Scale: 1. / 32, Clip: c.clip, GradScale: 1, Result: &GlobalLocalResult{},
				}, Alloc(plan.ScratchLen()))
				b.ReportAllocs()
				for b.Loop() {
					runPhases(pool, phases)
				}
				// Scores, and both gradients.
				flops := 6 * float64(c.s.N) * float64(c.s.N*c.s.Q) * float64(c.s.D)
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
