package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The upsampling kernels make 32 output bytes from 16 samples, working on
// words: even outputs lean to the left neighbour, odd ones to the right. They
// leave the first and last pair of outputs, which have no neighbour on one
// side, to the caller.

func upsampleH2() {
	TEXT("upsampleH2_x16_avx2", NOSPLIT, "func(dst, src *byte, n int)")
	Doc("upsampleH2_x16_avx2 writes dst[2i], dst[2i+1] for i in [1, n-1), and up to 32 bytes more.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	one, two := words("word_1", 1), words("word_2", 2)
	widen := func(offset int) reg.VecVirtual {
		v := YMM()
		VPMOVZXBW(Mem{Base: src, Disp: offset}, v)
		return v
	}
	upsampleLoop(dst, n, func() {
		left, here, right := widen(0), widen(1), widen(2)
		here = tripled(here)
		storeDoubled(dst, here, left, right, one, two, 2)
		ADDQ(U8(16), src)
	})
}

func upsampleH2V2() {
	TEXT("upsampleH2V2_x16_avx2", NOSPLIT, "func(dst, near, far *byte, n int)")
	Doc("upsampleH2V2_x16_avx2 writes dst[2i], dst[2i+1] for i in [1, n-1), and up to 32 bytes more.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	near := Load(Param("near"), GP64())
	far := Load(Param("far"), GP64())
	n := Load(Param("n"), GP64())
	eight, seven := words("word_8", 8), words("word_7", 7)
	column := func(offset int) reg.VecVirtual {
		v, w := YMM(), YMM()
		VPMOVZXBW(Mem{Base: near, Disp: offset}, v)
		VPMOVZXBW(Mem{Base: far, Disp: offset}, w)
		v = tripled(v)
		VPADDW(w, v, v)
		return v
	}
	upsampleLoop(dst, n, func() {
		left, here, right := column(0), column(1), column(2)
		here = tripled(here)
		storeDoubled(dst, here, left, right, eight, seven, 4)
		ADDQ(U8(16), near)
		ADDQ(U8(16), far)
	})
}

// upsampleLoop runs body for each 16 samples of those from 1 to n-1.
func upsampleLoop(dst, n reg.Register, body func()) {
	SUBQ(U8(2), n)
	JLE(LabelRef("done"))
	Label("loop")
	body()
	ADDQ(U8(32), dst)
	SUBQ(U8(16), n)
	JG(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

func tripled(v reg.VecVirtual) reg.VecVirtual {
	sum := YMM()
	VPADDW(v, v, sum)
	VPADDW(v, sum, sum)
	return sum
}

// storeDoubled stores (here+left+evenBias)>>shift and (here+right+oddBias)>>shift
// in turn.
func storeDoubled(dst reg.Register, here, left, right reg.VecVirtual, evenBias, oddBias Mem, shift int) {
	VPADDW(evenBias, left, left)
	VPADDW(here, left, left)
	VPSRLW(U8(shift), left, left)
	VPADDW(oddBias, right, right)
	VPADDW(here, right, right)
	VPSRLW(U8(shift), right, right)
	VPSLLW(U8(8), right, right)
	VPOR(right, left, left)
	VMOVDQU(left, Mem{Base: dst, Disp: 2})
}
