package kernel

// A tiling covers the images of an activation with square tiles, row by row;
// tiles at the lower and right edge may reach beyond the image.
type tiling struct {
	n          int // images
	rows, cols int // tiles of an image
}

func newTiling(m image, size int) tiling {
	return tiling{n: m.n, rows: ceilDiv(m.h, size), cols: ceilDiv(m.w, size)}
}

func (t tiling) count() int { return t.n * t.rows * t.cols }

// at returns the image of tile i and its place among the tiles of the image.
func (t tiling) at(i int) (n, row, col int) {
	return i / (t.rows * t.cols), i / t.cols % t.rows, i % t.cols
}

// A window is the square of side x side pixels at some place of an image.
type window struct {
	image
	side int
	// inside are the offsets of the pixels from the first one, wherever the
	// window lies inside the image.
	inside []int
}

func newWindow(m image, side int) window {
	w := window{image: m, side: side}
	for i := range side {
		for j := range side {
			w.inside = append(w.inside, (i*m.w+j)*m.stride())
		}
	}
	return w
}

// contains tells whether the window at (h,w) lies inside the image.
func (v *window) contains(h, w int) bool {
	return h >= 0 && w >= 0 && h+v.side <= v.h && w+v.side <= v.w
}

// locate returns the offsets of the window's pixels at (h,w) of image n, from
// an offset of their own. Those outside the image are the zero pixel; edge is
// room for the offsets then.
func (v *window) locate(edge []int, n, h, w int) (first int, offsets []int) {
	if v.contains(h, w) {
		return v.pixel(n, h, w), v.inside
	}
	zero, stride := v.zeroPixel(), v.stride()
	left, right := min(max(0, -w), v.side), max(0, min(v.side, v.w-w))
	for i := range v.side {
		row := edge[i*v.side:][:v.side]
		for j := range row {
			row[j] = zero
		}
		if uint(h+i) >= uint(v.h) {
			continue
		}
		at := v.pixel(n, h+i, 0) + w*stride
		for j := left; j < right; j++ {
			row[j] = at + j*stride
		}
	}
	return 0, edge[:v.side*v.side]
}

// A spectrum is the layout of transformed tiles: for each point a matrix of a
// row a tile. Strides that are powers of two would make rows, and the points of
// a tile, compete for the same places of the cache: long rows are 16 floats
// longer than their channels, and matrices an odd number of cache lines apart.
type spectrum struct {
	points, tiles, channels int
	offsets                 []int // of the points
	rows                    []int // of the tiles of a point
}

// shortRow is the channels up to which a block of rows fits the first cache
// whatever its stride: without a gap it takes less of the second.
const shortRow = 32

func newSpectrum(points, tiles, channels int) spectrum {
	s := spectrum{points: points, tiles: tiles, channels: channels}
	for p := range points {
		s.offsets = append(s.offsets, p*s.pitch())
	}
	for t := range tiles {
		s.rows = append(s.rows, t*s.stride())
	}
	return s
}

func (s *spectrum) stride() int {
	if s.channels <= shortRow {
		return s.channels
	}
	return s.channels + lanes
}

// pitch is the distance of the points' matrices.
func (s *spectrum) pitch() int {
	lines := s.tiles * s.stride() / lanes
	return (lines | 1) * lanes
}

// len includes a line behind the last row: the height of a register tile need
// not divide the channels, and reads beyond them.
func (s *spectrum) len() int { return s.points*s.pitch() + lanes }
