package rng

import (
	"math"
	"testing"
)

// The known answers are those of the Random123 distribution (kat_vectors,
// philox4x32 with 10 rounds).
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		key, high, low uint64
		want           [4]uint32
	}{
		{0, 0, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x299f31d0_a4093822, 0x03707344_13198a2e, 0x85a308d3_243f6a88, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		b := philox(c.key, c.high, c.low)
		got := [4]uint32{uint32(b[0]), uint32(b[0] >> 32), uint32(b[1]), uint32(b[1] >> 32)}
		if got != c.want {
			t.Errorf("philox(%#x, %#x:%#x) = %#x, want %#x", c.key, c.high, c.low, got, c.want)
		}
	}
}

func TestStreamsAreNamedApart(t *testing.T) {
	seen := map[uint64]string{}
	for purpose := range uint64(4) {
		for a := range uint64(20) {
			for b := range uint64(20) {
				s := New(7, purpose, a, b)
				v := s.Uint64()
				if _, twice := seen[v]; twice {
					t.Fatalf("two names share the draw %#x", v)
				}
				seen[v] = ""
			}
		}
	}
}

func TestPermIsAPermutation(t *testing.T) {
	for n := range 50 {
		s := New(1, KeyPerm, uint64(n))
		p := make([]int, n)
		s.Perm(p)
		seen := make([]bool, n)
		for _, v := range p {
			if v < 0 || v >= n || seen[v] {
				t.Fatalf("n=%d: %v is no permutation", n, p)
			}
			seen[v] = true
		}
	}
}

func TestMoments(t *testing.T) {
	const n = 200000
	s := New(3, Sample)
	var sum, sq, normal, normalSq float64
	for range n {
		u := s.Float64()
		sum, sq = sum+u, sq+u*u
		z := s.Normal()
		normal, normalSq = normal+z, normalSq+z*z
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"uniform mean", sum / n, 0.5}, {"uniform mean square", sq / n, 1. / 3},
		{"normal mean", normal / n, 0}, {"normal variance", normalSq / n, 1},
	} {
		// 5 standard errors of the widest of the four.
		if tol := 5 * 1.42 / math.Sqrt(n); math.Abs(c.got-c.want) > tol {
			t.Errorf("%s = %.4f, want %.4f within %.4f", c.name, c.got, c.want, tol)
		}
	}
}
