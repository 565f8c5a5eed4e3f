//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./gemm -isa avx2 -out ../gemm_avx2_amd64.s -stubs ../gemm_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./gemm -isa avx512 -out ../gemm_avx512_amd64.s -stubs ../gemm_avx512_amd64.go -pkg kernel

var gemmAVX2 = gemmKernels{
	rows:      6,
	panels:    1,
	block:     wholeStrips,
	gather:    gatherF32_6x16_avx2,
	outer:     outerF32_6x16_avx2,
	panel:     panelF32_16_avx2,
	transpose: transposeF32_8x8_avx2,
	fma: func(n int) int64 {
		fmaLoopF32_avx2(n)
		return int64(n) * 2 * 6 * lanes
	},
}

var gemmAVX512 = gemmKernels{
	rows:   8,
	panels: 2,
	// Rows of A lie apart, those of a large matrix often at a power of two, so
	// that a strip of many meets itself in few sets of a cache. Packed columns do
	// not, and half a megabyte of them leaves room in the second cache of any
	// processor with AVX-512. The tile takes them from there as fast as from the
	// first one.
	block:     gemmBlock{rows: 2048, cols: 256, depth: 512, strip: 64},
	gather:    gatherF32_8x32_avx512,
	outer:     outerF32_8x32_avx512,
	panel:     panelF32_16_avx512,
	transpose: transposeF32_8x8_avx2,
	fma: func(n int) int64 {
		fmaLoopF32_avx512(n)
		return int64(n) * 2 * 8 * 2 * lanes
	},
}
