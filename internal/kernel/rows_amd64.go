//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./rows -isa avx2 -out ../rows_avx2_amd64.s -stubs ../rows_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./rows -isa avx512 -out ../rows_avx512_amd64.s -stubs ../rows_avx512_amd64.go -pkg kernel

var rowsAVX2 = rowsWithTails(rowKernels{
	sum:      rowSumF32_avx2,
	squares:  rowSquaresF32_avx2,
	apply:    rowApplyF32_avx2,
	reduce:   rowReduceF32_avx2,
	backward: rowBackwardF32_avx2,
})

var rowsAVX512 = rowsWithTails(rowKernels{
	sum:      rowSumF32_avx512,
	squares:  rowSquaresF32_avx512,
	apply:    rowApplyF32_avx512,
	reduce:   rowReduceF32_avx512,
	backward: rowBackwardF32_avx512,
})

// rowsWithTails completes kernels for lengths that are multiples of 16: the
// channels past the last one are left to the generic row.
func rowsWithTails(whole rowKernels) rowKernels {
	return rowKernels{
		sum: func(x []float32) float64 {
			n := wholeVectors(x)
			return whole.sum(x[:n]) + rowSumF32Generic(x[n:])
		},
		squares: func(x []float32, mean float64) float64 {
			n := wholeVectors(x)
			return whole.squares(x[:n], mean) + rowSquaresF32Generic(x[n:], mean)
		},
		apply: func(y, x, gamma, beta []float32, mean, inv float64) {
			n := wholeVectors(y)
			whole.apply(y[:n], x, gamma, beta, mean, inv)
			rowApplyF32Generic(y[n:], x[n:], gamma[n:], beta[n:], mean, inv)
		},
		reduce: func(dgamma, dbeta, dy, x, gamma []float32, mean, inv float64) (sum, dot float64) {
			n := wholeVectors(dgamma)
			sum, dot = whole.reduce(dgamma[:n], dbeta, dy, x, gamma, mean, inv)
			tailSum, tailDot := rowReduceF32Generic(dgamma[n:], dbeta[n:], dy[n:], x[n:], gamma[n:], mean, inv)
			return sum + tailSum, dot + tailDot
		},
		backward: func(dx, dy, x, gamma []float32, mean, a, b, c float64, add bool) {
			n := wholeVectors(dx)
			whole.backward(dx[:n], dy, x, gamma, mean, a, b, c, add)
			rowBackwardF32Generic(dx[n:], dy[n:], x[n:], gamma[n:], mean, a, b, c, add)
		},
	}
}
