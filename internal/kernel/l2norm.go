package kernel

import (
	"math"

	"clpipe/internal/par"
)

// L2NormShape is the projection of N rows of D floats onto the unit sphere.
// Rows of the input lie at a stride of PadC(D), those of the output at D.
type L2NormShape struct{ N, D int }

// l2NormMin is the least length a row is divided by (as in PyTorch's
// normalize): the zero row stays zero.
const l2NormMin = 1e-12

// l2NormRows is the number of rows of a task.
const l2NormRows = 16

// Forward sets z_i = u_i/n_i with n_i = max(|u_i|, 1e-12), for u [N,PadC(D)]
// and z [N,D], and keeps 1/n in inv [N].
func (s L2NormShape) Forward(z, u, inv []float32) []par.Phase {
	stride := PadC(s.D)
	checkLen("l2 norm", s, "z", len(z), s.N*s.D)
	checkLen("l2 norm", s, "u", len(u), s.N*stride)
	checkLen("l2 norm", s, "inv", len(inv), s.N)
	return []par.Phase{{Tasks: ceilDiv(s.N, l2NormRows), Run: func(_, t int) {
		for i := t * l2NormRows; i < min((t+1)*l2NormRows, s.N); i++ {
			row := u[i*stride:][:s.D]
			var sum float64
			for _, v := range row {
				sum += float64(v) * float64(v)
			}
			scale := float32(1 / math.Max(math.Sqrt(sum), l2NormMin))
			inv[i] = scale
			for j, v := range row {
				z[i*s.D+j] = v * scale
			}
		}
	}}}
}

// Backward sets du [N,PadC(D)], padding included, from dz [N,D]:
// du = (dz - z·<z,dz>)/n, or dz/n where n was clamped.
func (s L2NormShape) Backward(du, dz, z, inv []float32) []par.Phase {
	stride := PadC(s.D)
	checkLen("l2 norm backward", s, "du", len(du), s.N*stride)
	checkLen("l2 norm backward", s, "dz", len(dz), s.N*s.D)
	checkLen("l2 norm backward", s, "z", len(z), s.N*s.D)
	checkLen("l2 norm backward", s, "inv", len(inv), s.N)
	return []par.Phase{{Tasks: ceilDiv(s.N, l2NormRows), Run: func(_, t int) {
		for i := t * l2NormRows; i < min((t+1)*l2NormRows, s.N); i++ {
			grad, unit, out := dz[i*s.D:][:s.D], z[i*s.D:][:s.D], du[i*stride:][:stride]
			var dot float64
			if inv[i] < 1/l2NormMin {
				for j, v := range grad {
					dot += float64(v) * float64(unit[j])
				}
			}
			for j, v := range grad {
				out[j] = float32((float64(v) - float64(unit[j])*dot) * float64(inv[i]))
			}
			clear(out[s.D:])
		}
	}}}
}
