package kernel

import (
	"math"

	"clpipe/internal/par"
)

// AdamArgs are the settings of a step of Adam, read at every run. They are
// float64: 1-β of a β near 1 would lose four digits in float32.
type AdamArgs struct {
	LR, Beta1, Beta2, Eps float64
	WeightDecay           float64
	// Decoupled takes the weight decay off the parameters (AdamW); else it is
	// added to the gradient (Adam's L2 penalty).
	Decoupled bool
	Step      int // number of the step, from 1
}

// Adam steps the parameters p by their gradients g with the running moments m
// and v, all of one length and the moments 0 before step 1, as PyTorch's Adam
// (Kingma and Ba 2015, algorithm 1) and AdamW (Loshchilov and Hutter 2019,
// algorithm 2) do at step t:
//
//	p = (1-lr·wd)·p with Decoupled, else g = g + wd·p
//	m = β1·m + (1-β1)·g
//	v = β2·v + (1-β2)·g²
//	p -= lr · m/(1-β1^t) / (sqrt(v/(1-β2^t)) + eps)
func Adam(p, g, m, v []float32, a *AdamArgs) []par.Phase {
	n := len(p)
	checkLen("adam", n, "g", len(g), n)
	checkLen("adam", n, "m", len(m), n)
	checkLen("adam", n, "v", len(v), n)
	k := active.vector.adam
	return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
		lo, hi := vectorSpan(t, n)
		shrink, decay := 1.0, a.WeightDecay
		if a.Decoupled {
			shrink, decay = 1-a.LR*a.WeightDecay, 0
		}
		// The root of v's correction is drawn out of the denominator.
		root := math.Sqrt(1 - math.Pow(a.Beta2, float64(a.Step)))
		rate := a.LR / (1 - math.Pow(a.Beta1, float64(a.Step))) * root
		k(p[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi], float32(shrink), float32(decay),
			float32(a.Beta1), float32(1-a.Beta1), float32(a.Beta2), float32(1-a.Beta2), float32(rate), float32(a.Eps*root))
	}}}
}
