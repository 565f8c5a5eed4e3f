package kernel

// columnKernels work on a strip of an NHWC activation: x holds rows of cp
// floats, one row a pixel, and every channel is a column of its own. Sums run
// over the pixels in order, in float32; callers keep strips short and add the
// strips in float64.
type columnKernels struct {
	// max: top[c] = max(top[c], x[p][c]), which passes over NaN. len(top) = cp.
	max func(top, x []float32)

	// sum: sum[c] = Σ x[p][c]. len(sum) = cp.
	sum func(sum, x []float32)

	// moments: s1[c] = Σ (x[p][c]-shift[c]), s2[c] = Σ (x[p][c]-shift[c])².
	moments func(s1, s2, x, shift []float32)

	// normApply: y = max(floor, (x-mean)·scale + beta + residual), with
	// coef = mean, scale, beta of cp floats each; residual may be empty. The
	// floor is 0 for a ReLU and -Inf for none. y may be x or residual.
	normApply func(y, x, residual, coef []float32, floor float32)

	// normReduce: with g = dy where y > floor, else 0:
	// s1[c] = Σ g[p][c], s2[c] = Σ g[p][c]·(x[p][c]-mean[c]).
	normReduce func(s1, s2, dy, x, y, mean []float32, floor float32)

	// normBackward: with g as above,
	// dx (+)= a·g + b·(x-mean) + c, dres (+)= g, and
	// coef = mean, a, b, c of cp floats each; mode says which add and
	// whether there is a dres. dx and dres may be dy where they do not add.
	normBackward func(dx, dres, dy, x, y, coef []float32, floor float32, mode int)
}

// Bits of normBackward's mode.
const (
	addDXMode   = 1 // add to dx instead of setting it
	dresMode    = 2 // there is a dres
	addDResMode = 4 // add to it instead of setting it
)

// columnsFor returns the column kernels for a channel stride. The assembly
// takes whole 16-float vectors; images (stride 4) stay with the generic row.
func columnsFor(cp int) *columnKernels {
	if cp%lanes != 0 {
		return &columnsGeneric
	}
	return &active.columns
}
