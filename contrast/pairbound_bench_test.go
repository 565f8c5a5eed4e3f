package contrast

import (
	"fmt"
	"math"
	"testing"

	"clpipe/contrast/bounds"
	"clpipe/internal/kernel"
)

// What a bound costs a step beside the network: values and gradients of N² scores.
func BenchmarkPairBound(b *testing.B) {
	const n = 256
	scores := make([]float32, n*n)
	for i := range scores {
		scores[i] = float32(3 * math.Sin(float64(i*i%1009)))
	}
	for _, bound := range trainedBounds {
		b.Run(fmt.Sprintf("bound=%s/n=%d", bound, n), func(b *testing.B) {
			p := &pairBound{
				PairBound: PairBound{Bound: bound}, n: n, scores: kernel.Alloc(n * n), grads: kernel.Alloc(n * n), above: make([]int32, n),
				base: make([]float32, n), dbase: make([]float32, n), interpolated: bounds.NewInterpolator(n, 0.01), average: &bounds.DVAverage{},
				tau: func() float64 { return 1 },
			}
			b.ReportAllocs()
			for b.Loop() {
				copy(p.scores, scores)
				p.evaluate()
			}
		})
	}
}

// What an entry of the metrics costs where the batch is its own negatives.
func BenchmarkEstimatesOfBatch(b *testing.B) {
	for _, n := range []int{256, 512} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			s := bounds.Scores[float32]{K: n, F: make([]float32, n*n)}
			for i := range s.F {
				s.F[i] = float32(3 * math.Sin(float64(i*i%1009)))
			}
			var e Estimates
			b.ReportAllocs()
			for b.Loop() {
				e.ofBatch(s)
			}
		})
	}
}
