package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"clpipe/internal/par"
)

// FLOPs count the two products of N·K·D multiply-adds, without exponentials.
func BenchmarkInfoNCE(b *testing.B) {
	for _, s := range []InfoNCEShape{{256, 128, 65536}, {128, 128, 4096}, {32, 128, 65536}} {
		r := rand.New(rand.NewPCG(1, 1))
		a := &InfoNCEArgs{
			Query: narrowed(unitRows(r, s.N, s.D)), Positive: narrowed(unitRows(r, s.N, s.D)), Keys: narrowed(unitRows(r, s.K, s.D)),
			Valid: s.K, QueryIDs: make([]uint64, s.N), KeyIDs: make([]uint64, s.K), Temperature: 0.2, GradScale: 1 / float32(s.N),
			Loss: Alloc(s.N), Entropy: Alloc(s.N), Above: make([]int32, s.N), Masked: make([]int32, s.N), DQuery: Alloc(s.N * s.D),
		}
		for i := range a.KeyIDs {
			a.KeyIDs[i] = uint64(i + 1)
		}
		for i := range a.QueryIDs {
			a.QueryIDs[i] = uint64(1 + r.IntN(10*s.K)) // some epochs into the run: a few matches
		}
		b.Run(fmt.Sprintf("n=%d,d=%d,k=%d", s.N, s.D, s.K), func(b *testing.B) {
			eachVariantBench(b, func(b *testing.B) {
				pool := par.NewPool(0)
				workers := pool.Workers()
				pool.Close()
				x := NewInfoNCE(s, workers)
				benchPhases(b, x.Bind(a, Alloc(x.ScratchLen())), 0, 4*s.N*s.K*s.D)
			})
		})
	}
}

// NT-Xent, whose rows are queries and keys. FLOPs count the scores twice and
// the two gradients.
func BenchmarkNTXent(b *testing.B) {
	for _, n := range []int{512, 2048} {
		s := InfoNCEShape{n, 128, n}
		z := narrowed(unitRows(rand.New(rand.NewPCG(1, 1)), n, s.D))
		a := &InfoNCEArgs{
			Query: z, Keys: z, Valid: n, Temperature: 0.5, GradScale: 1 / float32(n),
			Loss: Alloc(n), Entropy: Alloc(n), Above: make([]int32, n), Masked: make([]int32, n), DQuery: Alloc(n * s.D), DKeys: Alloc(n * s.D),
		}
		for i := range n {
			a.PositiveRow = append(a.PositiveRow, int32((i+n/2)%n))
			a.SelfRow = append(a.SelfRow, int32(i))
		}
		b.Run(fmt.Sprintf("n=%d,d=%d", n, s.D), func(b *testing.B) {
			eachVariantBench(b, func(b *testing.B) {
				pool := par.NewPool(0)
				workers := pool.Workers()
				pool.Close()
				x := NewInfoNCE(s, workers)
				phases := append(x.Bind(a, Alloc(x.ScratchLen())), Add(a.DQuery, a.DKeys)...)
				benchPhases(b, phases, 0, 8*n*n*s.D)
			})
		})
	}
}

func BenchmarkExpSum(b *testing.B) {
	const rows = infoNCERows
	s, stats := Alloc(rows*infoNCEWidth), Alloc(5*infoNCEWidth)
	eachVariantBench(b, func(b *testing.B) {
		k := active.expSum
		for b.Loop() {
			for i := range s { // as the products leave them
				s[i] = -1
			}
			k(s, stats, infoNCEWidth, 5)
		}
		b.ReportMetric(float64(b.N*len(s))/b.Elapsed().Seconds()/1e9, "Gexp/s")
	})
}
