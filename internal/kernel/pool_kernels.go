package kernel

// poolKernels pool one pixel, all its channels. Offsets count floats, and as
// many places.
type poolKernels struct {
	// max: y[c] = max over t of x[off[t]+c], arg[c] = here[t] of the first t
	// that has it. A NaN wins over any number. len(y) channels, at least one t.
	max func(y []float32, arg []uint8, x []float32, off []int, here []int32)

	// maxBackward: dx[c] (+)= sum over t, where arg[off[t]+c] is here[t], of
	// dy[off[t]+c]. Where add is false dx is overwritten. len(dx) channels.
	maxBackward func(dx, dy []float32, arg []uint8, off []int, here []int32, add bool)
}

// poolFor returns the pooling kernels for a channel stride. The assembly takes
// whole 16-float vectors; images (stride 4) stay with the generic row.
func poolFor(cp int) *poolKernels {
	if cp%lanes != 0 {
		return &poolGeneric
	}
	return &active.pool
}
