package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The colour kernels take eight pixels, 24 bytes, at a time, a pixel in each
// dword. They read all of them before they write, so dst may be src.

const eightPixels = 24 // bytes

// loadPixels leaves 12 bytes of pixels in each lane: the lower lane's begin at
// byte 0 of the lane, the upper one's at byte 4.
func loadPixels(src reg.Register) reg.VecVirtual {
	v := YMM()
	VBROADCASTI128(Mem{Base: src}, v)
	VINSERTI128(U8(1), Mem{Base: src, Disp: 8}, v, v)
	return v
}

// pixelWords is the shuffle from loadPixels to two words a pixel: channels lower
// and upper, or zero for a negative one.
func pixelWords(name string, lower, upper int) Mem {
	return places(name, func(lane, i int) int {
		channel := [4]int{lower, -1, upper, -1}[i%4]
		if channel < 0 {
			return -1
		}
		return 4*lane + i/4*3 + channel
	})
}

// channels returns the three channels of eight pixels in dwords.
func channels(pixels reg.VecVirtual) (r, g, b reg.VecVirtual) {
	r, g, b = YMM(), YMM(), YMM()
	VPSHUFB(pixelWords("reds", 0, -1), pixels, r)
	VPSHUFB(pixelWords("greens", 1, -1), pixels, g)
	VPSHUFB(pixelWords("blues", 2, -1), pixels, b)
	return r, g, b
}

// luma returns the grey levels in dwords. The weight of green does not fit a
// signed word: half of it goes with red, half with blue.
func luma(pixels reg.VecVirtual) reg.VecVirtual {
	const red, green, blue = 19595, 38470, 7471
	sum, t := YMM(), YMM()
	VPSHUFB(pixelWords("reds_greens", 0, 1), pixels, sum)
	VPSHUFB(pixelWords("greens_blues", 1, 2), pixels, t)
	VPMADDWD(dwords("luma_red_green", red|green/2<<16), sum, sum)
	VPMADDWD(dwords("luma_green_blue", green/2|blue<<16), t, t)
	VPADDD(t, sum, sum)
	VPADDD(dwords("luma_half", 1<<15), sum, sum)
	VPSRLD(U8(16), sum, sum)
	return sum
}

// storePixels stores the first 12 bytes of either lane.
func storePixels(v reg.VecVirtual, dst reg.Register) {
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
	begin("blendLevel_x32_avx2", "func(dst, src *byte, level, factor float32, n int)",
		"is blendLevelGeneric for n bytes, a positive multiple of 32.")
	dst, src, n := arg("dst"), arg("src"), arg("n")
	level, factor := broadcastFloat("level"), broadcastFloat("factor")
	order := YMM()
	VMOVDQU(interleaveLanes(), order)
	loop(n, 32, 32, []reg.Register{dst, src}, func() {
		v := [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
		for i := range v {
			VPMOVZXBD(Mem{Base: src, Disp: 8 * i}, v[i])
			blend(v[i], level, factor)
		}
		VPACKSSDW(v[1], v[0], v[0])
		VPACKSSDW(v[3], v[2], v[2])
		VPACKUSWB(v[2], v[0], v[0])
		VPERMD(v[0], order, v[0])
		VMOVDQU(v[0], Mem{Base: dst})
	})
	end()
}

// interleaveLanes is the order of dwords that takes them from both lanes in turn:
// what was packed twice within the lanes comes into its place.
func interleaveLanes() Mem {
	return constant("interleave_lanes", func() {
		for i, from := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
			DATA(4*i, U32(from))
		}
	})
}

func saturate() {
	begin("saturate_x8_avx2", "func(dst, src *byte, factor float32, n int)",
		"is saturateGeneric for n pixels, a positive multiple of 8.")
	dst, src, n := arg("dst"), arg("src"), arg("n")
	factor := broadcastFloat("factor")
	loop(n, 8, eightPixels, []reg.Register{dst, src}, func() {
		pixels := loadPixels(src)
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
		storePixels(r, dst)
	})
	end()
}

func grey() {
	begin("grey_x8_avx2", "func(dst, src *byte, n int)",
		"is greyGeneric for n pixels, a positive multiple of 8.")
	dst, src, n := arg("dst"), arg("src"), arg("n")
	loop(n, 8, eightPixels, []reg.Register{dst, src}, func() {
		v := luma(loadPixels(src))
		VPSHUFB(places("thrice", func(_, i int) int {
			if i < 12 {
				return i / 3 * 4
			}
			return -1
		}), v, v)
		storePixels(v, dst)
	})
	end()
}

func sumLuma() {
	begin("sumLuma_x8_avx2", "func(sums *[8]uint32, src *byte, n int)",
		"adds the grey levels of n pixels, a positive multiple of 8, to sums.")
	sums, src, n := arg("sums"), arg("src"), arg("n")
	sum := YMM()
	VMOVDQU(Mem{Base: sums}, sum)
	loop(n, 8, eightPixels, []reg.Register{src}, func() {
		VPADDD(luma(loadPixels(src)), sum, sum)
	})
	VMOVDQU(sum, Mem{Base: sums})
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
