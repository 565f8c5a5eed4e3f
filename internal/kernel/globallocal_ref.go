package kernel

import "math"

// globalLocalInput is the input of a contrast of global vectors and cells in
// float64. See GlobalLocalArgs.
type globalLocalInput struct {
	shape                           GlobalLocalShape
	global, local                   []float64
	row                             []int32
	estimator                       Estimator
	scale, clip, penalty, gradScale float64
	sharpness, entropy              float64
}

// globalLocalMixtureRef is the loss of a mixture, without penalty, of global
// vectors [N,K,D], and its mean -Σ q·s.
func globalLocalMixtureRef(in globalLocalInput) (loss, nce float64) {
	n, q, d, k := in.shape.N, in.shape.Q, in.shape.D, in.shape.K
	score := func(g, cell int) float64 {
		var dot float64
		for i := range d {
			dot += in.global[g*d+i] * in.local[cell*d+i]
		}
		if dot *= in.scale; in.clip > 0 {
			dot = in.clip * math.Tanh(dot/in.clip)
		}
		return dot
	}
	for i := range n {
		for l := range q {
			s, sum := make([]float64, k), 0.0
			for g := range k {
				t := score(i*k+g, i*q+l)
				z := math.Exp(t)
				for c := range n * q {
					if c/q != i {
						z += math.Exp(score(i*k+g, c))
					}
				}
				s[g] = t - math.Log(z)
				sum += math.Exp(in.sharpness * s[g])
			}
			for _, v := range s {
				p := math.Exp(in.sharpness*v) / sum
				nce -= p * v / float64(n*q)
				loss -= p * (v - in.entropy*math.Log(p)) / float64(n*q)
			}
		}
	}
	return loss, nce
}

// globalLocalRef is the contrast with its scores [N,N,Q] written out, and the
// gradients of global and local.
func globalLocalRef(in globalLocalInput) (r GlobalLocalResult, dglobal, dlocal []float64) {
	n, q, d := in.shape.N, in.shape.Q, in.shape.D
	dglobal, dlocal = make([]float64, len(in.global)), make([]float64, len(in.local))
	rowOf := func(i int) int {
		if in.row == nil {
			return i
		}
		return int(in.row[i])
	}
	raw, t, dt := make([]float64, n*n*q), make([]float64, n*n*q), make([]float64, n*n*q)
	at := func(i, j, l int) int { return (i*n+j)*q + l }
	cells, pairs := float64(n*q), float64(n*(n-1)*q)
	for i := range n {
		for c := range n * q {
			var dot float64
			for k := range d {
				dot += in.global[rowOf(i)*d+k] * in.local[c*d+k]
			}
			v := in.scale * dot
			raw[i*n*q+c], t[i*n*q+c] = v, v
			if in.clip > 0 {
				t[i*n*q+c] = in.clip * math.Tanh(v/in.clip)
			}
			r.Penalty += in.penalty * v * v / float64(n*n*q)
		}
	}
	negatives := func(i int, f func(at int)) {
		for j := range n {
			for l := range q {
				if j != i {
					f(at(i, j, l))
				}
			}
		}
	}
	all := 0.0
	for i := range n {
		sum, top := 0.0, math.Inf(-1)
		negatives(i, func(k int) { sum += math.Exp(t[k]); top = max(top, t[k]) })
		all += sum
		for l := range q {
			p := t[at(i, i, l)]
			z := math.Exp(p) + sum
			r.NCE += (math.Log(z) - p) / cells
			if p > top {
				r.Top1 += 1 / cells
			}
			if in.estimator == NCEEstimator {
				dt[at(i, i, l)] += (math.Exp(p)/z - 1) / cells
				negatives(i, func(k int) { dt[k] += math.Exp(t[k]) / z / cells })
			}
		}
	}
	switch in.estimator {
	case NCEEstimator:
		r.Loss = r.NCE
	case JSDEstimator:
		r.Loss = -2 * math.Ln2
	case DVEstimator:
		r.Loss = math.Log(all / pairs)
	}
	for i := range n {
		switch in.estimator {
		case JSDEstimator:
			negatives(i, func(k int) {
				r.Loss += math.Log1p(math.Exp(t[k])) / pairs
				dt[k] += 1 / (1 + math.Exp(-t[k])) / pairs
			})
		case DVEstimator:
			negatives(i, func(k int) { dt[k] += math.Exp(t[k]) / all })
		}
		for l := range q {
			p := at(i, i, l)
			switch in.estimator {
			case JSDEstimator:
				r.Loss += math.Log1p(math.Exp(-t[p])) / cells
				dt[p] -= 1 / (1 + math.Exp(t[p])) / cells
			case DVEstimator:
				r.Loss -= t[p] / cells
				dt[p] -= 1 / cells
			}
		}
	}
	for i := range n {
		for c := range n * q {
			k := i*n*q + c
			slope := 1.0
			if in.clip > 0 {
				slope -= t[k] * t[k] / (in.clip * in.clip)
			}
			g := in.gradScale * in.scale * (dt[k]*slope + 2*in.penalty*raw[k]/float64(n*n*q))
			for m := range d {
				dglobal[rowOf(i)*d+m] += g * in.local[c*d+m]
				dlocal[c*d+m] += g * in.global[rowOf(i)*d+m]
			}
		}
	}
	return r, dglobal, dlocal
}
