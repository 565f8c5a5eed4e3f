package bounds

import (
	"fmt"
	"math"
)

// Interpolated returns I_α (Poole et al. 2019, section 2.4), between TUBA with
// log baselines b [K] (nil for 0) at α = 0 and the leave-one-out form of
// InfoNCE at α = 1, and sets grad [K,K] and gradB [K], unless they are nil:
//
//	M_ij = α/(K-1) Σ_{k≠j} e^f_ik + (1-α) e^b_i
//	I_α  = 1 + mean_{i≠j} (f_ii - log M_ij) - mean_{i≠j} e^f_ij / M_ii
//
// It is at most about log(K/α): α trades the bias of InfoNCE for variance.
func (s Scores[T]) Interpolated(alpha float64, b, grad, gradB []T) float64 {
	return Interpolate(NewInterpolator(s.K, alpha), s, b, grad, gradB)
}

// An Interpolator is α with the memory of I_α for batches of one size: Interpolate
// with it allocates nothing.
type Interpolator struct{ r *interpolation }

// NewInterpolator returns one for batches of k pairs. An α outside [0,1] is an
// error of the program.
func NewInterpolator(k int, alpha float64) *Interpolator {
	if !(alpha >= 0 && alpha <= 1) {
		panic(fmt.Sprintf("bounds: interpolated: alpha is %v, want it in [0,1]", alpha))
	}
	return &Interpolator{newInterpolation(k, alpha)}
}

// Interpolate is Interpolated.
func Interpolate[T Float](by *Interpolator, s Scores[T], b, grad, gradB []T) float64 {
	s.check("interpolated", 2, grad)
	s.checkBaseline("interpolated", b, gradB)
	r := by.r
	if len(r.f) != s.K {
		panic(fmt.Sprintf("bounds: interpolated: got a batch of %d pairs, want %d", s.K, len(r.f)))
	}
	base := baseline(b)
	value := 0.0
	for i := range s.K {
		row := s.row(i)
		for j, f := range row {
			r.f[j] = float64(f)
		}
		value += r.row(i, base(i))
		if grad != nil || gradB != nil {
			r.invert(i)
		}
		if grad != nil {
			r.gradient(i)
			for k := range row {
				grad[i*s.K+k] = T(r.grad[k])
			}
		}
		if gradB != nil {
			gradB[i] = T(r.baselineGradient(i, base(i)))
		}
	}
	return 1 + value/s.negatives()
}

// interpolation is the work on one row of scores.
type interpolation struct {
	logAlpha, logRest float64 // log(α/(K-1)), log(1-α)
	n                 float64

	f, logM []float64 // [K]: the scores, log M_ij over j
	ratio   float64   // Σ_{j≠i} e^(f_ij - log M_ii)

	// others[k] is the log of Σ 1/M_ij over j other than i and k, all over j
	// other than i alone.
	others []float64
	all    float64
	grad   []float64
	work   []float64 // [K+1]
}

func newInterpolation(k int, alpha float64) *interpolation {
	buf := make([]float64, 5*k+1)
	cut := func(n int) []float64 {
		out := buf[:n:n]
		buf = buf[n:]
		return out
	}
	return &interpolation{
		logAlpha: math.Log(alpha / float64(k-1)), logRest: math.Log1p(-alpha), n: float64(k) * float64(k-1),
		f: cut(k), logM: cut(k), others: cut(k), grad: cut(k), work: cut(k + 1),
	}
}

// row returns the row's part of the sums.
func (r *interpolation) row(i int, b float64) float64 {
	leaveOneOut(r.logM, r.f, r.work)
	for j, rest := range r.logM {
		r.logM[j] = logAdd(r.logAlpha+rest, r.logRest+b)
	}
	joint := 0.0
	r.ratio = 0
	for j, f := range r.f {
		if j != i {
			joint += r.f[i] - r.logM[j]
			r.ratio += math.Exp(f - r.logM[i])
		}
	}
	return joint - r.ratio
}

// invert sums up what the gradients need: the inverse of M_ij weighs in for every j
// but i.
func (r *interpolation) invert(i int) {
	for j, m := range r.logM {
		r.grad[j] = -m
	}
	r.grad[i] = math.Inf(-1)
	r.all = leaveOneOut(r.others, r.grad, r.work)
}

// gradient sets grad to that of the whole bound in the row's scores:
//
//	[k=i]/K - [k≠i] e^(f_k - log M_i)/n + α e^f_k/(K-1) Σ_{j≠k} w_j / M_j
//	w_j = -1/n, w_i = (Σ_{j≠i} e^(f_j - log M_i))/n
func (r *interpolation) gradient(i int) {
	for k, f := range r.f {
		g := -math.Exp(r.logAlpha + f + r.others[k])
		if k == i {
			g += float64(len(r.f) - 1)
		} else {
			g += r.ratio*math.Exp(r.logAlpha+f-r.logM[i]) - math.Exp(f-r.logM[i])
		}
		r.grad[k] = g / r.n
	}
}

// baselineGradient is that in b: (1-α) e^b Σ_j w_j / M_j.
func (r *interpolation) baselineGradient(i int, b float64) float64 {
	return (r.ratio*math.Exp(r.logRest+b-r.logM[i]) - math.Exp(r.logRest+b+r.all)) / r.n
}

// leaveOneOut sets out[j] to log Σ_{k≠j} e^x_k and returns the sum over all.
// Sums from both ends meet at j: to take e^x_j off the whole would lose all
// digits where it is most of it. work has a place more than x.
func leaveOneOut(out, x, work []float64) float64 {
	n := len(x)
	work[n] = math.Inf(-1)
	for k := n - 1; k >= 0; k-- {
		work[k] = logAdd(x[k], work[k+1])
	}
	before := math.Inf(-1)
	for j, v := range x {
		out[j] = logAdd(before, work[j+1])
		before = logAdd(before, v)
	}
	return work[0]
}
