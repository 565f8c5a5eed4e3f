package kernel

import "math"

// infoNCEResult is what an InfoNCE loss computes, in float64.
type infoNCEResult struct {
	loss, entropy []float64 // [N]
	above, masked []int32   // [N]
	dq            []float64 // [N,D]
}

// infoNCERef is the loss with its logits written out. keys holds the valid
// rows only; ids may be nil.
func infoNCERef(s InfoNCEShape, query, positive, keys []float64, queryIDs, keyIDs []uint64, temperature, gradScale float64) infoNCEResult {
	d := s.D
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	r := infoNCEResult{
		loss: make([]float64, s.N), entropy: make([]float64, s.N),
		above: make([]int32, s.N), masked: make([]int32, s.N), dq: make([]float64, s.N*d),
	}
	for i := range s.N {
		q := query[i*d : (i+1)*d]
		rows := [][]float64{positive[i*d : (i+1)*d]}
		for j := range len(keys) / d {
			if keyIDs != nil && keyIDs[j] != 0 && keyIDs[j] == queryIDs[i] {
				r.masked[i]++
				continue
			}
			rows = append(rows, keys[j*d:(j+1)*d])
		}
		logits, top := make([]float64, len(rows)), math.Inf(-1)
		for j, k := range rows {
			logits[j] = dot(q, k) / temperature
			top = max(top, logits[j])
			if logits[j] > logits[0] {
				r.above[i]++
			}
		}
		var sum float64
		for _, s := range logits {
			sum += math.Exp(s - top)
		}
		lse := top + math.Log(sum)
		r.loss[i], r.entropy[i] = lse-logits[0], lse
		for j, k := range rows {
			p := math.Exp(logits[j] - lse)
			r.entropy[i] -= p * logits[j]
			if j == 0 {
				p--
			}
			for c := range d {
				r.dq[i*d+c] += gradScale / temperature * p * k[c]
			}
		}
	}
	return r
}
