package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The colour kernels take as many pixels at a time as a vector has dwords, one in
// each. They read all of them before they write, so dst may be src.

// pixelMoves is what loads and stores of pixels need, ready before the loop.
type pixelMoves struct {
	apart, join reg.VecVirtual // with AVX-512 orders of dwords: to three a lane, and back
}

func newPixelMoves() (m pixelMoves) {
	if !wide() {
		return m
	}
	m.apart = order("three_a_lane", func(i int) int { return i/4*3 + min(i%4, 2) })
	m.join = order("joined", func(i int) int { return min(i/3*4+i%3, 15) })
	return m
}

// order is a vector of 16 places of dwords.
func order(name string, from func(i int) int) reg.VecVirtual {
	v := vec()
	move(constant(name, func() {
		for i := range 16 {
			DATA(4*i, U32(uint32(from(i))))
		}
	}), v)
	return v
}

// load leaves 12 bytes of pixels in each lane. With AVX2 the upper lane's begin at
// its byte 4. Where dst is src a store under a mask would hold up the next load,
// so both go in parts.
func (m pixelMoves) load(src reg.Register) reg.VecVirtual {
	v := vec()
	if wide() {
		VMOVDQU(Mem{Base: src}, v.AsY())
		VINSERTI32X4(U8(2), Mem{Base: src, Disp: 32}, v, v)
		VPERMD(v, m.apart, v)
		return v
	}
	VBROADCASTI128(Mem{Base: src}, v)
	VINSERTI128(U8(1), Mem{Base: src, Disp: 8}, v, v)
	return v
}

// pixelWords is the shuffle from load to two words a pixel: channels lower
// and upper, or zero for a negative one.
func pixelWords(name string, lower, upper int) Mem {
	return places(name, func(lane, i int) int {
		channel := [4]int{lower, -1, upper, -1}[i%4]
		if channel < 0 {
			return -1
		}
		return padding(lane) + i/4*3 + channel
	})
}

// padding is the number of bytes of a lane before its pixels.
func padding(lane int) int {
	if wide() {
		return 0
	}
	return 4 * lane
}

// channels returns the three channels of eight pixels in dwords.
func channels(pixels reg.VecVirtual) (r, g, b reg.VecVirtual) {
	r, g, b = vec(), vec(), vec()
	VPSHUFB(pixelWords("reds", 0, -1), pixels, r)
	VPSHUFB(pixelWords("greens", 1, -1), pixels, g)
	VPSHUFB(pixelWords("blues", 2, -1), pixels, b)
	return r, g, b
}

// luma returns the grey levels in dwords. The weight of green does not fit a
// signed word: half of it goes with red, half with blue.
func luma(pixels reg.VecVirtual) reg.VecVirtual {
	const red, green, blue = 19595, 38470, 7471
	sum, t := vec(), vec()
	VPSHUFB(pixelWords("reds_greens", 0, 1), pixels, sum)
	VPSHUFB(pixelWords("greens_blues", 1, 2), pixels, t)
	VPMADDWD(dwords("luma_red_green", red|green/2<<16), sum, sum)
	VPMADDWD(dwords("luma_green_blue", green/2|blue<<16), t, t)
	VPADDD(t, sum, sum)
	VPADDD(dwords("luma_half", 1<<15), sum, sum)
	VPSRLD(U8(16), sum, sum)
	return sum
}

// store stores the first 12 bytes of each lane.
func (m pixelMoves) store(v reg.VecVirtual, dst reg.Register) {
	if wide() {
		VPERMD(v, m.join, v)
		VMOVDQU(v.AsY(), Mem{Base: dst})
		VEXTRACTI32X4(U8(2), v, Mem{Base: dst, Disp: 32})
		return
	}
	upper := YMM()
	VEXTRACTI128(U8(1), v, upper.AsX())
	VMOVDQU(v.AsX(), Mem{Base: dst})
	VMOVQ(upper.AsX(), Mem{Base: dst, Disp: 12})
	VPEXTRD(U8(2), upper.AsX(), Mem{Base: dst, Disp: 20})
}

func floats(name string, v float32) Mem { return dwords(name, int32(math.Float32bits(v))) }

// blend is level + factor*(v-level), in float32 and truncated; v are dwords.
func blend(v, level, factor reg.VecVirtual) {
	VCVTDQ2PS(v, v)
	VSUBPS(level, v, v)
	VMULPS(factor, v, v)
	VADDPS(level, v, v)
	VCVTTPS2DQ(v, v)
}

func blendLevel() {
	begin(fmt.Sprintf("blendLevel_x%d_%s", width(), isa.name), "func(dst, src *byte, level, factor float32, n int)",
		fmt.Sprintf("is blendLevelGeneric for n bytes, a positive multiple of %d.", width()))
	dst, src, n := arg("dst"), arg("src"), arg("n")
	level, factor := broadcastFloat("level"), broadcastFloat("factor")
	order := vec()
	move(interleaveLanes(), order)
	loop(n, width(), width(), []reg.Register{dst, src}, func() {
		v := [4]reg.VecVirtual{vec(), vec(), vec(), vec()}
		for i := range v {
			VPMOVZXBD(Mem{Base: src, Disp: width() / 4 * i}, v[i])
			blend(v[i], level, factor)
		}
		VPACKSSDW(v[1], v[0], v[0])
		VPACKSSDW(v[3], v[2], v[2])
		VPACKUSWB(v[2], v[0], v[0])
		VPERMD(v[0], order, v[0])
		move(v[0], Mem{Base: dst})
	})
	end()
}

// interleaveLanes is the order of dwords that takes them from all lanes in turn:
// what was packed twice within the lanes comes into its place.
func interleaveLanes() Mem {
	return constant("interleave_lanes", func() {
		for i := range 4 * isa.lanes {
			DATA(4*i, U32(uint32(i%isa.lanes*4+i/isa.lanes)))
		}
	})
}

func saturate() {
	begin(fmt.Sprintf("saturate_x%d_%s", pixelsAtOnce(), isa.name), "func(dst, src *byte, factor float32, n int)",
		fmt.Sprintf("is saturateGeneric for n pixels, a positive multiple of %d.", pixelsAtOnce()))
	dst, src, n := arg("dst"), arg("src"), arg("n")
	factor := broadcastFloat("factor")
	io := newPixelMoves()
	loop(n, pixelsAtOnce(), 3*pixelsAtOnce(), []reg.Register{dst, src}, func() {
		pixels := io.load(src)
		grey := luma(pixels)
		VCVTDQ2PS(grey, grey)
		r, g, b := channels(pixels)
		for _, v := range []reg.VecVirtual{r, g, b} {
			blend(v, grey, factor)
		}
		VPACKSSDW(g, r, r)
		VPACKSSDW(b, b, b)
		VPACKUSWB(b, r, r)
		VPSHUFB(places("planes_to_pixels", func(_, i int) int {
			if i < 12 {
				return i%3*4 + i/3
			}
			return -1
		}), r, r)
		io.store(r, dst)
	})
	end()
}

func grey() {
	begin(fmt.Sprintf("grey_x%d_%s", pixelsAtOnce(), isa.name), "func(dst, src *byte, n int)",
		fmt.Sprintf("is greyGeneric for n pixels, a positive multiple of %d.", pixelsAtOnce()))
	dst, src, n := arg("dst"), arg("src"), arg("n")
	io := newPixelMoves()
	loop(n, pixelsAtOnce(), 3*pixelsAtOnce(), []reg.Register{dst, src}, func() {
		v := luma(io.load(src))
		VPSHUFB(places("thrice", func(_, i int) int {
			if i < 12 {
				return i / 3 * 4
			}
			return -1
		}), v, v)
		io.store(v, dst)
	})
	end()
}

func sumLuma() {
	begin(fmt.Sprintf("sumLuma_x%d_%s", pixelsAtOnce(), isa.name), fmt.Sprintf("func(sums *[%d]uint32, src *byte, n int)", pixelsAtOnce()),
		fmt.Sprintf("adds the grey levels of n pixels, a positive multiple of %d, to sums.", pixelsAtOnce()))
	sums, src, n := arg("sums"), arg("src"), arg("n")
	sum := vec()
	move(Mem{Base: sums}, sum)
	io := newPixelMoves()
	loop(n, pixelsAtOnce(), 3*pixelsAtOnce(), []reg.Register{src}, func() {
		VPADDD(luma(io.load(src)), sum, sum)
	})
	move(sum, Mem{Base: sums})
	end()
}

func invertFrom() {
	begin("invertFrom_x32_avx2", "func(dst, src *byte, threshold byte, n int)",
		"is invertFromGeneric for n bytes, a positive multiple of 32.")
	dst, src, n := arg("dst"), arg("src"), arg("n")
	threshold := YMM()
	p, err := Param("threshold").Resolve()
	if err != nil {
		panic(err)
	}
	VPBROADCASTB(p.Addr, threshold)
	loop(n, 32, 32, []reg.Register{dst, src}, func() {
		v, reached := YMM(), YMM()
		VMOVDQU(Mem{Base: src}, v)
		VPMAXUB(threshold, v, reached)
		VPCMPEQB(v, reached, reached)
		VPXOR(reached, v, v)
		VMOVDQU(v, Mem{Base: dst})
	})
	end()
}

// mirror swaps five pixels of either end. The sixteenth byte of the vectors
// keeps its value, which belongs to the next pixels.
func mirror() {
	const five = 15 // bytes
	begin("mirror_x10_avx2", "func(dst, src *byte, n int)",
		`writes the first and last 5*k of n > 10 pixels in reverse, k the number of
times that 10 may be taken from n until no more than 10 remain. dst may be src.`)
	dst, src, n := arg("dst"), arg("src"), arg("n")
	last := GP64() // of the vector at the right end, from the one at the left
	LEAQ(Mem{Base: n, Index: n, Scale: 2, Disp: -16}, last)
	Label("loop")
	left, right, newLeft, newRight := YMM(), YMM(), YMM(), YMM()
	VBROADCASTI128(Mem{Base: src}, left)
	VBROADCASTI128(Mem{Base: src, Index: last, Scale: 1}, right)
	VPSHUFB(places("to_left", func(_, i int) int {
		if i < five {
			return 1 + 3*(4-i/3) + i%3
		}
		return -1
	}), right, newLeft)
	VPSHUFB(places("to_right", func(_, i int) int {
		if i > 0 {
			return 3*(4-(i-1)/3) + (i-1)%3
		}
		return -1
	}), left, newRight)
	only := func(name string, keep int) Mem {
		return places(name, func(_, i int) int {
			if i == keep {
				return i
			}
			return -1
		})
	}
	VPSHUFB(only("only_last", five), left, left)
	VPSHUFB(only("only_first", 0), right, right)
	VPOR(left, newLeft, newLeft)
	VPOR(right, newRight, newRight)
	VMOVDQU(newLeft.AsX(), Mem{Base: dst})
	VMOVDQU(newRight.AsX(), Mem{Base: dst, Index: last, Scale: 1})
	ADDQ(U8(five), src)
	ADDQ(U8(five), dst)
	SUBQ(U8(2*five), last)
	SUBQ(U8(10), n)
	CMPQ(n, U8(10))
	JG(LabelRef("loop"))
	end()
}
