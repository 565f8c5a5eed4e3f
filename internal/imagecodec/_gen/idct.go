package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The constants of jpeg_idct.go.
const (
	c0_298 = 2446
	c0_390 = 3196
	c0_541 = 4433
	c0_765 = 6270
	c0_899 = 7373
	c1_175 = 9633
	c1_501 = 12299
	c1_847 = 15137
	c1_961 = 16069
	c2_053 = 16819
	c2_562 = 20995
	c3_072 = 25172

	constBits = 13
	pass1Bits = 2
)

const lane = 32 // bytes of a vector

// idct transforms two blocks at once, one in each half of the vectors: a
// vector holds a row of both. A last single block is taken twice, so that the
// eight samples to its right are overwritten too.
func idct() {
	TEXT("idct_x2_avx2", NOSPLIT, "func(dst *byte, stride int, coefs *int16, quantizer *[64]int16, n int)")
	Doc("idct_x2_avx2 is idctGeneric; it writes up to eight bytes more in each of the eight rows.")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	stride := Load(Param("stride"), GP64())
	coefs := Load(Param("coefs"), GP64())
	quantizer := Load(Param("quantizer"), GP64())
	n := Load(Param("n"), GP64())
	odd := AllocLocal(8 * lane)

	Label("pair")
	second := GP64() // bytes from the first block to the second
	one := GP64()
	XORQ(second, second)
	MOVQ(U32(128), one)
	CMPQ(n, U8(1))
	CMOVQGT(one, second)
	other := GP64()
	LEAQ(Mem{Base: coefs, Index: second, Scale: 1}, other)

	row := func(r int) reg.VecVirtual {
		v := YMM()
		// A broadcast, not a load of half a vector: avo would take the other
		// half to be alive from the start.
		VBROADCASTI128(Mem{Base: coefs, Disp: 16 * r}, v)
		VINSERTI128(U8(1), Mem{Base: other, Disp: 16 * r}, v, v)
		return v
	}
	dequantize := func(r int, v reg.VecVirtual) reg.VecVirtual {
		q := YMM()
		VBROADCASTI128(Mem{Base: quantizer, Disp: 16 * r}, q)
		VPMULLW(q, v, v)
		return v
	}

	Comment("Columns")
	var in [8]reg.VecVirtual
	any := YMM()
	VPXOR(any, any, any)
	for _, r := range []int{1, 3, 5, 7} {
		in[r] = row(r)
		VPOR(in[r], any, any)
		dequantize(r, in[r])
	}
	oddPart(odd, in[1], in[3], in[5], in[7])
	for _, r := range []int{2, 4, 6} {
		in[r] = row(r)
		VPOR(in[r], any, any)
		dequantize(r, in[r])
	}
	in[0] = dequantize(0, row(0))
	wrapFlat(in[0], any)
	out := evenPart(odd, in[0], in[2], in[4], in[6], constBits-pass1Bits)

	Comment("Rows")
	in = transpose(out)
	oddPart(odd, in[1], in[3], in[5], in[7])
	out = evenPart(odd, in[0], in[2], in[4], in[6], constBits+pass1Bits+3)

	Comment("To bytes, and rows again")
	rows := toBytes(out)
	at := GP64()
	MOVQ(dst, at)
	for i, v := range rows { // rows 2i and 2i+1
		VPERMQ(U8(0xD8), v, v) // each row of the two blocks side by side
		VMOVDQU(v.AsX(), Mem{Base: at})
		VEXTRACTI128(U8(1), v, Mem{Base: at, Index: stride, Scale: 1})
		if i < 3 {
			LEAQ(Mem{Base: at, Index: stride, Scale: 2}, at)
		}
	}

	ADDQ(U32(256), coefs)
	ADDQ(U8(16), dst)
	SUBQ(U8(2), n)
	JG(LabelRef("pair"))
	VZEROUPPER()
	RET()
}

// wrapFlat makes the first row of a block whose other rows are zero come out
// of the column pass as libjpeg's shortcut for it gives: wrapped to 16 bits,
// not saturated.
func wrapFlat(first, any reg.VecVirtual) {
	zero, flat, swapped, wrapped := YMM(), YMM(), YMM(), YMM()
	VPXOR(zero, zero, zero)
	VPCMPEQQ(any, zero, flat)
	VPSHUFD(U8(0x4E), flat, swapped)
	VPAND(swapped, flat, flat)
	VPSLLW(U8(pass1Bits), first, wrapped)
	VPSRAW(U8(pass1Bits), wrapped, wrapped)
	VPBLENDVB(flat, wrapped, first, first)
}

// madd multiplies interleaved words by a pair of constants and adds.
func madd(v reg.VecVirtual, even, odd int) reg.VecVirtual {
	out := YMM()
	VPMADDWD(pairs(fmt.Sprintf("pair_%d_%d", uint16(even), uint16(odd)), int16(even), int16(odd)), v, out)
	return out
}

// oddPart leaves the odd part of the eight-point transform in memory, for the
// four lower columns of each block at 0 to 3 and for the upper ones at 4 to 7.
func oddPart(mem Mem, in1, in3, in5, in7 reg.VecVirtual) {
	z3, z4 := YMM(), YMM()
	VPADDW(in3, in7, z3)
	VPADDW(in1, in5, z4)
	for half, interleave := range interleaves {
		z := YMM()
		interleave(z4, z3, z)
		a := madd(z, c1_175-c1_961, c1_175)
		b := madd(z, c1_175, c1_175-c0_390)
		store := func(i int, v, sum reg.VecVirtual) {
			VPADDD(sum, v, v)
			VMOVDQU(v, mem.Offset((4*half+i)*lane))
		}
		p := YMM()
		interleave(in1, in7, p)
		store(0, madd(p, c0_298-c0_899, -c0_899), a)
		store(3, madd(p, -c0_899, c1_501-c0_899), b)
		q := YMM()
		interleave(in3, in5, q)
		store(1, madd(q, c2_053-c2_562, -c2_562), b)
		store(2, madd(q, -c2_562, c3_072-c2_562), a)
	}
}

var interleaves = [2]func(...Op){
	func(ops ...Op) { VPUNPCKLWD(ops[0], ops[1], ops[2]) },
	func(ops ...Op) { VPUNPCKHWD(ops[0], ops[1], ops[2]) },
}

// evenPart adds the even part, rounds, shifts and packs to words.
func evenPart(mem Mem, in0, in2, in4, in6 reg.VecVirtual, shift int) (out [8]reg.VecVirtual) {
	sum, difference := YMM(), YMM()
	VPADDW(in4, in0, sum)
	VPSUBW(in4, in0, difference)
	var even [2][4]reg.VecVirtual
	for half, interleave := range interleaves {
		p := YMM()
		interleave(in6, in2, p)
		t3 := madd(p, c0_541+c0_765, c0_541)
		t2 := madd(p, c0_541, c0_541-c1_847)
		round := dwords(fmt.Sprintf("round_%d", shift), 1<<(shift-1))
		scaled := func(v reg.VecVirtual) reg.VecVirtual {
			t := YMM()
			VPXOR(t, t, t)
			interleave(v, t, t) // times 2^16
			VPSRAD(U8(16-constBits), t, t)
			VPADDD(round, t, t)
			return t
		}
		t0, t1 := scaled(sum), scaled(difference)
		e0, e1 := YMM(), YMM()
		VPADDD(t3, t0, e0)
		VPSUBD(t3, t0, t0)
		VPADDD(t2, t1, e1)
		VPSUBD(t2, t1, t1)
		even[half] = [4]reg.VecVirtual{e0, e1, t1, t0}
	}
	for i := range 4 {
		o := 3 - i // the odd term of outputs i and 7-i
		lowSum, highSum := YMM(), YMM()
		low, high := even[0][i], even[1][i]
		VPADDD(mem.Offset(o*lane), low, lowSum)
		VPADDD(mem.Offset((4+o)*lane), high, highSum)
		VPSUBD(mem.Offset(o*lane), low, low)
		VPSUBD(mem.Offset((4+o)*lane), high, high)
		for _, v := range []reg.VecVirtual{lowSum, highSum, low, high} {
			VPSRAD(U8(shift), v, v)
		}
		VPACKSSDW(highSum, lowSum, lowSum)
		VPACKSSDW(high, low, low)
		out[i], out[7-i] = lowSum, low
	}
	return out
}

// transpose turns rows of words into columns, in both blocks.
func transpose(in [8]reg.VecVirtual) (out [8]reg.VecVirtual) {
	a := in
	interleave(&a, [4][2]int{{0, 4}, {1, 5}, {2, 6}, {3, 7}}, VPUNPCKLWD, VPUNPCKHWD)
	interleave(&a, [4][2]int{{0, 2}, {1, 3}, {4, 6}, {5, 7}}, VPUNPCKLWD, VPUNPCKHWD)
	interleave(&a, [4][2]int{{0, 1}, {2, 3}, {4, 5}, {6, 7}}, VPUNPCKLWD, VPUNPCKHWD)
	return a
}

// interleave replaces pairs of vectors by the lower and the upper half of
// their interleaving.
func interleave(v *[8]reg.VecVirtual, which [4][2]int, low, high func(...Op)) {
	for _, p := range which {
		a, b := v[p[0]], v[p[1]]
		upper := YMM()
		high(b, a, upper)
		low(b, a, a)
		v[p[0]], v[p[1]] = a, upper
	}
}

// toBytes turns columns of words into rows of samples; a vector holds rows 2i
// and 2i+1 of the first block, then of the second.
func toBytes(in [8]reg.VecVirtual) [4]reg.VecVirtual {
	for _, p := range [4][2]int{{0, 2}, {1, 3}, {4, 6}, {5, 7}} {
		VPACKSSWB(in[p[1]], in[p[0]], in[p[0]])
	}
	a, c := in[0], in[4]
	b, d := YMM(), YMM()
	VPUNPCKHBW(in[1], a, b)
	VPUNPCKLBW(in[1], a, a)
	VPUNPCKHBW(in[5], c, d)
	VPUNPCKLBW(in[5], c, c)
	f, h := YMM(), YMM()
	VPUNPCKHWD(b, a, f)
	VPUNPCKLWD(b, a, a)
	VPUNPCKHWD(d, c, h)
	VPUNPCKLWD(d, c, c)
	rows23, rows67 := YMM(), YMM()
	VPUNPCKHDQ(c, a, rows23)
	VPUNPCKLDQ(c, a, a)
	VPUNPCKHDQ(h, f, rows67)
	VPUNPCKLDQ(h, f, f)
	rows := [4]reg.VecVirtual{a, rows23, f, rows67}
	center := words("word_center", -128<<8|128)
	for _, v := range rows {
		VPADDB(center, v, v)
	}
	return rows
}
