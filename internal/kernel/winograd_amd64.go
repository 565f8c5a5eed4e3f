//go:build amd64 && !noasm

package kernel

//go:generate go -C _gen run ./winograd -isa avx2 -out ../winograd_avx2_amd64.s -stubs ../winograd_avx2_amd64.go -pkg kernel
//go:generate go -C _gen run ./winograd -isa avx512 -out ../winograd_avx512_amd64.s -stubs ../winograd_avx512_amd64.go -pkg kernel

var winogradAVX2 = winogradSet{
	f4: winogradKernels{
		size: 4, window: 6, points: 6, factors: 6,
		input:          inputF32_f4_avx2,
		output:         outputF32_f4_avx2,
		prefetch:       prefetchF32_avx2,
		gradient:       gradientF32_f4_avx2,
		weight:         weightF32_f4_avx2,
		weightGradient: weightGradientF32_f4_avx2,
	},
	f2: winogradKernels{
		size: 2, window: 4, points: 4, factors: 4,
		input:          inputF32_f2_avx2,
		output:         outputF32_f2_avx2,
		prefetch:       prefetchF32_avx2,
		gradient:       gradientF32_f2_avx2,
		weight:         weightF32_f2_avx2,
		weightGradient: weightGradientF32_f2_avx2,
	},
	s2: winogradKernels{
		size: 4, window: 9, points: 9, factors: 6,
		input:          inputF32_s2_avx2,
		output:         outputF32_s2_avx2,
		prefetch:       prefetchF32_avx2,
		gradient:       gradientF32_s2_avx2,
		weight:         weightF32_s2_avx2,
		weightGradient: weightGradientF32_s2_avx2,
	},
	s2t: winogradKernels{
		size: 8, window: 5, points: 9, factors: 6,
		input:    inputF32_s2t_avx2,
		output:   outputF32_s2t_avx2,
		prefetch: prefetchF32_avx2,
		weight:   weightF32_s2_avx2,
	},
}

var winogradAVX512 = winogradSet{
	f4: winogradKernels{
		size: 4, window: 6, points: 6, factors: 6,
		input:          inputF32_f4_avx512,
		output:         outputF32_f4_avx512,
		prefetch:       prefetchF32_avx512,
		gradient:       gradientF32_f4_avx512,
		weight:         weightF32_f4_avx512,
		weightGradient: weightGradientF32_f4_avx512,
	},
	f2: winogradKernels{
		size: 2, window: 4, points: 4, factors: 4,
		input:          inputF32_f2_avx512,
		output:         outputF32_f2_avx512,
		prefetch:       prefetchF32_avx512,
		gradient:       gradientF32_f2_avx512,
		weight:         weightF32_f2_avx512,
		weightGradient: weightGradientF32_f2_avx512,
	},
	s2: winogradKernels{
		size: 4, window: 9, points: 9, factors: 6,
		input:          inputF32_s2_avx512,
		output:         outputF32_s2_avx512,
		prefetch:       prefetchF32_avx512,
		gradient:       gradientF32_s2_avx512,
		weight:         weightF32_s2_avx512,
		weightGradient: weightGradientF32_s2_avx512,
	},
	s2t: winogradKernels{
		size: 8, window: 5, points: 9, factors: 6,
		input:    inputF32_s2t_avx512,
		output:   outputF32_s2t_avx512,
		prefetch: prefetchF32_avx512,
		weight:   weightF32_s2_avx512,
	},
}
