package bounds

import "math"

// logSum returns log Σ e^x over all places but skip (-1: over all).
func logSum[T Float](x []T, skip int) float64 {
	top := math.Inf(-1)
	for j, v := range x {
		if j != skip {
			top = max(top, float64(v))
		}
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for j, v := range x {
		if j != skip {
			sum += math.Exp(float64(v) - top)
		}
	}
	return top + math.Log(sum)
}

// logAdd returns log(e^a + e^b), -Inf standing for log 0.
func logAdd(a, b float64) float64 {
	high, low := max(a, b), min(a, b)
	if math.IsInf(low, -1) {
		return high
	}
	return high + math.Log1p(math.Exp(low-high))
}

// softplus returns log(1 + e^x).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// sigmoid returns 1/(1 + e^-x).
func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}
