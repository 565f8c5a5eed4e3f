package kernel

// A band is the rows of an image that some rows of a convolution's result are
// made of, copied with the padding written out. The values under a row of the
// filter then lie side by side wherever the filter stands. That is for images
// of at most four channels, whose pixels are too short for a loop of their own.
type band struct {
	src          image
	h, w         int // of the result
	kh, kw       int
	stride, pad  int
	rows         int // of the result, from one band
	width        int // of a row of the band, in pixels
	floats       int // of a pixel
	perImage     int // bands of an image
	filterFloats int // under a row of the filter
}

// bandPixels is the number of results of a band, where its rows divide so: work
// enough to make up for the rows that bands have in common.
const bandPixels = 128

func newBand(s ConvShape) band {
	b := band{
		src: image{s.N, s.H, s.W, s.C}, h: s.outH(), w: s.outW(),
		kh: s.KH, kw: s.KW, stride: s.Stride, pad: s.Pad,
	}
	b.rows = min(b.h, max(1, bandPixels/b.w))
	b.width = (b.w-1)*b.stride + b.kw
	b.floats = b.src.stride()
	b.perImage = ceilDiv(b.h, b.rows)
	b.filterFloats = b.kw * b.floats
	return b
}

// count returns the number of bands.
func (b *band) count() int { return b.src.n * b.perImage }

// at returns the image of band i and the rows of the result it is for.
func (b *band) at(i int) (n, first, rows int) {
	n, first = i/b.perImage, i%b.perImage*b.rows
	return n, first, min(b.rows, b.h-first)
}

// len is the floats of a band. Register tiles may read a line more.
func (b *band) len() int {
	return roundUp(((b.rows-1)*b.stride+b.kh)*b.width*b.floats, lanes) + lanes
}

// offset is the place of the values under row k of the filter for a result.
func (b *band) offset(row, col, k int) int {
	return ((row*b.stride+k)*b.width + col*b.stride) * b.floats
}

// fill copies what the given rows of image n's result are made of.
func (b *band) fill(dst, src []float32, n, first, rows int) {
	left := min(b.pad, b.width) * b.floats
	inside := max(0, min(b.src.w, b.width-b.pad)) * b.floats
	length := b.width * b.floats
	for r := range (rows-1)*b.stride + b.kh {
		row, h := dst[r*length:][:length], first*b.stride-b.pad+r
		if uint(h) >= uint(b.src.h) {
			clear(row)
			continue
		}
		clear(row[:left])
		copy(row[left:left+inside], src[b.src.pixel(n, h, 0):])
		clear(row[left+inside:])
	}
}
