package kernel

import (
	"math"

	"clpipe/internal/par"
)

// clipNormEps is PyTorch's guard of the division.
const clipNormEps = 1e-6

// ClipNorm scales the gradients g down to the Euclidean norm most where theirs
// is larger (Pascanu et al. 2013; PyTorch's clip_grad_norm_):
//
//	g *= min(1, most/(|g| + 1e-6))
//
// Gradients without a finite norm stay as they are. The norm is summed in
// float64 over fixed blocks.
func ClipNorm(g []float32, most float64) []par.Phase {
	n := len(g)
	squares := make([]float64, vectorChunks(n))
	scale := float32(1)
	return []par.Phase{
		{Tasks: len(squares), Run: func(_, t int) {
			lo, hi := vectorSpan(t, n)
			var sum float64
			for _, v := range g[lo:hi] {
				sum += float64(v) * float64(v)
			}
			squares[t] = sum
		}},
		{Tasks: 1, Run: func(_, _ int) {
			var sum float64
			for _, s := range squares {
				sum += s
			}
			scale = 1
			if by := most / (math.Sqrt(sum) + clipNormEps); by < 1 && by > 0 {
				scale = float32(by)
			}
		}},
		{Tasks: len(squares), Run: func(_, t int) {
			if scale == 1 {
				return
			}
			lo, hi := vectorSpan(t, n)
			for i := lo; i < hi; i++ {
				g[i] *= scale
			}
		}},
	}
}
