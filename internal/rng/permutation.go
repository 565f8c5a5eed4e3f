package rng

import "math/bits"

// permutationRounds is how often the halves of a number are mixed. Four make a
// pseudo-random permutation of large ranges (Luby and Rackoff, SIAM J. Comput.
// 17, 1988); of small ones, whose halves have a bit or two, more are needed
// until all orders are equally frequent, which a test counts for up to five
// elements.
const permutationRounds = 12

// Permutation is a random order of the numbers below some n that takes no
// memory: each place is computed by itself. It is a Feistel network over the
// next power of two above n, whose results beyond n go through it again until
// they fall below (Black and Rogaway, "Ciphers with Arbitrary Finite Domains",
// CT-RSA 2002): twice at most in the mean. The zero value is the order of no
// numbers. It is safe for concurrent use.
type Permutation struct {
	n    uint64
	low  uint // bits of the lower half
	mask [2]uint64
	keys [permutationRounds]uint64
}

// NewPermutation returns the order of the numbers below n that the draws of s
// decide.
func NewPermutation(n uint64, s *Stream) Permutation {
	width := uint(2) // a half of a single bit on either side
	if n > 4 {
		width = uint(bits.Len64(n - 1))
	}
	p := Permutation{n: n, low: width / 2}
	p.mask = [2]uint64{1<<p.low - 1, 1<<(width-p.low) - 1}
	for i := range p.keys {
		p.keys[i] = s.Uint64()
	}
	return p
}

// Len returns how many numbers are ordered.
func (p *Permutation) Len() uint64 { return p.n }

// At returns the number in a place, both below Len. It panics for a place that
// is not.
func (p *Permutation) At(place uint64) uint64 {
	if place >= p.n {
		panic("rng: Permutation.At of a place that is not below Len")
	}
	for {
		low, high := place&p.mask[0], place>>p.low
		for i := 0; i < permutationRounds; i += 2 {
			low ^= mix(p.keys[i]+high) & p.mask[0]
			high ^= mix(p.keys[i+1]+low) & p.mask[1]
		}
		if place = high<<p.low | low; place < p.n {
			return place
		}
	}
}
