package kernel

import (
	"math"

	"clpipe/internal/par"
)

// BiasShape is a bias over the rows [Rows,PadC(C)] of an activation: samples
// after a linear layer, pixels after a convolution.
type BiasShape struct{ Rows, C int }

func (s BiasShape) strips() strips { return cutStrips(1, s.Rows, PadC(s.C)) }

// ScratchLen is the length of the scratch of Forward and Backward. It holds
// nothing between the two.
func (s BiasShape) ScratchLen() int { return max(3, s.strips().num()) * PadC(s.C) }

// Forward sets y = relu?(x + bias), bias [C] for every row; y may be x.
func (s BiasShape) Forward(y, x, bias []float32, relu bool, scratch []float32) []par.Phase {
	cut, cp, k := s.strips(), PadC(s.C), columnsFor(PadC(s.C))
	checkLen("bias", s, "y", len(y), s.Rows*cp)
	checkLen("bias", s, "x", len(x), s.Rows*cp)
	checkLen("bias", s, "bias", len(bias), s.C)
	checkLen("bias", s, "scratch", len(scratch), s.ScratchLen())
	floor := float32(math.Inf(-1))
	if relu {
		floor = 0
	}
	coef := scratch[:3*cp] // the normalisation by mean 0 and scale 1
	return []par.Phase{
		{Tasks: 1, Run: func(_, _ int) {
			clear(coef)
			for c := range s.C {
				coef[cp+c], coef[2*cp+c] = 1, bias[c]
			}
		}},
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			k.normApply(y[lo:hi], x[lo:hi], nil, coef, floor)
		}},
	}
}

// Backward adds the sum of the rows of dy to dbias [C]. The gradient of x is
// dy, behind a ReLU that of ReLUBackward.
func (s BiasShape) Backward(dbias, dy, scratch []float32) []par.Phase {
	cut, cp, k := s.strips(), PadC(s.C), columnsFor(PadC(s.C))
	checkLen("bias backward", s, "dbias", len(dbias), s.C)
	checkLen("bias backward", s, "dy", len(dy), s.Rows*cp)
	checkLen("bias backward", s, "scratch", len(scratch), s.ScratchLen())
	return []par.Phase{
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			k.sum(scratch[t*cp:(t+1)*cp], dy[lo:hi])
		}},
		{Tasks: columnBlocks(cp), Run: func(_, b int) {
			lo, hi := columnBlock(b, cp)
			for c := lo; c < min(hi, s.C); c++ {
				var sum float64
				for t := range cut.num() {
					sum += float64(scratch[t*cp+c])
				}
				dbias[c] += float32(sum)
			}
		}},
	}
}
