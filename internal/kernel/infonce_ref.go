package kernel

import "math"

// infoNCEInput is the input of an InfoNCE loss in float64; keys are the valid
// rows only. See InfoNCEArgs.
type infoNCEInput struct {
	n, d                   int
	query, positive, keys  []float64
	positiveRow, selfRow   []int32
	queryIDs, keyIDs       []uint64
	temperature, gradScale float64
}

// infoNCEResult is what an InfoNCE loss computes.
type infoNCEResult struct {
	loss, entropy []float64 // [n]
	above, masked []int32   // [n]
	dq, dk        []float64 // [n,d], [len(keys)]
}

// infoNCERef is the loss with its logits written out.
func infoNCERef(in infoNCEInput) infoNCEResult {
	d := in.d
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	r := infoNCEResult{
		loss: make([]float64, in.n), entropy: make([]float64, in.n),
		above: make([]int32, in.n), masked: make([]int32, in.n),
		dq: make([]float64, in.n*d), dk: make([]float64, len(in.keys)),
	}
	nowhere := make([]float64, d) // takes the gradient of a positive that is no key
	for i := range in.n {
		q := in.query[i*d : (i+1)*d]
		var rows, grads [][]float64
		if in.positiveRow != nil {
			at := int(in.positiveRow[i]) * d
			rows, grads = append(rows, in.keys[at:at+d]), append(grads, r.dk[at:at+d])
		} else {
			rows, grads = append(rows, in.positive[i*d:(i+1)*d]), append(grads, nowhere)
		}
		for j := range len(in.keys) / d {
			if in.positiveRow != nil && int(in.positiveRow[i]) == j || in.selfRow != nil && int(in.selfRow[i]) == j {
				continue
			}
			if in.keyIDs != nil && in.keyIDs[j] != 0 && in.keyIDs[j] == in.queryIDs[i] {
				r.masked[i]++
				continue
			}
			rows, grads = append(rows, in.keys[j*d:(j+1)*d]), append(grads, r.dk[j*d:(j+1)*d])
		}
		logits, top := make([]float64, len(rows)), math.Inf(-1)
		for j, k := range rows {
			logits[j] = dot(q, k) / in.temperature
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
				r.dq[i*d+c] += in.gradScale / in.temperature * p * k[c]
				grads[j][c] += in.gradScale / in.temperature * p * q[c]
			}
		}
	}
	return r
}
