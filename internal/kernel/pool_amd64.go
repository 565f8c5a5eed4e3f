//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./pool -isa avx2 -out ../pool_avx2_amd64.s -stubs ../pool_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./pool -isa avx512 -out ../pool_avx512_amd64.s -stubs ../pool_avx512_amd64.go -pkg kernel

var (
	poolAVX2   = poolKernels{max: maxPoolF32_avx2, maxBackward: maxPoolBackwardF32_avx2}
	poolAVX512 = poolKernels{max: maxPoolF32_avx512, maxBackward: maxPoolBackwardF32_avx512}
)
