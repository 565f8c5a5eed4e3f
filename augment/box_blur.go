package augment

import "math"

// A Gaussian as Pillow draws it: along each axis three passes of a box filter
// whose ends count in part ("Theoretical Foundations of Gaussian Convolution by
// Extended Box Filtering", Gwosdek et al., SSVM 2011), 8 bits between passes.

const boxPasses = 3

// boxRadius is the fractional radius of the box whose three passes have the
// variance of a Gaussian of this sigma; equations 7, 11 and 14 of the paper, in
// Pillow's precision. Conversions keep Go from fusing.
func boxRadius(sigma float32) float32 {
	variance := float32(sigma*sigma) / boxPasses
	length := float32(math.Sqrt(float64(12*float64(variance)) + 1))
	whole := float32(math.Floor((float64(length) - 1) / 2))
	part := float32(float32(2*whole)+1) * float32(float32(whole*(whole+1))-float32(3*variance))
	part /= float32(6 * (variance - float32((whole+1)*(whole+1))))
	return whole + part
}

// boxWeights are the weights of one pass with 24 fractional bits: full for the
// pixels up to radius away, end for the pixel beyond on either side.
type boxWeights struct {
	radius    int
	full, end uint32
}

func newBoxWeights(radius float32) boxWeights {
	w := boxWeights{radius: int(radius)}
	w.full = uint32(float32(1<<24) / (float32(radius*2) + 1))
	w.end = (1<<24 - uint32(2*w.radius+1)*w.full) / 2
	return w
}

// value is a pass's result for a window of sum inside and ends beyond.
func (w boxWeights) value(sum, ends uint32) byte {
	return byte((sum*w.full + ends*w.end + 1<<23) >> 24)
}

// boxBlur blurs im along its rows, then along its columns.
func (s *Scratch) boxBlur(im raster, radius float32) raster {
	w := newBoxWeights(radius)
	out := s.fresh(im, im.w, im.h)
	margin := 3 * (w.radius + 1)
	line := grow(&s.line, 3*im.w+2*margin)
	for y := range im.h {
		src, dst := im.row(y), out.row(y)
		for range boxPasses {
			copy(line[margin:], src)
			replicateEnds(line, margin)
			boxRow(dst, line, w)
			src = dst
		}
	}
	for range boxPasses {
		next := s.fresh(out, im.w, im.h)
		s.boxColumns(next, out, w)
		out = next
	}
	return out
}

// replicateEnds fills the margins of a line, in bytes, with its first and last
// pixel.
func replicateEnds(line []byte, margin int) {
	for i := margin; i > 0; i -= 3 {
		copy(line[i-3:i], line[margin:margin+3])
	}
	for i := len(line) - margin; i < len(line); i += 3 {
		copy(line[i:i+3], line[len(line)-margin-3:])
	}
}

// boxRow is one pass along a row; line is the row with radius+1 more pixels on
// either side.
func boxRow(dst, line []byte, w boxWeights) {
	switch w.radius {
	case 0:
		active.boxOne(dst, line, line[3:], line[6:], w)
	case 1:
		active.boxThree(dst, line, line[3:], line[6:], line[9:], line[12:], w)
	default:
		boxSlide(dst, line, w)
	}
}

// boxColumns is one pass along the columns, from src into dst.
func (s *Scratch) boxColumns(dst, src raster, w boxWeights) {
	at := func(y int) []byte { return src.row(min(max(y, 0), src.h-1)) }
	switch w.radius {
	case 0:
		for y := range dst.h {
			active.boxOne(dst.row(y), at(y-1), at(y), at(y+1), w)
		}
	case 1:
		for y := range dst.h {
			active.boxThree(dst.row(y), at(y-2), at(y-1), at(y), at(y+1), at(y+2), w)
		}
	default:
		sums := grow(&s.boxSums, 3*src.w)
		clear(sums)
		for y := -w.radius; y <= w.radius; y++ {
			for i, v := range at(y) {
				sums[i] += uint32(v)
			}
		}
		for y := range dst.h {
			boxStep(dst.row(y), sums, at(y-w.radius-1), at(y-w.radius), at(y+w.radius+1), w)
		}
	}
}

// boxOneGeneric is a pass of radius 0, that of a sigma up to 1.4: the pixel itself and
// a part of its neighbours, along a row or from three rows.
func boxOneGeneric(dst, before, at, after []byte, w boxWeights) {
	before, at, after = before[:len(dst)], at[:len(dst)], after[:len(dst)]
	for i := range dst {
		dst[i] = w.value(uint32(at[i]), uint32(before[i])+uint32(after[i]))
	}
}

// boxThreeGeneric is a pass of radius 1, that of a sigma up to 2.4.
func boxThreeGeneric(dst, far, before, at, after, beyond []byte, w boxWeights) {
	far, before, at, after, beyond = far[:len(dst)], before[:len(dst)], at[:len(dst)], after[:len(dst)], beyond[:len(dst)]
	for i := range dst {
		dst[i] = w.value(uint32(before[i])+uint32(at[i])+uint32(after[i]), uint32(far[i])+uint32(beyond[i]))
	}
}

// boxSlide is a pass of any radius along a row, which moves a sum on.
func boxSlide(dst, line []byte, w boxWeights) {
	window := 3 * (2*w.radius + 1) // in bytes; begins one pixel into the line
	var r, g, b uint32
	for i := 3; i < 3+window; i += 3 {
		r += uint32(line[i])
		g += uint32(line[i+1])
		b += uint32(line[i+2])
	}
	for i := 0; i+2 < len(dst); i += 3 {
		before, leaving, after := line[i:i+3:i+3], line[i+3:i+6:i+6], line[i+3+window:i+6+window:i+6+window]
		a0, a1, a2 := uint32(after[0]), uint32(after[1]), uint32(after[2])
		dst[i] = w.value(r, uint32(before[0])+a0)
		dst[i+1] = w.value(g, uint32(before[1])+a1)
		dst[i+2] = w.value(b, uint32(before[2])+a2)
		r += a0 - uint32(leaving[0])
		g += a1 - uint32(leaving[1])
		b += a2 - uint32(leaving[2])
	}
}

// boxStep makes one row of a column pass of any radius and moves the sums on to
// the next.
func boxStep(dst []byte, sums []uint32, before, leaving, after []byte, w boxWeights) {
	before, leaving, after, sums = before[:len(dst)], leaving[:len(dst)], after[:len(dst)], sums[:len(dst)]
	for i := range dst {
		sum, a := sums[i], uint32(after[i])
		dst[i] = w.value(sum, uint32(before[i])+a)
		sums[i] = sum + a - uint32(leaving[i])
	}
}
