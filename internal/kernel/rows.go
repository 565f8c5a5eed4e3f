package kernel

// rowKernels work on one row of channels: the pixel of a layer normalisation.
// The slices of a call have the length of the first, which is of any length.
// Everything is float64 but what is read and written; sums run in lanes, which
// the length and the instruction set decide. xh = (x-mean)·inv.
type rowKernels struct {
	sum     func(x []float32) float64               // Σ x
	squares func(x []float32, mean float64) float64 // Σ (x-mean)²

	// apply: y = xh·gamma + beta. y may be x.
	apply func(y, x, gamma, beta []float32, mean, inv float64)

	// reduce: dbeta += dy, dgamma += dy·xh, and it returns Σ gamma·dy and
	// Σ gamma·dy·xh.
	reduce func(dgamma, dbeta, dy, x, gamma []float32, mean, inv float64) (sum, dot float64)

	// backward: dx = a·gamma·dy + b·(x-mean) + c, or that is added to dx. dx may
	// be dy unless it is added to.
	backward func(dx, dy, x, gamma []float32, mean, a, b, c float64, add bool)
}
