//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./columns -isa avx2 -out ../columns_avx2_amd64.s -stubs ../columns_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./columns -isa avx512 -out ../columns_avx512_amd64.s -stubs ../columns_avx512_amd64.go -pkg kernel

var columnsAVX2 = columnKernels{
	max:          columnMaxF32_avx2,
	sum:          columnSumF32_avx2,
	moments:      columnMomentsF32_avx2,
	normApply:    normApplyF32_avx2,
	normReduce:   normReduceF32_avx2,
	normBackward: normBackwardF32_avx2,
}

var columnsAVX512 = columnKernels{
	max:          columnMaxF32_avx512,
	sum:          columnSumF32_avx512,
	moments:      columnMomentsF32_avx512,
	normApply:    normApplyF32_avx512,
	normReduce:   normReduceF32_avx512,
	normBackward: normBackwardF32_avx512,
}
