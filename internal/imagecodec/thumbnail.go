package imagecodec

import "math/bits"

// thumbSide is the side of a Thumbnail in pixels.
const thumbSide = 9

// A Thumbnail is a picture of 9 x 9 grey levels, each the mean of its part: what
// is left when two files of one photograph differ in size, quality or format.
type Thumbnail [thumbSide * thumbSide]byte

// Thumbnail returns the picture's. A pixel between two parts counts for both, by
// its shares of them, so that another size of the picture has the same means.
func (m *Image) Thumbnail() (t Thumbnail) {
	for ty := range thumbSide {
		for tx := range thumbSide {
			sum := 0
			for y := ty * m.H / thumbSide; y*thumbSide < (ty+1)*m.H; y++ {
				line, row := 0, m.Pix[3*y*m.W:3*(y+1)*m.W]
				for x := tx * m.W / thumbSide; x*thumbSide < (tx+1)*m.W; x++ {
					p := row[3*x : 3*x+3]
					line += share(tx, x, m.W) * (2*int(p[0]) + 5*int(p[1]) + int(p[2])) // luma, in eighths
				}
				sum += share(ty, y, m.H) * line
			}
			t[ty*thumbSide+tx] = byte(sum / (8 * m.H * m.W))
		}
	}
	return t
}

// share returns how much of a pixel lies in a part of an axis of n pixels, in
// ninths; those of all pixels in a part add up to n.
func share(part, pixel, n int) int {
	return min((part+1)*n, (pixel+1)*thumbSide) - max(part*n, pixel*thumbSide)
}

// margin is how many grey levels make one part brighter than another: in flat
// parts the differences are noise.
const margin = 4

// Hash returns a bit for every pair of neighbours, 64 to the right and 64 below:
// set where the second is clearly the brighter one (dHash). Likeness is a small
// Distance.
func (t *Thumbnail) Hash() (h [2]uint64) {
	const side = thumbSide - 1
	for y := range side {
		for x := range side {
			at := y*thumbSide + x
			here := int(t[at]) + margin
			bit := uint64(1) << (y*side + x)
			if int(t[at+1]) > here {
				h[0] |= bit
			}
			if int(t[at+thumbSide]) > here {
				h[1] |= bit
			}
		}
	}
	return h
}

// Distance returns in how many bits two hashes differ, and how many are set in
// either.
func Distance(a, b [2]uint64) (differ, set int) {
	return bits.OnesCount64(a[0]^b[0]) + bits.OnesCount64(a[1]^b[1]), bits.OnesCount64(a[0]|b[0]) + bits.OnesCount64(a[1]|b[1])
}

// Difference returns the mean difference of two thumbnails in grey levels.
func (t *Thumbnail) Difference(o *Thumbnail) float64 {
	sum := 0
	for i, v := range t {
		sum += max(int(v), int(o[i])) - min(int(v), int(o[i]))
	}
	return float64(sum) / float64(len(t))
}
