//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./gemm -isa avx2 -out ../gemm_avx2_amd64.s -stubs ../gemm_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./gemm -isa avx512 -out ../gemm_avx512_amd64.s -stubs ../gemm_avx512_amd64.go -pkg kernel

var gemmAVX2 = gemmKernels{
	rows:      6,
	panels:    1,
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
	rows:      8,
	panels:    2,
	gather:    gatherF32_8x32_avx512,
	outer:     outerF32_8x32_avx512,
	panel:     panelF32_16_avx512,
	transpose: transposeF32_8x8_avx2,
	fma: func(n int) int64 {
		fmaLoopF32_avx512(n)
		return int64(n) * 2 * 8 * 2 * lanes
	},
}
