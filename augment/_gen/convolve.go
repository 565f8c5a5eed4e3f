package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The convolutions keep 32 sums in registers over all weights. A product is
// rounded before it is added, as in Go.

// convolve makes 32 sums at a time. middle leaves the middle values, outer the
// sums of the two of the next weight, in the vectors given.
func convolve(half, weights, n reg.Register, start func(), middle, outer func(v [4]reg.VecVirtual), store func(v [4]reg.VecVirtual)) {
	vectors := func() [4]reg.VecVirtual { return [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()} }
	Label("block")
	start()
	w, left, weight := GP64(), GP64(), YMM()
	MOVQ(half, w)
	MOVQ(weights, left)
	sums := vectors()
	middle(sums)
	VBROADCASTSS(Mem{Base: w}, weight)
	for _, v := range sums {
		VMULPS(weight, v, v)
	}
	DECQ(left)
	JZ(LabelRef("store"))
	Label("weight")
	ADDQ(U8(4), w)
	VBROADCASTSS(Mem{Base: w}, weight)
	values := vectors()
	outer(values)
	for i, v := range values {
		VMULPS(weight, v, v)
		VADDPS(v, sums[i], sums[i])
	}
	DECQ(left)
	JNZ(LabelRef("weight"))
	Label("store")
	store(sums)
	SUBQ(U8(32), n)
	JG(LabelRef("block"))
	end()
}

func convolveRow() {
	begin("convolveRow_x32_avx2", "func(dst *float32, middle *byte, half *float32, weights, n int)",
		`is convolveRowGeneric for n bytes, a positive multiple of 32, the line from
its first byte that is no margin on.`)
	dst, from := arg("dst"), arg("middle")
	half, weights, n := arg("half"), arg("weights"), arg("n")
	before, after := GP64(), GP64()
	convolve(half, weights, n,
		func() {
			MOVQ(from, before)
			MOVQ(from, after)
		},
		func(v [4]reg.VecVirtual) {
			for i := range v {
				VPMOVZXBD(Mem{Base: from, Disp: 8 * i}, v[i])
				VCVTDQ2PS(v[i], v[i])
			}
		},
		func(v [4]reg.VecVirtual) {
			SUBQ(U8(3), before)
			ADDQ(U8(3), after)
			for i := range v {
				t := YMM()
				VPMOVZXBD(Mem{Base: before, Disp: 8 * i}, v[i])
				VPMOVZXBD(Mem{Base: after, Disp: 8 * i}, t)
				VPADDD(t, v[i], v[i])
				VCVTDQ2PS(v[i], v[i])
			}
		},
		func(v [4]reg.VecVirtual) {
			for i := range v {
				VMOVUPS(v[i], Mem{Base: dst, Disp: 32 * i})
			}
			ADDQ(U8(128), dst)
			ADDQ(U8(32), from)
		})
}

func convolveColumns() {
	begin("convolveColumns_x32_avx2", "func(dst *byte, rows *float32, at *int, half *float32, weights, n int)",
		"is convolveColumnsGeneric for n bytes, a positive multiple of 32.")
	dst, rows, at := arg("dst"), arg("rows"), arg("at")
	half, weights, n := arg("half"), arg("weights"), arg("n")
	order := YMM()
	VMOVDQU(interleaveLanes(), order)
	place, row, other := GP64(), GP64(), GP64()
	convolve(half, weights, n,
		func() { MOVQ(at, place) },
		func(v [4]reg.VecVirtual) {
			MOVQ(Mem{Base: place}, row)
			for i := range v {
				VMOVUPS(Mem{Base: rows, Index: row, Scale: 4, Disp: 32 * i}, v[i])
			}
		},
		func(v [4]reg.VecVirtual) {
			MOVQ(Mem{Base: place, Disp: 8}, row)
			MOVQ(Mem{Base: place, Disp: 16}, other)
			ADDQ(U8(16), place)
			for i := range v {
				VMOVUPS(Mem{Base: rows, Index: row, Scale: 4, Disp: 32 * i}, v[i])
				VADDPS(Mem{Base: rows, Index: other, Scale: 4, Disp: 32 * i}, v[i], v[i])
			}
		},
		func(v [4]reg.VecVirtual) {
			for i := range v {
				VCVTPS2DQ(v[i], v[i]) // halves to even
			}
			VPACKSSDW(v[1], v[0], v[0])
			VPACKSSDW(v[3], v[2], v[2])
			VPACKUSWB(v[2], v[0], v[0])
			VPERMD(v[0], order, v[0])
			VMOVDQU(v[0], Mem{Base: dst})
			ADDQ(U8(32), dst)
			ADDQ(U8(128), rows)
		})
}
