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
	begin(name+"_x32_avx2", "func(dst, "+strings.Join(parameters, ", ")+" *byte, lower, upper uint32, n int)",
		fmt.Sprintf(`is %sGeneric for n bytes, a positive multiple of 32. lower holds the lower 12
bits of the weights full and end, each in a word, upper the bits above.`, name))
	dst, n := arg("dst"), arg("n")
	sources := make([]reg.Register, len(parameters))
	for i, p := range parameters {
		sources[i] = arg(p)
	}
	lower, upper := broadcast("lower"), broadcast("upper")
	half := YMM()
	VMOVDQU(dwords("box_half", 1<<23), half)
	loop(n, 32, 32, append([]reg.Register{dst}, sources...), func() {
		halves := [2]reg.VecVirtual{YMM(), YMM()}
		for i := range halves {
			sum := func(sources []reg.Register) reg.VecVirtual {
				v := YMM()
				VPMOVZXBW(Mem{Base: sources[0], Disp: 16 * i}, v)
				for _, p := range sources[1:] {
					t := YMM()
					VPMOVZXBW(Mem{Base: p, Disp: 16 * i}, t)
					VPADDW(t, v, v)
				}
				return v
			}
			last := len(sources) - 1
			inside, ends := sum(sources[1:last]), sum([]reg.Register{sources[0], sources[last]})
			first, second := YMM(), YMM()
			VPUNPCKLWD(ends, inside, first)
			VPUNPCKHWD(ends, inside, second)
			for _, v := range []reg.VecVirtual{first, second} {
				t := YMM()
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
		VPERMQ(U8(0b11011000), halves[0], halves[0])
		VMOVDQU(halves[0], Mem{Base: dst})
	})
	end()
}
