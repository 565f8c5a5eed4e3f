//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./vector -isa avx2 -out ../vector_avx2_amd64.s -stubs ../vector_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./vector -isa avx512 -out ../vector_avx512_amd64.s -stubs ../vector_avx512_amd64.go -pkg kernel

var vectorAVX2 = withTails(vectorKernels{
	add:          addF32_avx2,
	relu:         reluF32_avx2,
	reluBackward: reluBackwardF32_avx2,
	sgd:          sgdF32_avx2,
	adam:         adamF32_avx2,
	ema:          emaF32_avx2,
	triad:        triadF32_avx2,
})

var vectorAVX512 = withTails(vectorKernels{
	add:          addF32_avx512,
	relu:         reluF32_avx512,
	reluBackward: reluBackwardF32_avx512,
	sgd:          sgdF32_avx512,
	adam:         adamF32_avx512,
	ema:          emaF32_avx512,
	triad:        triadF32_avx512,
})

// withTails completes kernels for lengths that are multiples of 16: the
// elements past the last one are left to the generic row.
func withTails(whole vectorKernels) vectorKernels {
	return vectorKernels{
		add: func(y, x []float32) {
			n := wholeVectors(y)
			whole.add(y[:n], x)
			addF32Generic(y[n:], x[n:])
		},
		relu: func(y, x []float32) {
			n := wholeVectors(y)
			whole.relu(y[:n], x)
			reluF32Generic(y[n:], x[n:])
		},
		reluBackward: func(dx, dy, y []float32) {
			n := wholeVectors(dx)
			whole.reluBackward(dx[:n], dy, y)
			reluBackwardF32Generic(dx[n:], dy[n:], y[n:])
		},
		sgd: func(p, g, buf []float32, decay, keep, take, rate, grad, step float32) {
			n := wholeVectors(p)
			whole.sgd(p[:n], g, buf, decay, keep, take, rate, grad, step)
			sgdF32Generic(p[n:], g[n:], buf[n:], decay, keep, take, rate, grad, step)
		},
		adam: func(p, g, m, v []float32, shrink, decay, keep1, take1, keep2, take2, rate, eps float32) {
			n := wholeVectors(p)
			whole.adam(p[:n], g, m, v, shrink, decay, keep1, take1, keep2, take2, rate, eps)
			adamF32Generic(p[n:], g[n:], m[n:], v[n:], shrink, decay, keep1, take1, keep2, take2, rate, eps)
		},
		ema: func(k, q []float32, momentum, rest float32) {
			n := wholeVectors(k)
			whole.ema(k[:n], q, momentum, rest)
			emaF32Generic(k[n:], q[n:], momentum, rest)
		},
		triad: func(a, b, c []float32, factor float32) {
			n := wholeVectors(a)
			whole.triad(a[:n], b, c, factor)
			triadF32Generic(a[n:], b[n:], c[n:], factor)
		},
	}
}

// wholeVectors returns how many of v's elements make up whole groups of 16.
func wholeVectors(v []float32) int { return len(v) / lanes * lanes }
