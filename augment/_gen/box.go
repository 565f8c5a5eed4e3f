package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// box is a pass of a box filter of radius 0 or 1. A pair of words holds the sum
// of the pixels inside the box and that of the two beyond it; as in resampling
// it is multiplied by the lower and by the upper bits of its weights.
func box(name string, radius int) {
	parameters := []string{"before", "at", "after"}
	if radius == 1 {
		parameters = []string{"far", "before", "at", "after", "beyond"}
	}
	begin(fmt.Sprintf("%s_x%d_%s", name, width(), isa.name), "func(dst, "+strings.Join(parameters, ", ")+" *byte, lower, upper uint32, n int)",
		fmt.Sprintf(`is %sGeneric for n bytes, a positive multiple of %d. lower holds the lower 12
bits of the weights full and end, each in a word, upper the bits above.`, name, width()))
	dst, n := arg("dst"), arg("n")
	sources := make([]reg.Register, len(parameters))
	for i, p := range parameters {
		sources[i] = arg(p)
	}
	lower, upper := broadcast("lower"), broadcast("upper")
	half := vec()
	move(dwords("box_half", 1<<23), half)
	zero, ones := zeroed(), vec()
	move(dwords("byte_ones", 0x01010101), ones)
	// words are the bytes of p, plus those of q where there is one, widened:
	// bytes 0 to 7 of either lane, then bytes 8 to 15.
	words := func(p, q reg.Register) [2]reg.VecVirtual {
		v := [2]reg.VecVirtual{vec(), vec()}
		move(Mem{Base: p}, v[0])
		other := zero
		if q != nil {
			other = vec()
			move(Mem{Base: q}, other)
		}
		VPUNPCKHBW(other, v[0], v[1])
		VPUNPCKLBW(other, v[0], v[0])
		if q != nil {
			VPMADDUBSW(ones, v[0], v[0])
			VPMADDUBSW(ones, v[1], v[1])
		}
		return v
	}
	loop(n, width(), width(), append([]reg.Register{dst}, sources...), func() {
		ends := words(sources[0], sources[len(sources)-1])
		halves := words(sources[len(sources)/2], nil)
		if radius == 1 {
			for i, beside := range words(sources[1], sources[3]) {
				VPADDW(beside, halves[i], halves[i])
			}
		}
		for i, inside := range halves {
			first, second := vec(), vec()
			VPUNPCKLWD(ends[i], inside, first)
			VPUNPCKHWD(ends[i], inside, second)
			for _, v := range []reg.VecVirtual{first, second} {
				t := vec()
				VPMADDWD(upper, v, t)
				VPMADDWD(lower, v, v)
				VPSLLD(U8(splitBits), t, t)
				VPADDD(half, v, v)
				VPADDD(t, v, v)
				VPSRLD(U8(24), v, v)
			}
			VPACKSSDW(second, first, halves[i])
		}
		VPACKUSWB(halves[1], halves[0], halves[0])
		move(halves[0], Mem{Base: dst})
	})
	end()
}
