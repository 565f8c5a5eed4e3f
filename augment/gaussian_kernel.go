package augment

import "math"

// A Gaussian as torchvision draws it: float32 weights, mirrored edges, rounded
// once at the end. torchvision multiplies the two axes' weights into one square
// kernel; here they stay apart, so a result that lies within float32 rounding of
// a half may differ by one.

// negligible is a weight whose byte lies below the rounding of a float32 sum of
// bytes: 255*negligible is 2^-25, half a unit in the last place of 128 is 2^-18.
const negligible = 0x1p-33

// gaussianKernel returns the right half of n weights of sum 1, n odd, the middle
// one first, in the memory of *buf. Negligible ones are left out.
func gaussianKernel(buf *[]float32, n int, sigma float32) []float32 {
	half := grow(buf, n/2+1)
	var sum float32
	for i := range half {
		x := float32(i) / sigma
		half[i] = float32(math.Exp(-0.5 * float64(float32(x*x))))
		sum += half[i]
		if i > 0 {
			sum += half[i]
		}
	}
	for i := range half {
		if half[i] /= sum; half[i] < negligible {
			return half[:i]
		}
	}
	return half
}

// convolve returns im convolved along both axes with the kernel of which half is
// the right half.
func (s *Scratch) convolve(im raster, half []float32) raster {
	out := s.fresh(im, im.w, im.h)
	n, margin := 3*im.w, 3*(len(half)-1)
	line := grow(&s.line, n+2*margin)
	rows := grow(&s.floats, n*im.h)
	for y := range im.h {
		reflectEnds(line, im.row(y), margin/3)
		active.convolveRow(rows[n*y:n*y+n], line, half)
	}
	at := grow(&s.rowStarts, 2*len(half)-1)
	for y := range im.h {
		at[0] = n * y
		for k := 1; k < len(half); k++ {
			at[2*k-1], at[2*k] = n*reflect(y-k, im.h), n*reflect(y+k, im.h)
		}
		active.convolveColumns(out.row(y), rows, at, half)
	}
	return out
}

// reflectEnds copies row into line with margin more mirrored pixels on each side.
func reflectEnds(line, row []byte, margin int) {
	n := len(row) / 3
	copy(line[3*margin:], row)
	for i := range margin {
		copy(line[3*i:3*i+3], row[3*reflect(i-margin, n):])
		copy(line[3*(margin+n+i):3*(margin+n+i)+3], row[3*reflect(n+i, n):])
	}
}

// convolveRowGeneric convolves a row of interleaved channels; line holds len(half)-1
// more pixels than dst on each side.
func convolveRowGeneric(dst []float32, line []byte, half []float32) {
	margin := 3 * (len(half) - 1)
	setScaled(dst, line[margin:], half[0])
	for k, w := range half[1:] {
		off := 3 * (k + 1)
		addScaled(dst, line[margin-off:], line[margin+off:], w)
	}
}

// convolveColumnsGeneric makes a row from rows of floats: the middle one begins
// at at[0], those of half[k] at at[2*k-1] and at[2*k].
func convolveColumnsGeneric(dst []byte, rows []float32, at []int, half []float32) {
	var sums [64]float32
	for i := 0; i < len(dst); i += len(sums) {
		part := sums[:min(len(sums), len(dst)-i)]
		setScaled(part, rows[at[0]+i:], half[0])
		for k, w := range half[1:] {
			addScaled(part, rows[at[2*k+1]+i:], rows[at[2*k+2]+i:], w)
		}
		roundRow(dst[i:], part)
	}
}

type sample interface{ byte | float32 }

func setScaled[T sample](dst []float32, a []T, w float32) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = w * float32(a[i])
	}
}

func addScaled[T sample](dst []float32, a, b []T, w float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] += float32(w * (float32(a[i]) + float32(b[i])))
	}
}

// roundRow rounds halves to even; the values lie in [0,255] up to rounding.
func roundRow(dst []byte, row []float32) {
	dst = dst[:len(row)]
	for i, v := range row {
		dst[i] = byte(math.RoundToEven(float64(v)))
	}
}
