package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The resampling kernels multiply pairs of words: two inputs by the lower bits
// of their weights, and again by the upper ones.

const (
	weightBits = 22
	splitBits  = 12
)

// weighted turns sums of products with the lower and the upper bits of weights
// into bytes in dwords; low begins at half of the last place.
func weighted(low, high reg.VecVirtual) {
	VPSLLD(U8(splitBits), high, high)
	VPADDD(high, low, low)
	VPSRAD(U8(weightBits), low, low)
}

// addProducts adds the products of pairs of inputs to both sums. pairs is lost.
func addProducts(low, high, pairs reg.VecVirtual, lowWeights, highWeights reg.VecVirtual) {
	t := YMM()
	VPMADDWD(lowWeights, pairs, t)
	VPADDD(t, low, low)
	VPMADDWD(highWeights, pairs, pairs)
	VPADDD(pairs, high, high)
}

// resampleRows makes a pixel of each of four rows at a time: a vector holds two
// rows, one a lane, with the pairs of inputs of red, green, blue and nothing.
func resampleRows() {
	begin("resampleRows_x4_avx2",
		"func(dst *byte, dstStride int, src *byte, srcStride int, first *int32, left int, weights *int16, quads, n int)",
		`makes n > 0 pixels of each of four rows. Pixel i is the sum of the
4*quads source pixels from first[i]-left on, weighted by weights, laid out as taps.pairs. It
reads 16 bytes from every fourth source pixel on.`)
	dst, dstStride := arg("dst"), arg("dstStride")
	src, srcStride := arg("src"), arg("srcStride")
	first, left, weights := arg("first"), arg("left"), arg("weights")
	quads, n := arg("quads"), arg("n")
	dst3, src3 := GP64(), GP64()
	LEAQ(Mem{Base: dstStride, Index: dstStride, Scale: 2}, dst3)
	LEAQ(Mem{Base: srcStride, Index: srcStride, Scale: 2}, src3)

	pairsOf := func(name string, pixel int) reg.VecVirtual {
		m, v := places(name, func(_, i int) int {
			if channel := i / 4; channel < 3 && i%2 == 0 {
				return 3*(pixel+i%4/2) + channel
			}
			return -1
		}), YMM()
		VMOVDQU(m, v)
		return v
	}
	near, far := pairsOf("pixels_0_1", 0), pairsOf("pixels_2_3", 2)
	half := YMM()
	VMOVDQU(dwords("weight_half", 1<<(weightBits-1)), half)

	// pixel leaves the pixels of rows 0 and 2, then those of 1 and 3, in a
	// vector each, as dwords.
	pixel := func(label string) (even, odd reg.VecVirtual) {
		p, left4 := GP64(), GP64()
		MOVLQSX(Mem{Base: first}, p)
		SUBQ(left, p)
		LEAQ(Mem{Base: p, Index: p, Scale: 2}, p)
		ADDQ(src, p)
		MOVQ(quads, left4)
		lowA, highA, lowB, highB := YMM(), YMM(), YMM(), YMM()
		VMOVDQA(half, lowA)
		VMOVDQA(half, lowB)
		VPXOR(highA, highA, highA)
		VPXOR(highB, highB, highB)
		Label(label)
		w := [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
		for i := range w {
			VPBROADCASTD(Mem{Base: weights, Disp: 4 * i}, w[i])
		}
		for _, rows := range []struct {
			low, high reg.VecVirtual
			one, two  Mem
		}{
			{lowA, highA, Mem{Base: p}, Mem{Base: p, Index: srcStride, Scale: 1}},
			{lowB, highB, Mem{Base: p, Index: srcStride, Scale: 2}, Mem{Base: p, Index: src3, Scale: 1}},
		} {
			v, t := YMM(), YMM()
			VBROADCASTI128(rows.one, v)
			VINSERTI128(U8(1), rows.two, v, v)
			VPSHUFB(near, v, t)
			addProducts(rows.low, rows.high, t, w[0], w[1])
			VPSHUFB(far, v, v)
			addProducts(rows.low, rows.high, v, w[2], w[3])
		}
		ADDQ(U8(12), p)
		ADDQ(U8(16), weights)
		DECQ(left4)
		JNZ(LabelRef(label))
		weighted(lowA, highA)
		weighted(lowB, highB)
		VPACKSSDW(lowB, lowA, lowA)
		VPACKUSWB(lowA, lowA, lowA)
		VEXTRACTI128(U8(1), lowA, lowB.AsX())
		return lowA, lowB
	}
	rowAt := []Mem{{Base: dst}, {Base: dst, Index: dstStride, Scale: 1}, {Base: dst, Index: dstStride, Scale: 2}, {Base: dst, Index: dst3, Scale: 1}}

	DECQ(n)
	JZ(LabelRef("last"))
	Label("pixel")
	even, odd := pixel("taps")
	// The fourth byte is overwritten by the next pixel.
	VMOVD(even.AsX(), rowAt[0])
	VMOVD(odd.AsX(), rowAt[1])
	VPEXTRD(U8(1), even.AsX(), rowAt[2])
	VPEXTRD(U8(1), odd.AsX(), rowAt[3])
	ADDQ(U8(4), first)
	ADDQ(U8(3), dst)
	DECQ(n)
	JNZ(LabelRef("pixel"))

	Label("last")
	even, odd = pixel("lastTaps")
	for i, v := range []reg.VecVirtual{even, odd, even, odd} {
		blue := rowAt[i]
		blue.Disp = 2
		VPEXTRW(U8(i/2*2), v.AsX(), rowAt[i])
		VPEXTRB(U8(i/2*4+2), v.AsX(), blue)
	}
	end()
}

// mixRows makes 32 bytes of a row at a time, from two source rows at a time.
func mixRows() {
	begin("mixRows_x32_avx2", "func(dst, src *byte, stride int, weights *int16, count, n int)",
		`makes dst[:n], n a positive multiple of 32, the sum of count > 0 source
rows, stride bytes apart, weighted by weights, laid out as taps.pairs.`)
	dst, src, stride := arg("dst"), arg("src"), arg("stride")
	weights, count, n := arg("weights"), arg("count"), arg("n")
	zero := YMM()
	VPXOR(zero, zero, zero)

	Label("columns")
	p, w, left := GP64(), GP64(), GP64()
	MOVQ(src, p)
	MOVQ(weights, w)
	MOVQ(count, left)
	var low, high [4]reg.VecVirtual
	for i := range low {
		low[i], high[i] = YMM(), YMM()
		VMOVDQU(dwords("weight_half", 1<<(weightBits-1)), low[i])
		VPXOR(high[i], high[i], high[i])
	}
	// add adds the products of row p and of the row of other, which is lost.
	add := func(other reg.VecVirtual) {
		here, lowWeights, highWeights := YMM(), YMM(), YMM()
		VPBROADCASTD(Mem{Base: w}, lowWeights)
		VPBROADCASTD(Mem{Base: w, Disp: 4}, highWeights)
		VMOVDQU(Mem{Base: p}, here)
		bytes := YMM()
		VPUNPCKLBW(other, here, bytes)
		VPUNPCKHBW(other, here, here)
		for i, half := range []reg.VecVirtual{bytes, here} {
			pairs := YMM()
			VPUNPCKLBW(zero, half, pairs)
			addProducts(low[2*i], high[2*i], pairs, lowWeights, highWeights)
			VPUNPCKHBW(zero, half, half)
			addProducts(low[2*i+1], high[2*i+1], half, lowWeights, highWeights)
		}
	}
	SUBQ(U8(2), left)
	JL(LabelRef("single"))
	Label("pair")
	other := YMM()
	VMOVDQU(Mem{Base: p, Index: stride, Scale: 1}, other)
	add(other)
	LEAQ(Mem{Base: p, Index: stride, Scale: 2}, p)
	ADDQ(U8(8), w)
	SUBQ(U8(2), left)
	JGE(LabelRef("pair"))
	Label("single")
	CMPQ(left, I8(-2))
	JE(LabelRef("store"))
	add(zero)
	Label("store")
	for i := range low {
		weighted(low[i], high[i])
	}
	// Unpacking and packing both keep to the lanes, so the order comes back.
	VPACKSSDW(low[1], low[0], low[0])
	VPACKSSDW(low[3], low[2], low[2])
	VPACKUSWB(low[2], low[0], low[0])
	VMOVDQU(low[0], Mem{Base: dst})
	ADDQ(U8(32), dst)
	ADDQ(U8(32), src)
	SUBQ(U8(32), n)
	JG(LabelRef("columns"))
	end()
}
