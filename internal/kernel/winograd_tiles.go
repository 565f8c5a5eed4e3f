package kernel

import "slices"

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

// A tile is a place in a tiling: an image, and a row and a column of its tiles.
type tile struct{ n, row, col int }

// at returns tile i.
func (t tiling) at(i int) tile {
	return tile{n: i / (t.rows * t.cols), row: i / t.cols % t.rows, col: i % t.cols}
}

// after returns the tile that follows.
func (t tiling) after(at tile) tile {
	if at.col++; at.col < t.cols {
		return at
	}
	at.col = 0
	if at.row++; at.row < t.rows {
		return at
	}
	at.row = 0
	at.n++
	return at
}

// windows are the squares of side x side pixels of an image that the tiles of a
// tiling are made of, or are.
type windows struct {
	image
	side       int
	rows, cols axis
	kinds      []windowKind // by kind of row and of column
}

// A windowKind is the windows that reach as far beyond the image on each side.
type windowKind struct {
	offsets         []int // of the pixels from the first one inside the image
	inside, outside []int // the numbers of those that are, and are not
}

// An axis is the places of windows in one dimension.
type axis struct {
	first []int // pixel inside the image, by tile
	kind  []int // by tile
	kinds []span
}

// A span is the pixels from..to of a window that lie inside the image.
type span struct{ from, to int }

// newAxis places windows that begin at -lead and are step apart.
func newAxis(tiles, side, lead, step, size int) axis {
	var a axis
	for t := range tiles {
		at := t*step - lead
		s := span{max(0, -at), min(side, size-at)}
		kind := slices.Index(a.kinds, s)
		if kind < 0 {
			kind = len(a.kinds)
			a.kinds = append(a.kinds, s)
		}
		a.first, a.kind = append(a.first, at+s.from), append(a.kind, kind)
	}
	return a
}

// newWindows returns windows of which the first begins lead pixels before the
// image and each step pixels behind the one before it.
func newWindows(m image, t tiling, side, lead, step int) windows {
	w := windows{
		image: m,
		side:  side,
		rows:  newAxis(t.rows, side, lead, step, m.h),
		cols:  newAxis(t.cols, side, lead, step, m.w),
	}
	for _, row := range w.rows.kinds {
		for _, col := range w.cols.kinds {
			var kind windowKind
			for i := range side {
				for j := range side {
					if i >= row.from && i < row.to && j >= col.from && j < col.to {
						kind.inside = append(kind.inside, len(kind.offsets))
					} else {
						kind.outside = append(kind.outside, len(kind.offsets))
					}
					kind.offsets = append(kind.offsets, ((i-row.from)*m.w+j-col.from)*m.stride())
				}
			}
			w.kinds = append(w.kinds, kind)
		}
	}
	return w
}

// locate returns the offset of the first pixel of a tile's window that lies
// inside the image, and where from it the others are.
func (v *windows) locate(t tile) (first int, pixels *windowKind) {
	first = v.pixel(t.n, v.rows.first[t.row], v.cols.first[t.col])
	return first, &v.kinds[v.rows.kind[t.row]*len(v.cols.kinds)+v.cols.kind[t.col]]
}

// A finder is what a worker finds the pixels of windows with.
type finder struct {
	*windows
	offsets []int // of a window that reaches beyond the image
}

func newFinder(v *windows) finder { return finder{v, make([]int, v.side*v.side)} }

// find returns the offsets of the pixels of a tile's window, from an offset of
// their own. Those outside the image are the zero pixel. They hold until the
// next call.
func (f *finder) find(t tile) (first int, offsets []int) {
	first, pixels := f.locate(t)
	if len(pixels.outside) == 0 {
		return first, pixels.offsets
	}
	copy(f.offsets, pixels.offsets)
	zero := f.zeroPixel() - first
	for _, i := range pixels.outside {
		f.offsets[i] = zero
	}
	return first, f.offsets
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
