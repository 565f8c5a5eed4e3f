package augment

import "math"

// A Gaussian as torchvision draws it: float32 weights, mirrored edges, rounded
// once at the end. torchvision multiplies the two axes' weights into one square
// kernel; here they stay apart, so a result that lies within float32 rounding of
// a half may differ by one.

// gaussianKernel returns n weights of sum 1, n odd, in the memory of *buf.
func gaussianKernel(buf *[]float32, n int, sigma float32) []float32 {
	kernel := grow(buf, n)
	var sum float32
	for i := range kernel {
		x := float32(i-n/2) / sigma
		kernel[i] = float32(math.Exp(-0.5 * float64(float32(x*x))))
		sum += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	return kernel
}

// convolve returns im convolved with kernel along both axes.
func (s *Scratch) convolve(im raster, kernel []float32) raster {
	half := len(kernel) / 2
	out := s.fresh(im, im.w, im.h)
	line := grow(&s.line, 3*(im.w+2*half))
	rows := grow(&s.floats, 3*im.w*(im.h+1))
	sums := rows[3*im.w*im.h:]
	for y := range im.h {
		reflectEnds(line, im.row(y), half)
		convolveRow(rows[3*im.w*y:][:3*im.w], line, kernel)
	}
	for y := range im.h {
		clear(sums)
		for k, w := range kernel {
			addScaled(sums, rows[3*im.w*reflect(y+k-half, im.h):], w)
		}
		roundRow(out.row(y), sums)
	}
	return out
}

// reflectEnds copies row into line with half more mirrored pixels on each side.
func reflectEnds(line, row []byte, half int) {
	n := len(row) / 3
	copy(line[3*half:], row)
	for i := range half {
		copy(line[3*i:3*i+3], row[3*reflect(i-half, n):])
		copy(line[3*(half+n+i):3*(half+n+i)+3], row[3*reflect(n+i, n):])
	}
}

// convolveRow convolves a row of interleaved channels; line holds len(kernel)-1
// more pixels than dst.
func convolveRow(dst []float32, line []byte, kernel []float32) {
	for i := range dst {
		var sum float32
		p := line[i:]
		for k, w := range kernel {
			sum += float32(w * float32(p[3*k]))
		}
		dst[i] = sum
	}
}

func addScaled(sums, row []float32, w float32) {
	row = row[:len(sums)]
	for i := range sums {
		sums[i] += float32(w * row[i])
	}
}

// roundRow rounds halves to even; the values lie in [0,255] up to rounding.
func roundRow(dst []byte, row []float32) {
	dst = dst[:len(row)]
	for i, v := range row {
		dst[i] = byte(math.RoundToEven(float64(v)))
	}
}
