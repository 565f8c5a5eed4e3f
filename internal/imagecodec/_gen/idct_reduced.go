package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The constants of jpeg_idct_reduced.go.
const (
	c0_211 = 1730
	c0_509 = 4176
	c0_601 = 4926
	c0_720 = 5906
	c0_850 = 6967
	c1_061 = 8697
	c1_272 = 10426
	c1_451 = 11893
	c2_172 = 17799
	c3_624 = 29692
)

// blockPairs writes a function on blocks side by side, two of them at a time, one
// in each half of the vectors. A last single block is taken twice. transform gets a
// vector of dequantised words for each of the rows asked for, what rows other than
// the first hold in any of their bits, and the place of the samples.
func blockPairs(name, doc string, samples int, rows []int, transform func(in [8]reg.VecVirtual, any reg.VecVirtual, dst, stride reg.Register)) {
	TEXT(name, NOSPLIT, "func(dst *byte, stride int, coefs *int16, quantizer *[64]int16, n int)")
	Doc(doc)
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	stride := Load(Param("stride"), GP64())
	coefs := Load(Param("coefs"), GP64())
	quantizer := Load(Param("quantizer"), GP64())
	n := Load(Param("n"), GP64())

	Label("pair")
	second := GP64() // bytes from the first block to the second
	one := GP64()
	XORQ(second, second)
	MOVQ(U32(128), one)
	CMPQ(n, U8(1))
	CMOVQGT(one, second)
	other := GP64()
	LEAQ(Mem{Base: coefs, Index: second, Scale: 1}, other)

	var in [8]reg.VecVirtual
	any := YMM()
	VPXOR(any, any, any)
	for _, r := range rows {
		v, q := YMM(), YMM()
		VBROADCASTI128(Mem{Base: coefs, Disp: 16 * r}, v)
		VINSERTI128(U8(1), Mem{Base: other, Disp: 16 * r}, v, v)
		if r > 0 {
			VPOR(v, any, any)
		}
		VBROADCASTI128(Mem{Base: quantizer, Disp: 16 * r}, q)
		VPMULLW(q, v, v)
		in[r] = v
	}
	transform(in, any, dst, stride)

	ADDQ(U32(256), coefs)
	ADDQ(U8(2*samples), dst)
	SUBQ(U8(2), n)
	JG(LabelRef("pair"))
	VZEROUPPER()
	RET()
}

// shifted returns the low or high words of v, as interleave takes them, times
// 2^bits in 32 bits, with round added.
func shifted(v reg.VecVirtual, interleave func(...Op), bits int, round Mem) reg.VecVirtual {
	t := YMM()
	VPXOR(t, t, t)
	interleave(v, t, t) // times 2^16
	VPSRAD(U8(16-bits), t, t)
	VPADDD(round, t, t)
	return t
}

func sum(a, b reg.VecVirtual) reg.VecVirtual {
	out := YMM()
	VPADDD(b, a, out)
	return out
}

func difference(a, b reg.VecVirtual) reg.VecVirtual {
	out := YMM()
	VPSUBD(b, a, out)
	return out
}

func descale(shift int, v ...reg.VecVirtual) {
	for _, v := range v {
		VPSRAD(U8(shift), v, v)
	}
}

// pass4 is one pass of the four-point transform, of pairs of words and of the first
// input times 2^(constBits+1) with its rounding.
func pass4(t, p13, p57, p26 reg.VecVirtual, shift int) [4]reg.VecVirtual {
	o0 := sum(madd(p13, c2_562, c0_899), madd(p57, -c0_601, -c0_509))
	o1 := sum(madd(p13, c1_061, -c2_172), madd(p57, c1_451, -c0_211))
	e := madd(p26, c1_847, -c0_765)
	e0, e1 := sum(t, e), difference(t, e)
	out := [4]reg.VecVirtual{sum(e0, o0), sum(e1, o1), difference(e1, o1), difference(e0, o0)}
	descale(shift, out[:]...)
	return out
}

func idct4() {
	blockPairs("idct4_x2_avx2", "idct4_x2_avx2 is idct4Generic; it writes up to four bytes more in each of the four rows.",
		4, []int{0, 1, 2, 3, 5, 6, 7}, func(in [8]reg.VecVirtual, any reg.VecVirtual, dst, stride reg.Register) {
			const shift1, shift2 = constBits - pass1Bits + 1, constBits + pass1Bits + 3 + 1
			wrapFlat(in[0], any)
			Comment("Columns")
			var halves [2][4]reg.VecVirtual
			for half, interleave := range interleaves {
				paired := func(a, b int) reg.VecVirtual {
					p := YMM()
					interleave(in[b], in[a], p)
					return p
				}
				t := shifted(in[0], interleave, constBits+1, dwords("round4_1", 1<<(shift1-1)))
				halves[half] = pass4(t, paired(1, 3), paired(5, 7), paired(2, 6), shift1)
			}
			var y [4]reg.VecVirtual
			for i := range y {
				y[i] = halves[0][i]
				VPACKSSDW(halves[1][i], y[i], y[i])
			}

			Comment("Transpose: columns 0 and 1, 2 and 3, 4 and 5, 6 and 7")
			a, b, c, d := YMM(), YMM(), YMM(), YMM()
			VPUNPCKLWD(y[1], y[0], a)
			VPUNPCKHWD(y[1], y[0], b)
			VPUNPCKLWD(y[3], y[2], c)
			VPUNPCKHWD(y[3], y[2], d)
			c01, c23, c45, c67 := YMM(), YMM(), YMM(), YMM()
			VPUNPCKLDQ(c, a, c01)
			VPUNPCKHDQ(c, a, c23)
			VPUNPCKLDQ(d, b, c45)
			VPUNPCKHDQ(d, b, c67)

			Comment("Rows")
			p13, p57, p26 := YMM(), YMM(), YMM()
			VPUNPCKHWD(c23, c01, p13)
			VPUNPCKHWD(c67, c45, p57)
			VPUNPCKLWD(c67, c23, p26)
			t := shifted(c01, interleaves[0], constBits+1, dwords("round4_2", 1<<(shift2-1)))
			z := pass4(t, p13, p57, p26, shift2)

			Comment("To bytes, and rows again")
			VPACKSSDW(z[2], z[0], z[0])
			VPACKSSDW(z[3], z[1], z[1])
			low, high := YMM(), YMM()
			VPUNPCKLWD(z[1], z[0], low)
			VPUNPCKHWD(z[1], z[0], high)
			r01, r23 := YMM(), YMM()
			VPUNPCKLDQ(high, low, r01)
			VPUNPCKHDQ(high, low, r23)
			VPACKSSWB(r23, r01, r01)
			VPADDB(words("word_center", -128<<8|128), r01, r01)
			order := YMM()
			VMOVDQU(rowsOfTwo(), order)
			VPERMD(r01, order, r01)
			upper, at := XMM(), GP64()
			VEXTRACTI128(U8(1), r01, upper)
			VMOVQ(r01.AsX(), Mem{Base: dst})
			VPEXTRQ(U8(1), r01.AsX(), Mem{Base: dst, Index: stride, Scale: 1})
			LEAQ(Mem{Base: dst, Index: stride, Scale: 2}, at)
			VMOVQ(upper, Mem{Base: at})
			VPEXTRQ(U8(1), upper, Mem{Base: at, Index: stride, Scale: 1})
		})
}

// rowsOfTwo brings four rows of one block and four of another to rows of both.
func rowsOfTwo() Mem {
	return constant("rows_of_two", func() {
		for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*i, U32(v))
		}
	})
}

func idct2() {
	blockPairs("idct2_x2_avx2", "idct2_x2_avx2 is idct2Generic; it writes up to two bytes more in both rows.",
		2, []int{0, 1, 3, 5, 7}, func(in [8]reg.VecVirtual, _ reg.VecVirtual, dst, stride reg.Register) {
			const shift1, shift2 = constBits - pass1Bits + 2, constBits + pass1Bits + 3 + 2
			Comment("Columns")
			var upper, lower [2]reg.VecVirtual
			for half, interleave := range interleaves {
				paired := func(a, b int) reg.VecVirtual {
					p := YMM()
					interleave(in[b], in[a], p)
					return p
				}
				t := shifted(in[0], interleave, constBits+2, dwords("round2_1", 1<<(shift1-1)))
				o := sum(madd(paired(1, 3), c3_624, -c1_272), madd(paired(5, 7), c0_850, -c0_720))
				upper[half], lower[half] = sum(t, o), difference(t, o)
				descale(shift1, upper[half], lower[half])
			}

			Comment("Rows: the first column in 32 bits, the odd ones in 16")
			t := YMM()
			VPUNPCKLDQ(lower[0], upper[0], t)
			VPSLLD(U8(constBits+2), t, t)
			VPADDD(dwords("round2_2", 1<<(shift2-1)), t, t)
			VPACKSSDW(upper[1], upper[0], upper[0])
			VPACKSSDW(lower[1], lower[0], lower[0])
			VPMADDWD(oddColumns(), upper[0], upper[0])
			VPMADDWD(oddColumns(), lower[0], lower[0])
			o := upper[0]
			VPHADDD(lower[0], o, o)
			VPHADDD(o, o, o)
			left, right := sum(t, o), difference(t, o)
			VPUNPCKLDQ(right, left, left)
			descale(shift2, left)
			VPACKSSDW(left, left, left)
			VPACKSSWB(left, left, left)
			VPADDB(words("word_center", -128<<8|128), left, left)
			second := XMM()
			VEXTRACTI128(U8(1), left, second)
			VPUNPCKLWD(second, left.AsX(), second)
			VMOVD(second, Mem{Base: dst})
			VPEXTRD(U8(1), second, Mem{Base: dst, Index: stride, Scale: 1})
		})
}

// oddColumns are the weights of the odd columns in a row of words.
func oddColumns() Mem {
	return constant("odd_columns", func() {
		for i := range 2 {
			for j, w := range []int16{c3_624, -c1_272, c0_850, -c0_720} {
				DATA(16*i+4*j, U32(uint32(uint16(w))<<16))
			}
		}
	})
}
