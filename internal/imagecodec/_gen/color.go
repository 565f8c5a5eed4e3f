package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rgbFromYCbCr converts 16 pixels at a time. The 16-bit factors of
// jpeg_color.go do not fit a signed word; what is left of them after taking
// out whole multiples of the operand does: 1.402 = 1 + 0.402,
// 1.772 = 2 - 0.228, 0.71414 = 1 - 0.28586.
func rgbFromYCbCr() {
	TEXT("rgbFromYCbCr_x16_avx2", NOSPLIT, "func(dst, y, cb, cr *byte, n int)")
	Doc("rgbFromYCbCr_x16_avx2 is rgbFromYCbCrGeneric for n pixels, a positive multiple of 16.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	yp := Load(Param("y"), GP64())
	cbp := Load(Param("cb"), GP64())
	crp := Load(Param("cr"), GP64())
	n := Load(Param("n"), GP64())

	Label("loop")
	y, cb, cr := YMM(), YMM(), YMM()
	center := words("word_128", 128)
	VPMOVZXBW(Mem{Base: yp}, y)
	VPMOVZXBW(Mem{Base: cbp}, cb)
	VPMOVZXBW(Mem{Base: crp}, cr)
	VPSUBW(center, cb, cb)
	VPSUBW(center, cr, cr)

	// The upper word of the product with the doubled operand has one fraction
	// bit left, by which it is rounded.
	fraction := func(double reg.VecVirtual, name string, factor int16) reg.VecVirtual {
		v := YMM()
		VPMULHW(words(name, factor), double, v)
		VPADDW(words("word_1", 1), v, v)
		VPSRAW(U8(1), v, v)
		return v
	}
	cr2, cb2 := YMM(), YMM()
	VPADDW(cr, cr, cr2)
	VPADDW(cb, cb, cb2)
	r := fraction(cr2, "factor_cr_r", 91881-1<<16)
	VPADDW(cr, r, r)
	VPADDW(y, r, r)
	b := fraction(cb2, "factor_cb_b", 116130-2<<16)
	VPADDW(cb2, b, b)
	VPADDW(y, b, b)

	low, high, g := YMM(), YMM(), YMM()
	factors := pairs("factors_g", -22554, 1<<16-46802)
	half := dwords("dword_half", 1<<15)
	VPUNPCKLWD(cr, cb, low)
	VPUNPCKHWD(cr, cb, high)
	for _, v := range []reg.VecVirtual{low, high} {
		VPMADDWD(factors, v, v)
		VPADDD(half, v, v)
		VPSRAD(U8(16), v, v)
	}
	VPACKSSDW(high, low, g)
	VPSUBW(cr, g, g)
	VPADDW(y, g, g)

	// Each 128-bit lane holds 8 pixels: R and G in one vector, B in the other,
	// and gives 24 bytes.
	VPACKUSWB(g, r, r)
	VPACKUSWB(b, b, b)
	first, second, t := YMM(), YMM(), YMM()
	for _, part := range []struct {
		out      reg.VecVirtual
		name     string
		from, to int
	}{{first, "first", 0, 16}, {second, "second", 16, 24}} {
		VPSHUFB(place("red_green_"+part.name, part.from, part.to, 0, 8, -1), r, part.out)
		VPSHUFB(place("blue_"+part.name, part.from, part.to, -1, -1, 0), b, t)
		VPOR(t, part.out, part.out)
	}
	VMOVDQU(first.AsX(), Mem{Base: dst})
	VMOVQ(second.AsX(), Mem{Base: dst, Disp: 16})
	VEXTRACTI128(U8(1), first, Mem{Base: dst, Disp: 24})
	VEXTRACTI128(U8(1), second, second.AsX())
	VMOVQ(second.AsX(), Mem{Base: dst, Disp: 40})

	ADDQ(U8(48), dst)
	ADDQ(U8(16), yp)
	ADDQ(U8(16), cbp)
	ADDQ(U8(16), crp)
	SUBQ(U8(16), n)
	JG(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// place is the shuffle of both lanes for the bytes from to to of eight RGB
// pixels, out of a lane in which each colour's samples start at the given
// byte; those of a negative one stay zero.
func place(name string, from, to int, colors ...int) Mem {
	return constant(name, func() {
		for i := range 32 {
			source := U8(0x80)
			if at := from + i%16; at < to && colors[at%3] >= 0 {
				source = U8(colors[at%3] + at/3)
			}
			DATA(i, source)
		}
	})
}
