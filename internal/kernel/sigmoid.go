package kernel

import (
	"math"

	"clpipe/internal/par"
)

// SigmoidShape is the logistic function over rows [Rows,PadC(C)].
type SigmoidShape struct{ Rows, C int }

// Forward sets y = 1/(1+exp(-x)); y may be x. Padding channels stay zero.
func (s SigmoidShape) Forward(y, x []float32) []par.Phase {
	cp := PadC(s.C)
	checkLen("sigmoid", s, "y", len(y), s.Rows*cp)
	checkLen("sigmoid", s, "x", len(x), s.Rows*cp)
	return []par.Phase{{Tasks: s.Rows, Run: func(_, r int) {
		row := y[r*cp : (r+1)*cp]
		for c, v := range x[r*cp : r*cp+s.C] {
			row[c] = float32(sigmoid(float64(v)))
		}
		clear(row[s.C:])
	}}}
}

// Backward sets dx = dy·y·(1-y), or adds it if add is set; dx may be dy unless
// it adds.
func (s SigmoidShape) Backward(dx, dy, y []float32, add bool) []par.Phase {
	cp := PadC(s.C)
	checkLen("sigmoid backward", s, "dx", len(dx), s.Rows*cp)
	checkLen("sigmoid backward", s, "dy", len(dy), s.Rows*cp)
	checkLen("sigmoid backward", s, "y", len(y), s.Rows*cp)
	return []par.Phase{{Tasks: s.Rows, Run: func(_, r int) {
		for i := r * cp; i < (r+1)*cp; i++ {
			g := dy[i] * y[i] * (1 - y[i])
			if add {
				g += dx[i]
			}
			dx[i] = g
		}
	}}}
}

// sigmoid is 1/(1+exp(-x)), exact at both ends.
func sigmoid(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}
