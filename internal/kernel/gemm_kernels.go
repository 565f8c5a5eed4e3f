package kernel

// gemmKernels are the two register-tile products that all matrix products and
// convolutions of a row are made of. Offsets and strides count floats.
type gemmKernels struct {
	// rows is the height of a register tile. Tables and buffers of the
	// products are padded to it.
	rows int
	// panels is the number of adjacent 16-wide panels a tile spans when there
	// are as many; a last odd panel is computed alone.
	panels int
	// block is how matrix products fall into parts.
	block gemmBlock
	// gather computes groups*rows rows of c (+)= a * b, 16*panels columns wide:
	//
	//	c[cOff[i] + 16q + j] (+)= sum over t < taps, k < depth of
	//	    a[aOff[g][t][i%rows] + k] * b[q*panelStride + (t*depth+k)*16 + j]
	//
	// for row i of group g = i/rows, panel q and column j. Where accumulate is
	// false c is overwritten. It serves convolutions read in place (a tap is a
	// pixel of the window) and, with one tap, matrix products.
	gather func(c []float32, cOff []int, a []float32, aOff []int, b []float32,
		panelStride, panels, groups, taps, depth int, accumulate bool)
	// outer computes groups*rows rows of c (+)= a^T * b, 16*panels columns wide:
	//
	//	c[i*cStride + j] (+)= sum over k < depth of a[k*aStride+i] * b[k*bStride+j]
	//
	// Where accumulate is false c is overwritten. It serves weight gradients, where k runs over pixels.
	outer func(c []float32, cStride int, a []float32, aStride int, b []float32, bStride,
		panels, groups, depth int, accumulate bool)
	// panel copies rows of 16 floats that lie apart:
	//
	//	dst[k*16 + j] = src[k*stride + j], k < rows, j < 16
	panel func(dst, src []float32, stride, rows int)
	// transpose turns a matrix, rows and cols being multiples of 8 above 0:
	//
	//	dst[j*dStride + i] = src[i*sStride + j], i < rows, j < cols
	transpose func(dst []float32, dStride int, src []float32, sStride int, rows, cols int)
	// fma runs n rounds of multiply-adds in registers and returns the number of
	// floating-point operations done.
	fma func(n int) int64
}

// A gemmBlock is the part of a matrix product that a task computes, and the parts
// of that in which it goes through the caches.
type gemmBlock struct {
	// rows and cols bound the block of C. More rows share the packing of B, more
	// columns the reading of A.
	rows, cols int
	// depth is the part of the sums taken at a time.
	depth int
	// strip is the rows of A that meet all packed columns of B before the next
	// ones. Where a block has but one strip, that lies in the second cache and B
	// is packed a unit at a time. Where it has several, the packed columns of all
	// units lie there.
	strip int
}

// FMALoop runs n rounds of fused multiply-adds that touch no memory, on the
// calling goroutine, and returns the floating-point operations done (two a
// multiply-add): timed, it gives the peak that kernels are measured against.
func FMALoop(n int) int64 {
	// Assembly cannot be preempted; some 4096 rounds take 30 microseconds.
	const rounds = 4096
	var flops int64
	for ; n > rounds; n -= rounds {
		flops += active.gemm.fma(rounds)
	}
	return flops + active.gemm.fma(max(n, 1))
}
