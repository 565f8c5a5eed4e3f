package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// turnHue computes in float32 what Pillow computes in part in float64. The
// formulas are not Pillow's, but give the same bytes for every colour on the way
// to HSV and for every h, s, v on the way back: TestColourKernelsForEveryColour
// compares them all. The divisions may not be replaced by products: where the hue
// is a whole number in exact arithmetic, its byte hangs on how the quotients are
// rounded.
func turnHue() {
	begin(fmt.Sprintf("turnHue_x%d_%s", pixelsAtOnce(), isa.name), "func(dst, src *byte, shift uint32, n int)",
		fmt.Sprintf("is turnHueGeneric for n pixels, a positive multiple of %d.", pixelsAtOnce()))
	dst, src, n := arg("dst"), arg("src"), arg("n")
	shift := broadcast("shift")
	io := newPixelMoves()
	loop(n, pixelsAtOnce(), 3*pixelsAtOnce(), []reg.Register{dst, src}, func() {
		r, g, b := channels(io.load(src))
		h, s, v := hsv(r, g, b)
		VPADDD(shift, h, h)
		and(dwords("byte_mask", 255), h, h)
		io.store(rgb(h, s, v), dst)
	})
	end()
}

// hsv returns the hue in dwords, which may be 255 steps too large, the
// saturation as a float, and the value in dwords.
func hsv(r, g, b reg.VecVirtual) (hue, saturation, high reg.VecVirtual) {
	one := floats("float_1", 1)
	low, rest := vec(), vec()
	high = vec()
	VPMAXSD(r, g, high)
	VPMAXSD(b, high, high)
	VPMINSD(r, g, low)
	VPMINSD(b, low, low)
	VPADDD(r, g, rest) // the channel between, then how far it is below the greatest
	VPADDD(b, rest, rest)
	VPSUBD(high, rest, rest)
	VPSUBD(low, rest, rest)
	VPSUBD(rest, high, rest)

	// last is the channel before the greatest one on the circle, centre the
	// place of the greatest in sixths of the circle: red 0, green 2, blue 4.
	last, centre := vec(), vec()
	isRed, isGreen := equal(r, high), equal(g, high)
	isGreen.choose(r, g, last)
	isRed.choose(b, last, last)
	move(floats("float_4", 4), centre)
	isGreen.choose(floats("float_2", 2), centre, centre)
	isRed.clear(centre)

	// Where last is the least, the hue lies behind the centre by a sixth less
	// the share, elsewhere before it: a sign bit turns both terms.
	behind, sixth := equal(last, low).signs(), vec()
	xor(floats("float_minus_1", -1), behind, sixth)
	VADDPS(sixth, centre, centre)

	chroma, divisor, sector := vec(), vec(), vec()
	VPSUBD(low, high, chroma)
	VCVTDQ2PS(chroma, chroma)
	VMAXPS(one, chroma, divisor)
	VCVTDQ2PS(rest, rest)
	VDIVPS(divisor, rest, sector)
	xor(behind, sector, sector)
	VADDPS(centre, sector, sector)

	turn, wrap := vec(), vec()
	VDIVPS(floats("float_6", 6), sector, turn)
	VPSRAD(U8(31), sector, wrap)
	and(one, wrap, wrap)
	VADDPS(wrap, turn, turn)
	VMULPS(floats("float_255", 255), turn, turn)
	hue = vec()
	VCVTTPS2DQ(turn, hue)

	saturation = vec()
	VCVTDQ2PS(high, divisor)
	VMAXPS(one, divisor, divisor)
	VDIVPS(divisor, chroma, saturation)
	VMULPS(floats("float_255", 255), saturation, saturation)
	truncate(saturation)
	return hue, saturation, high
}

// rgb returns the pixels of hues 0 to 255, 12 bytes of pixels a lane.
func rgb(h, s, v reg.VecVirtual) reg.VecVirtual {
	// position is the hue in sixths of the circle, whole its integer part.
	fraction, whole, t := vec(), vec(), vec()
	VCVTDQ2PS(h, h)
	VMULPS(floats("float_6_255", 6./255), h, whole)
	VADDPS(floats("float_0_001", 0.001), whole, whole)
	truncate(whole)
	VMULPS(floats("float_6", 6), h, fraction)
	VMULPS(floats("float_255", 255), whole, t)
	VSUBPS(t, fraction, fraction)
	VMULPS(floats("float_1_255", 1./255), fraction, fraction)
	sector := vec()
	VCVTTPS2DQ(whole, sector)

	// In these terms the three other values are v less a part of v*s.
	half, product, falling, rising := vec(), vec(), vec(), vec()
	VCVTDQ2PS(v, half)
	VMULPS(floats("float_1_255", 1./255), s, s)
	VMULPS(s, half, product)
	VADDPS(floats("float_half", 0.5), half, half)
	VMULPS(fraction, product, falling)
	move(floats("float_1", 1), rising)
	VSUBPS(fraction, rising, rising)
	VMULPS(rising, product, rising)
	packed := v
	for i, part := range []reg.VecVirtual{product, rising, falling} {
		VSUBPS(part, half, part)
		VCVTTPS2DQ(part, part)
		VPSLLD(U8(8*(i+1)), part, part)
		or(part, packed, packed)
	}

	// A dword now holds v and the low, rising and falling value. Each sixth of
	// the circle has its own choice of three.
	choice := vec()
	move(constant("sixths", func() {
		const high, low, rising, falling = 0, 1, 2, 3
		sixths := [][3]uint32{
			{high, rising, low}, {falling, high, low}, {low, high, rising},
			{low, falling, high}, {rising, low, high}, {high, low, falling},
			{high, rising, low}, {high, rising, low},
		}
		for i := range 4 * isa.lanes {
			sixth := sixths[i%len(sixths)]
			DATA(4*i, U32(sixth[0]|sixth[1]<<8|sixth[2]<<16))
		}
	}), choice)
	VPERMD(choice, sector, choice)
	VPADDD(constant("dword_places", func() {
		for i := range 4 * isa.lanes {
			DATA(4*i, U32(uint32(i%4*4)*0x01010101))
		}
	}), choice, choice)
	VPSHUFB(choice, packed, packed)
	VPSHUFB(places("three_of_four", func(_, i int) int {
		if i < 12 {
			return i/3*4 + i%3
		}
		return -1
	}), packed, packed)
	return packed
}
