package augment

import (
	"image"
	"math"
	"slices"
)

// Resampling as Pillow does it for 8-bit pictures: a separable filter that
// widens with the reduction (so that reducing does not alias), one axis after
// the other, rounded to 8 bits between them; verticalFirst says in which order.
// Weights are integers with weightBits fractional bits, which leaves room for
// the 8 bits of a pixel and the overshoot of a cubic.

const (
	weightBits = 32 - 8 - 2
	weightHalf = 1 << (weightBits - 1)
)

// A filter is the kernel of an interpolation; weight is 0 at and beyond support.
type filter struct {
	name    string
	support float64
	weight  func(x float64) float64
}

var filters = []*filter{
	{name: "bilinear", support: 1, weight: triangle},
	{name: "bicubic", support: 2, weight: keysCubic},
}

func triangle(x float64) float64 {
	if x = math.Abs(x); x < 1 {
		return 1 - x
	}
	return 0
}

// keysCubic is the cubic convolution kernel of Keys (1981) with a = -1/2.
// Products stand in conversions: a fused multiply-add would round differently.
func keysCubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64((float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return float64((float64((float64((x-5)*x)+8)*x) - 4) * a)
	}
	return 0
}

// taps are the weights of one axis: output position i, counted from lo, is the
// sum of count[i] inputs from first[i] on with the weights from i*size on.
type taps struct {
	filter       *filter
	axis         axis // computed for these
	size         int
	first, count []int32
	weights      []int32
	exact        []float64

	// The same weights for kernels that multiply words: 4*quads of them for each
	// output, the last ones 0. Of each two inputs the lower splitBits bits of the
	// two weights, then the bits above.
	quads int
	pairs []int16
}

const splitBits = 12

// An axis of in pixels is scaled: the part from the place from to the place to
// becomes out pixels, of which those in [lo,hi) are wanted.
type axis struct {
	in          int
	from, to    float64
	out, lo, hi int
}

// changes tells whether anything is to be done.
func (a axis) changes() bool { return a.out != a.in || a.from != 0 || a.to != float64(a.in) }

// prepare computes the weights for an axis. It does nothing when they are there
// already.
func (t *taps) prepare(f *filter, a axis) {
	if t.filter == f && t.axis == a {
		return
	}
	t.filter, t.axis = f, a

	in, lo := a.in, a.lo
	scale := (a.to - a.from) / float64(a.out)
	widening := max(scale, 1)
	support := f.support * widening
	narrowing := 1 / widening
	t.size = min(2*int(math.Ceil(support))+1, in)
	n := a.hi - lo
	grow(&t.first, n)
	grow(&t.count, n)
	grow(&t.weights, n*t.size)
	exact := grow(&t.exact, t.size)

	for i := range n {
		centre := a.from + float64((float64(lo+i)+0.5)*scale)
		first := max(int(centre-support+0.5), 0)
		count := min(int(centre+support+0.5), in) - first
		sum := 0.0
		for k := range count {
			w := f.weight(float64((float64(k+first) - centre + 0.5) * narrowing))
			exact[k] = w
			sum += w
		}
		weights := t.weights[i*t.size:][:count]
		for k := range weights {
			w := float64(exact[k] / sum * (1 << weightBits))
			weights[k] = int32(w + math.Copysign(0.5, w))
		}
		t.first[i], t.count[i] = int32(first), int32(count)
	}
	t.split()
}

// split fills pairs.
func (t *taps) split() {
	t.quads = int(slices.Max(t.count)+3) / 4
	pairs := grow(&t.pairs, 8*t.quads*len(t.count))
	clear(pairs)
	for i, count := range t.count {
		to := pairs[8*t.quads*i:]
		for k, w := range t.weights[i*t.size:][:count] {
			at := k&^1*2 + k&1
			to[at], to[at+2] = int16(w&(1<<splitBits-1)), int16(w>>splitBits)
		}
	}
}

// span returns the input positions that the outputs read, [from,to).
func (t *taps) span() (from, to int) {
	last := t.axis.hi - t.axis.lo - 1
	return int(t.first[0]), int(t.first[last] + t.count[last])
}

// verticalFirst tells whether scaling w0 x h0 to w x h begins with the vertical
// pass: where the height loses more than twice as many pixels as the width.
// Rounded in between, the other order differs by one here and there. Source:
// Pillow 13.0.0, found by comparing it with both orders on 11,700 pairs of
// sizes; versions up to 12 always begin with the horizontal pass.
func verticalFirst(w0, h0, w, h int) bool { return h < h0 && h0-h > 2*(w0-w) }

// resample scales im to w x h and returns the part of the result inside window.
// An axis whose length stays is left alone.
func (s *Scratch) resample(im raster, f *filter, w, h int, window image.Rectangle) (raster, error) {
	return s.resampleArea(im, area{0, 0, float64(im.w), float64(im.h)}, f, w, h, window)
}

// resampleArea is resample of a part of im, whose filter reads im outside of it
// where pixels of im lie across its edge. Source: Pillow, Image.resize with a box.
func (s *Scratch) resampleArea(im raster, part area, f *filter, w, h int, window image.Rectangle) (raster, error) {
	// The weights of as many columns and rows take memory, too.
	if err := checkPixels(int64(window.Dx()), int64(window.Dy())); err != nil {
		return raster{}, err
	}
	x := axis{im.w, part.x0, part.x1, w, window.Min.X, window.Max.X}
	y := axis{im.h, part.y0, part.y1, h, window.Min.Y, window.Max.Y}
	horizontal, vertical := x.changes(), y.changes()
	needed := window // of im
	if horizontal {
		s.columns.prepare(f, x)
		needed.Min.X, needed.Max.X = s.columns.span()
	}
	if vertical {
		s.rows.prepare(f, y)
		needed.Min.Y, needed.Max.Y = s.rows.span()
	}
	rowsFirst := verticalFirst(im.w, im.h, w, h)
	between := image.Pt(window.Dx(), needed.Dy()) // the picture between the passes
	if rowsFirst {
		between = image.Pt(needed.Dx(), window.Dy())
	}
	if err := checkPixels(int64(max(between.X, window.Dx())), int64(max(between.Y, window.Dy()))); err != nil {
		return raster{}, err
	}
	im = im.crop(needed)
	if vertical && rowsFirst {
		im = s.resampleVertical(im, needed.Min.Y)
	}
	if horizontal {
		im = s.resampleHorizontal(im, needed.Min.X)
	}
	if vertical && !rowsFirst {
		im = s.resampleVertical(im, needed.Min.Y)
	}
	return im, nil
}

// resampleHorizontal returns the columns that s.columns makes of im, whose first
// column is column left of the picture.
func (s *Scratch) resampleHorizontal(im raster, left int) raster {
	out := s.fresh(im, len(s.columns.first), im.h)
	active.resampleRows(out, im, left, &s.columns, &s.line)
	return out
}

// resampleVertical returns the rows that s.rows makes of im, whose first row is
// row top of the picture.
func (s *Scratch) resampleVertical(im raster, top int) raster {
	out := s.fresh(im, im.w, len(s.rows.first))
	active.resampleColumns(out, im, top, &s.rows, &s.sums)
	return out
}

func resampleRowsGeneric(dst, src raster, left int, t *taps, _ *[]byte) {
	for y := range dst.h {
		resampleRow(dst.row(y), src.row(y), left, t)
	}
}

func resampleColumnsGeneric(dst, src raster, top int, t *taps, sums *[]int32) {
	for y := range dst.h {
		weights := t.weights[y*t.size:][:t.count[y]]
		mixRows(dst.row(y), grow(sums, 3*dst.w), src, int(t.first[y])-top, weights)
	}
}

// resampleRow makes the pixels of dst from the row src, whose first pixel is in
// column left.
func resampleRow(dst, src []byte, left int, t *taps) {
	for i, count := range t.count {
		weights := t.weights[i*t.size:][:count]
		p := src[3*(int(t.first[i])-left):][:3*count]
		d := dst[3*i : 3*i+3 : 3*i+3]
		r, g, b := int32(weightHalf), int32(weightHalf), int32(weightHalf)
		for k, w := range weights {
			q := p[3*k : 3*k+3 : 3*k+3]
			r += w * int32(q[0])
			g += w * int32(q[1])
			b += w * int32(q[2])
		}
		d[0], d[1], d[2] = clipWeighted(r), clipWeighted(g), clipWeighted(b)
	}
}

// mixRows makes the row dst from the rows of im from first on, one a weight.
// sums is scratch of the same length. The counts of enlarging and of reducing to
// a half have a loop of their own, which keeps the sums in registers.
func mixRows(dst []byte, sums []int32, im raster, first int, weights []int32) {
	switch len(weights) {
	case 1:
		copy(dst, im.row(first)) // its weight is 1
	case 2:
		mixTwo(dst, im.row(first), im.row(first+1), weights)
	case 3:
		mixThree(dst, im.row(first), im.row(first+1), im.row(first+2), weights)
	case 4:
		mixFour(dst, im.row(first), im.row(first+1), im.row(first+2), im.row(first+3), weights)
	default:
		for i := range sums {
			sums[i] = weightHalf
		}
		for ; len(weights) >= 2; weights = weights[2:] {
			addTwo(sums, im.row(first), im.row(first+1), weights)
			first += 2
		}
		if len(weights) == 1 {
			addTwo(sums, im.row(first), im.row(first), []int32{weights[0], 0})
		}
		for i, v := range sums {
			dst[i] = clipWeighted(v)
		}
	}
}

func mixTwo(dst, a, b []byte, w []int32) {
	a, b = a[:len(dst)], b[:len(dst)]
	w0, w1 := w[0], w[1]
	for i := range dst {
		dst[i] = clipWeighted(weightHalf + w0*int32(a[i]) + w1*int32(b[i]))
	}
}

func mixThree(dst, a, b, c []byte, w []int32) {
	a, b, c = a[:len(dst)], b[:len(dst)], c[:len(dst)]
	w0, w1, w2 := w[0], w[1], w[2]
	for i := range dst {
		dst[i] = clipWeighted(weightHalf + w0*int32(a[i]) + w1*int32(b[i]) + w2*int32(c[i]))
	}
}

func mixFour(dst, a, b, c, d []byte, w []int32) {
	a, b, c, d = a[:len(dst)], b[:len(dst)], c[:len(dst)], d[:len(dst)]
	w0, w1, w2, w3 := w[0], w[1], w[2], w[3]
	for i := range dst {
		dst[i] = clipWeighted(weightHalf + w0*int32(a[i]) + w1*int32(b[i]) + w2*int32(c[i]) + w3*int32(d[i]))
	}
}

func addTwo(sums []int32, a, b []byte, w []int32) {
	a, b = a[:len(sums)], b[:len(sums)]
	w0, w1 := w[0], w[1]
	for i := range sums {
		sums[i] += w0*int32(a[i]) + w1*int32(b[i])
	}
}

// clipWeighted drops the fractional bits of a sum and bounds it to a byte.
func clipWeighted(sum int32) byte {
	return byte(min(max(sum>>weightBits, 0), 255))
}
