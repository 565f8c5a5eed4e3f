//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./winograd -isa avx2 -out ../winograd_avx2_amd64.s -stubs ../winograd_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./winograd -isa avx512 -out ../winograd_avx512_amd64.s -stubs ../winograd_avx512_amd64.go -pkg kernel

var winogradF4AVX2 = winogradKernels{
	size:           4,
	input:          inputF32_f4_avx2,
	output:         outputF32_f4_avx2,
	gradient:       gradientF32_f4_avx2,
	weight:         weightF32_f4_avx2,
	weightGradient: weightGradientF32_f4_avx2,
}

var winogradF2AVX2 = winogradKernels{
	size:           2,
	input:          inputF32_f2_avx2,
	output:         outputF32_f2_avx2,
	gradient:       gradientF32_f2_avx2,
	weight:         weightF32_f2_avx2,
	weightGradient: weightGradientF32_f2_avx2,
}

var winogradF4AVX512 = winogradKernels{
	size:           4,
	input:          inputF32_f4_avx512,
	output:         outputF32_f4_avx512,
	gradient:       gradientF32_f4_avx512,
	weight:         weightF32_f4_avx512,
	weightGradient: weightGradientF32_f4_avx512,
}

var winogradF2AVX512 = winogradKernels{
	size:           2,
	input:          inputF32_f2_avx512,
	output:         outputF32_f2_avx512,
	gradient:       gradientF32_f2_avx512,
	weight:         weightF32_f2_avx512,
	weightGradient: weightGradientF32_f2_avx512,
}
