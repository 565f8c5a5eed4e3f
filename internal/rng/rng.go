// Package rng draws random numbers from a counter, not from a state that is
// passed along: a draw is a pure function of the names it is asked under.
// Nothing that decides when or where a draw happens (worker, buffer, rank,
// restart) can therefore change it.
//
// The generator is Philox4x32-10 of "Parallel Random Numbers: As Easy as 1, 2,
// 3" (Salmon et al., SC 2011): a 64-bit key and a 128-bit counter. The key is
// the run's seed; the upper half of the counter is a hash of the names, the
// lower half counts the draws made under them.
package rng

import "math"

// Purposes keep draws apart that share all other names. A value may never be
// reused or renumbered: runs recorded with it would no longer repeat.
const (
	Sample    uint64 = iota + 1 // an operator's draw for a view of a sample
	Weights                     // initial weights: parameter, element
	Queue                       // initial queue rows: row, dimension
	KeyPerm                     // order of the keys across batch-norm groups: step
	Shards                      // order of the shards: epoch
	Shuffle                     // shuffle buffer: epoch
	Probe                       // probe subsets, order and weights
	Synth                       // synthetic images
	Benchmark                   // synthetic input of a benchmark
	Cell                        // AMDIM's source cells: step, direction and image
	Prior                       // draws of Deep InfoMax's prior: step, image
	Order                       // order of the samples of an indexed set: epoch
	Occlusion                   // what Deep InfoMax hides of images: step, image
	CellPairs                   // its cells that are paired: step, image
	Scene                       // synthetic images with boxes: image
)

// Stream is a sequence of draws. The zero value is not useful; make one with
// New. A Stream is a small value: copying it forks the sequence.
// It is not safe for concurrent use.
type Stream struct {
	key   uint64
	high  uint64 // hash of the names
	low   uint64 // blocks drawn
	block [2]uint64
	left  int // words of block not yet handed out
}

// New returns the sequence named by seed, purpose and parts.
func New(seed, purpose uint64, parts ...uint64) Stream {
	h := mix(purpose)
	for _, p := range parts {
		h = mix(h ^ p + 0x9e3779b97f4a7c15)
	}
	return Stream{key: seed, high: h}
}

// HashID is the 64-bit hash under which a string (a sample's id, an operator's
// place) takes part in a name. It never returns 0, which stands for "no id".
func HashID(s string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a, finished by mix: ids share long prefixes
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	if h = mix(h); h == 0 {
		return 1
	}
	return h
}

// mix is the finaliser of SplitMix64: a bijection in which every input bit
// reaches every output bit.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Uint64 returns 64 uniform bits.
func (s *Stream) Uint64() uint64 {
	if s.left == 0 {
		s.block = philox(s.key, s.high, s.low)
		s.low++
		s.left = 2
	}
	s.left--
	return s.block[1-s.left]
}

// Float64 returns a uniform number in [0,1), a multiple of 2^-53.
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }

// Uniform returns a uniform number in [lo,hi); lo if the two are equal.
func (s *Stream) Uniform(lo, hi float64) float64 { return lo + float64((hi-lo)*s.Float64()) }

// IntN returns a uniform integer in [0,n). It panics if n <= 0.
func (s *Stream) IntN(n int) int {
	if n <= 0 {
		panic("rng: IntN of a range that is not positive")
	}
	limit := math.MaxUint64 - math.MaxUint64%uint64(n) // reject the uneven remainder
	for {
		if v := s.Uint64(); v < limit {
			return int(v % uint64(n))
		}
	}
}

// Normal returns a draw of the standard normal distribution (Box-Muller; the
// second of each pair is thrown away, so that every draw takes two words).
func (s *Stream) Normal() float64 {
	u := 1 - s.Float64() // in (0,1]: the logarithm stays finite
	v := s.Float64()
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// Perm fills dst with a uniform permutation of 0..len(dst)-1.
func (s *Stream) Perm(dst []int) {
	for i := range dst {
		j := s.IntN(i + 1)
		dst[i] = dst[j]
		dst[j] = i
	}
}

// philox is Philox4x32-10: ten rounds over the counter (high:low) under key.
func philox(key, high, low uint64) [2]uint64 {
	const m0, m1 = 0xd2511f53, 0xcd9e8d57
	k0, k1 := uint32(key), uint32(key>>32)
	c0, c1, c2, c3 := uint32(low), uint32(low>>32), uint32(high), uint32(high>>32)
	for range 10 {
		p0, p1 := uint64(c0)*m0, uint64(c2)*m1
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0 += 0x9e3779b9
		k1 += 0xbb67ae85
	}
	return [2]uint64{uint64(c0) | uint64(c1)<<32, uint64(c2) | uint64(c3)<<32}
}
