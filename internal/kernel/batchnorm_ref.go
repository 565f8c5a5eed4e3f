package kernel

import "math"

// batchNormResult is everything a batch normalisation computes, in float64 and
// without padding.
type batchNormResult struct {
	y, dx, dres             []float64 // [N,HW,C]
	dgamma, dbeta           []float64 // [C]
	runningMean, runningVar []float64 // [C]
}

// batchNormRef is a training step of batch normalisation as the definition has
// it, forward and backward, one group and channel at a time. residual is of
// x's length or nil, group nil for one group.
func batchNormRef(s BatchNormShape, x, residual, dy, gamma, beta, runningMean, runningVar []float64,
	group []int32, relu bool, eps, momentum float64) batchNormResult {
	r := batchNormResult{
		y: make([]float64, len(x)), dx: make([]float64, len(x)), dres: make([]float64, len(x)),
		dgamma: make([]float64, s.C), dbeta: make([]float64, s.C),
		runningMean: make([]float64, s.C), runningVar: make([]float64, s.C),
	}
	for g := range s.Groups {
		for c := range s.C {
			var at []int // the group's values of the channel
			for n := range s.N {
				if group == nil || int(group[n]) == g {
					for p := range s.HW {
						at = append(at, (n*s.HW+p)*s.C+c)
					}
				}
			}
			count := float64(len(at))
			var mean, variance float64
			for _, i := range at {
				mean += x[i] / count
			}
			for _, i := range at {
				variance += (x[i] - mean) * (x[i] - mean) / count
			}
			inv := 1 / math.Sqrt(variance+eps)
			r.runningMean[c] += ((1-momentum)*runningMean[c] + momentum*mean) / float64(s.Groups)
			r.runningVar[c] += ((1-momentum)*runningVar[c] + momentum*variance*count/(count-1)) / float64(s.Groups)

			var sum, sumXH float64
			for _, i := range at {
				xh := (x[i] - mean) * inv
				r.y[i] = xh*gamma[c] + beta[c]
				if residual != nil {
					r.y[i] += residual[i]
				}
				r.dres[i] = dy[i]
				if relu && r.y[i] <= 0 {
					r.y[i], r.dres[i] = 0, 0
				}
				sum += r.dres[i]
				sumXH += r.dres[i] * xh
			}
			r.dbeta[c] += sum
			r.dgamma[c] += sumXH
			for _, i := range at {
				xh := (x[i] - mean) * inv
				r.dx[i] = gamma[c] * inv / count * (count*r.dres[i] - sum - xh*sumXH)
			}
		}
	}
	return r
}
