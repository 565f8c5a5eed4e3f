package kernel

import "testing"

// FuzzConv compares every implementation and algorithm with the reference on
// any small shape.
func FuzzConv(f *testing.F) {
	f.Add(uint8(1), uint8(5), uint8(6), uint8(16), uint8(17), uint8(3), uint8(3), uint8(1), uint8(1), uint8(2))
	f.Add(uint8(2), uint8(9), uint8(4), uint8(3), uint8(5), uint8(7), uint8(2), uint8(2), uint8(3), uint8(1))
	f.Add(uint8(3), uint8(1), uint8(1), uint8(33), uint8(40), uint8(1), uint8(1), uint8(3), uint8(0), uint8(4))
	f.Fuzz(func(t *testing.T, n, h, w, c, o, kh, kw, stride, pad, workers uint8) {
		within := func(v uint8, most int) int { return 1 + int(v-1)%most }
		s := ConvShape{
			N: within(n, 3), H: within(h, 13), W: within(w, 13), C: within(c, 40), O: within(o, 40),
			KH: within(kh, 7), KW: within(kw, 7), Stride: within(stride, 4), Pad: int(pad) % 4,
		}
		if s.H+2*s.Pad < s.KH || s.W+2*s.Pad < s.KW {
			t.Skip("no output")
		}
		k := newConvCase(s).solve()
		eachVariant(t, func(t *testing.T) {
			for alg, bound := range convBounds {
				k.check(t, k.run(t, alg, within(workers, 5)), bound)
			}
		})
	})
}
