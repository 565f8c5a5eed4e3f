package kernel

// vectorKernels are element by element: slices of one call have the length of
// the first, which is of any length.
type vectorKernels struct {
	add          func(y, x []float32)      // y += x
	relu         func(y, x []float32)      // y = max(x,0), NaN kept; y may be x
	reluBackward func(dx, dy, y []float32) // dx = 0 where y <= 0, else dy; dx may be dy
	// sgd: d = g + decay·p, buf = keep·buf + take·d, p -= rate·(grad·d + step·buf)
	sgd func(p, g, buf []float32, decay, keep, take, rate, grad, step float32)
	// adam: w = shrink·p, d = g + decay·w, m = keep1·m + take1·d,
	// v = keep2·v + take2·d², p = w - rate·m/(sqrt(v)+eps)
	adam  func(p, g, m, v []float32, shrink, decay, keep1, take1, keep2, take2, rate, eps float32)
	ema   func(k, q []float32, momentum, rest float32) // k = momentum·k + rest·q
	triad func(a, b, c []float32, factor float32)      // a = b + factor·c
}

// vectorChunk is the number of floats of one task of an element-wise sweep.
const vectorChunk = 1 << 14

func vectorChunks(n int) int { return ceilDiv(n, vectorChunk) }

func vectorSpan(task, n int) (lo, hi int) {
	lo = task * vectorChunk
	return lo, min(lo+vectorChunk, n)
}
