package main

import (
	"fmt"

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
	t := vec()
	VPMADDWD(lowWeights, pairs, t)
	VPADDD(t, low, low)
	VPMADDWD(highWeights, pairs, pairs)
	VPADDD(pairs, high, high)
}

// resampleRows makes a pixel of each of four rows at a time: each lane holds the
// pairs of inputs of red, green, blue and nothing of one row.
func resampleRows() {
	const rows = 4
	begin("resampleRows_x4_"+isa.name,
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
		}), vec()
		move(m, v)
		return v
	}
	near, far := pairsOf("pixels_0_1", 0), pairsOf("pixels_2_3", 2)
	half := vec()
	move(dwords("weight_half", 1<<(weightBits-1)), half)
	rowsAt := func(base, stride, stride3 reg.Register) [rows]Mem {
		return [rows]Mem{{Base: base}, {Base: base, Index: stride, Scale: 1}, {Base: base, Index: stride, Scale: 2}, {Base: base, Index: stride3, Scale: 1}}
	}

	// made is where a row's pixel is left: a dword of a vector.
	type made struct {
		v     reg.VecVirtual
		dword int
	}
	var firstOfLanes reg.VecVirtual
	if wide() {
		firstOfLanes = order("first_of_lanes", func(i int) int { return i % 4 * 4 })
	}
	// sums leaves the sums of the next pixel but so many, of as many rows to a vector
	// as there are lanes.
	sums := func(label string, pixel int) []reg.VecVirtual {
		p, left4 := GP64(), GP64()
		MOVLQSX(Mem{Base: first, Disp: 4 * pixel}, p)
		SUBQ(left, p)
		LEAQ(Mem{Base: p, Index: p, Scale: 2}, p)
		ADDQ(src, p)
		MOVQ(quads, left4)
		var low, high []reg.VecVirtual
		for range rows / isa.lanes {
			l := vec()
			move(half, l)
			low, high = append(low, l), append(high, zeroed())
		}
		Label(label)
		var w [4]reg.VecVirtual
		for i := range w {
			w[i] = vec()
			VPBROADCASTD(Mem{Base: weights, Disp: 4 * i}, w[i])
		}
		from := rowsAt(p, srcStride, src3)
		for i := range low {
			v, t := inputs(from[i*isa.lanes:][:isa.lanes]), vec()
			VPSHUFB(near, v, t)
			addProducts(low[i], high[i], t, w[0], w[1])
			VPSHUFB(far, v, v)
			addProducts(low[i], high[i], v, w[2], w[3])
		}
		ADDQ(U8(12), p)
		ADDQ(U8(16), weights)
		DECQ(left4)
		JNZ(LabelRef(label))
		for i := range low {
			weighted(low[i], high[i])
		}
		return low
	}
	pixel := func(label string) (pixels [rows]made) {
		low := sums(label, 0)
		last := low[len(low)-1]
		VPACKSSDW(last, low[0], low[0])
		VPACKUSWB(low[0], low[0], low[0])
		if wide() {
			VPERMD(low[0], firstOfLanes, low[0])
			for i := range pixels {
				pixels[i] = made{low[0], i}
			}
			return pixels
		}
		VEXTRACTI128(U8(1), low[0], last.AsX())
		return [rows]made{{low[0], 0}, {last, 0}, {low[0], 1}, {last, 1}}
	}
	to := rowsAt(dst, dstStride, dst3)

	// As many pixels at a time as a store of each row has room for.
	together, tight := isa.lanes, places("pixels_tight", func(_, i int) int {
		if pixel := i % (4 * isa.lanes); pixel < 3*isa.lanes {
			return i/(4*isa.lanes)*(4*isa.lanes) + pixel/3*4 + pixel%3
		}
		return -1
	})
	Label("together")
	CMPQ(n, U8(together+together/2)) // the next pixels overwrite what is behind these
	JL(LabelRef("fewer"))
	vectors := make([][]reg.VecVirtual, together)
	for i := range vectors {
		vectors[i] = sums(fmt.Sprintf("taps%d", i), i)
	}
	if wide() { // a row to a lane
		VPACKSSDW(vectors[1][0], vectors[0][0], vectors[0][0])
		VPACKSSDW(vectors[3][0], vectors[2][0], vectors[2][0])
		VPACKUSWB(vectors[2][0], vectors[0][0], vectors[0][0])
		VPSHUFB(tight, vectors[0][0], vectors[0][0])
		VMOVDQU32(vectors[0][0].AsX(), to[0])
		for i := 1; i < rows; i++ {
			VEXTRACTI32X4(U8(i), vectors[0][0], to[i])
		}
	} else { // two rows, the second the next but one
		even, odd := vectors[0][0], vectors[0][1]
		VPACKSSDW(vectors[1][0], even, even)
		VPACKSSDW(vectors[1][1], odd, odd)
		VPACKUSWB(odd, even, even)
		VPSHUFB(tight, even, even)
		VEXTRACTI128(U8(1), even, odd.AsX())
		VMOVQ(even.AsX(), to[0])
		VMOVHPS(even.AsX(), to[2])
		VMOVQ(odd.AsX(), to[1])
		VMOVHPS(odd.AsX(), to[3])
	}
	ADDQ(U8(4*together), first)
	ADDQ(U8(3*together), dst)
	SUBQ(U8(together), n)
	JMP(LabelRef("together"))
	Label("fewer")

	DECQ(n)
	JZ(LabelRef("last"))
	Label("pixel")
	// The fourth byte is overwritten by the next pixel.
	for i, m := range pixel("taps") {
		if m.dword == 0 {
			VMOVD(m.v.AsX(), to[i])
		} else {
			VPEXTRD(U8(m.dword), m.v.AsX(), to[i])
		}
	}
	ADDQ(U8(4), first)
	ADDQ(U8(3), dst)
	DECQ(n)
	JNZ(LabelRef("pixel"))

	Label("last")
	for i, m := range pixel("lastTaps") {
		blue := to[i]
		blue.Disp = 2
		VPEXTRW(U8(2*m.dword), m.v.AsX(), to[i])
		VPEXTRB(U8(4*m.dword+2), m.v.AsX(), blue)
	}
	end()
}

// inputs loads 16 bytes of each row, a lane for each.
func inputs(from []Mem) reg.VecVirtual {
	v := vec()
	if !wide() {
		VBROADCASTI128(from[0], v)
		VINSERTI128(U8(1), from[1], v, v)
		return v
	}
	VMOVDQU32(from[0], v.AsX())
	for i, m := range from[1:] {
		VINSERTI32X4(U8(1+i), m, v, v)
	}
	return v
}

// mixRows makes a vector of a row at a time, from two source rows at a time.
func mixRows() {
	begin(fmt.Sprintf("mixRows_x%d_%s", width(), isa.name), "func(dst, src *byte, stride int, weights *int16, count, n int)",
		fmt.Sprintf(`makes dst[:n], n a positive multiple of %d, the sum of count > 0 source
rows, stride bytes apart, weighted by weights, laid out as taps.pairs.`, width()))
	dst, src, stride := arg("dst"), arg("src"), arg("stride")
	weights, count, n := arg("weights"), arg("count"), arg("n")
	zero := zeroed()

	Label("columns")
	p, w, left := GP64(), GP64(), GP64()
	MOVQ(src, p)
	MOVQ(weights, w)
	MOVQ(count, left)
	var low, high [4]reg.VecVirtual
	for i := range low {
		low[i], high[i] = vec(), zeroed()
		move(dwords("weight_half", 1<<(weightBits-1)), low[i])
	}
	// add adds the products of row p and of the row of other, which is lost.
	add := func(other reg.VecVirtual) {
		here, lowWeights, highWeights := vec(), vec(), vec()
		VPBROADCASTD(Mem{Base: w}, lowWeights)
		VPBROADCASTD(Mem{Base: w, Disp: 4}, highWeights)
		move(Mem{Base: p}, here)
		bytes := vec()
		VPUNPCKLBW(other, here, bytes)
		VPUNPCKHBW(other, here, here)
		for i, half := range []reg.VecVirtual{bytes, here} {
			pairs := vec()
			VPUNPCKLBW(zero, half, pairs)
			addProducts(low[2*i], high[2*i], pairs, lowWeights, highWeights)
			VPUNPCKHBW(zero, half, half)
			addProducts(low[2*i+1], high[2*i+1], half, lowWeights, highWeights)
		}
	}
	SUBQ(U8(2), left)
	JL(LabelRef("single"))
	Label("pair")
	other := vec()
	move(Mem{Base: p, Index: stride, Scale: 1}, other)
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
	move(low[0], Mem{Base: dst})
	ADDQ(U8(width()), dst)
	ADDQ(U8(width()), src)
	SUBQ(U8(width()), n)
	JG(LabelRef("columns"))
	end()
}
