package augment

import (
	"image"
	"math"
)

// affine rotates, shifts, scales and shears the picture around its centre, which
// the shift moves with it, and fills what comes from outside. Source:
// torchvision's functional affine on a PIL image, that is Pillow's
// Image.transform, but for bicubic interpolation.
type affine struct {
	by affineMove
	affineSampling
}

// An affineMove is what an affine operator does, in degrees clockwise and in
// pixels to the right and down.
type affineMove struct {
	angle  float64
	dx, dy int
	scale  float64
	shearX float64 // along the x-axis
	shearY float64
}

// affineSampling says how a pixel comes from its place between others.
type affineSampling struct {
	bilinear bool // or the nearest
	fill     [3]byte
}

// Ranges of what a move takes. A shear of a right angle has no inverse.
var (
	angleRange = interval{lo: -360, hi: 360}
	scaleRange = interval{lo: 0.01, hi: 100}
	shearRange = interval{lo: -89, hi: 89}
)

func parseAffine(a *arguments) operator {
	op := &affine{}
	op.by.angle = a.number("angle", 0, angleRange)
	shift := a.integers("translate", [2]int{}, -maxSide, maxSide)
	op.by.dx, op.by.dy = shift[0], shift[1]
	op.by.scale = a.number("scale", 1, scaleRange)
	shear := a.numbers("shear", []float64{0, 0}, shearRange, 2)
	op.by.shearX, op.by.shearY = shear[0], shear[1]
	op.affineSampling = parseAffineSampling(a)
	return op
}

func parseAffineSampling(a *arguments) affineSampling {
	s := affineSampling{bilinear: a.choice("interpolation", "nearest", "nearest", "bilinear") == "bilinear"}
	s.fill = a.color("fill")
	return s
}

func (op *affine) apply(im raster, s *Scratch) (raster, error) {
	return s.affine(im, op.by, op.affineSampling), nil
}

// source returns the matrix that leads from a point of the result back to the
// picture: x = m0·X + m1·Y + m2, y = m3·X + m4·Y + m5. The operations and their
// order are torchvision's, since a place in the middle between two pixels turns
// on the last bit.
func (by affineMove) source(w, h int) (m [6]float64) {
	pi := math.Pi // not constant: the quotient is Python's, rounded twice
	radian := pi / 180
	rot, sx, sy := by.angle*radian, by.shearX*radian, by.shearY*radian
	cx, cy := float64(w)*0.5, float64(h)*0.5
	tx, ty := float64(by.dx), float64(by.dy)

	cosine, sine, tangent, across := math.Cos(rot-sy), math.Sin(rot-sy), math.Tan(sx), math.Cos(sy)
	a := cosine / across
	b := float64(-cosine*tangent/across) - math.Sin(rot)
	c := sine / across
	d := float64(-sine*tangent/across) + math.Cos(rot)

	m = [6]float64{d, -b, 0, -c, a, 0}
	for i := range m {
		m[i] /= by.scale
	}
	m[2] += float64(m[0]*(-cx-tx)) + float64(m[1]*(-cy-ty))
	m[5] += float64(m[3]*(-cx-tx)) + float64(m[4]*(-cy-ty))
	m[2] += cx
	m[5] += cy
	return m
}

// affine returns what a move makes of im.
func (s *Scratch) affine(im raster, by affineMove, how affineSampling) raster {
	out := s.fresh(im, im.w, im.h)
	m := by.source(im.w, im.h)
	switch {
	case how.bilinear:
		transformBilinear(out, im, m, how.fill)
	case m[1] == 0 && m[3] == 0 || !fitsFixed(m, im.w, im.h):
		transformNearest(out, im, m, how.fill)
	default:
		transformFixed(out, im, m, how.fill)
	}
	return out
}

// fitsFixed tells whether the corners stay in the range of Pillow's numbers of
// 16 bits before and after the point.
func fitsFixed(m [6]float64, w, h int) bool {
	for _, p := range [...]image.Point{{0, 0}, {w, h}, {0, h}, {w, 0}} {
		x, y := float64(p.X), float64(p.Y)
		if !(math.Abs(float64(x*m[0])+float64(y*m[1])+m[2]) < 32768 && math.Abs(float64(x*m[3])+float64(y*m[4])+m[5]) < 32768) {
			return false
		}
	}
	return true
}

// transformFixed takes the nearest pixel by numbers of 16 bits after the point,
// as Pillow does for all but pure scaling.
func transformFixed(out, im raster, m [6]float64, fill [3]byte) {
	fix := func(v float64) int32 { return int32(math.Floor(float64(v*65536) + 0.5)) }
	stepX, stepY := fix(m[0]), fix(m[3])
	rowX, rowY := fix(m[2]+float64(m[0]*0.5)+float64(m[1]*0.5)), fix(m[5]+float64(m[3]*0.5)+float64(m[4]*0.5))
	downX, downY := fix(m[1]), fix(m[4])
	w, h, stride, pix := uint32(im.w), uint32(im.h), im.stride, im.pix
	for v := range out.h {
		dst := out.row(v)
		x, y := rowX, rowY
		for i := 0; i+2 < len(dst); i += 3 {
			p := fill[:]
			if from, row := uint32(x>>16), uint32(y>>16); from < w && row < h {
				p = pix[int(row)*stride+3*int(from):]
			}
			dst[i], dst[i+1], dst[i+2] = p[0], p[1], p[2]
			x, y = x+stepX, y+stepY
		}
		rowX, rowY = rowX+downX, rowY+downY
	}
}

// transformNearest takes the nearest pixel by adding up steps in float64, as
// Pillow does for pure scaling and places far outside.
func transformNearest(out, im raster, m [6]float64, fill [3]byte) {
	rowX, rowY := m[2]+float64(m[1]*0.5)+float64(m[0]*0.5), m[5]+float64(m[4]*0.5)+float64(m[3]*0.5)
	for v := range out.h {
		dst := out.row(v)
		x, y := rowX, rowY
		for i := 0; i+2 < len(dst); i += 3 {
			if x < 0 || y < 0 {
				copy(dst[i:i+3], fill[:])
			} else {
				put(dst[i:i+3], &im, int(x), int(y), fill)
			}
			x, y = x+m[0], y+m[3]
		}
		rowX, rowY = rowX+m[1], rowY+m[4]
	}
}

// put sets a pixel to that of im at (x,y), or to fill outside.
func put(dst []byte, im *raster, x, y int, fill [3]byte) {
	dst = dst[:3:3]
	if uint(x) >= uint(im.w) || uint(y) >= uint(im.h) {
		dst[0], dst[1], dst[2] = fill[0], fill[1], fill[2]
		return
	}
	p := im.pix[y*im.stride+3*x:][:3:3]
	dst[0], dst[1], dst[2] = p[0], p[1], p[2]
}

// transformBilinear weighs the four pixels around a place, those of the edge
// twice where there are no others, in float64 and without rounding at the end,
// as Pillow does.
func transformBilinear(out, im raster, m [6]float64, fill [3]byte) {
	w, h := float64(im.w), float64(im.h)
	for v := range out.h {
		dst := out.row(v)
		down := float64(v) + 0.5
		downX, downY := float64(m[1]*down), float64(m[4]*down)
		for u := range out.w {
			right := float64(u) + 0.5
			x, y := float64(m[0]*right)+downX+m[2], float64(m[3]*right)+downY+m[5]
			to := dst[3*u:][:3:3]
			if !(x >= 0 && x < w && y >= 0 && y < h) {
				to[0], to[1], to[2] = fill[0], fill[1], fill[2]
				continue
			}
			x, y = x-0.5, y-0.5
			left, top := int(x+1)-1, int(y+1)-1 // floors: both are above -1
			dx, dy := x-float64(left), y-float64(top)
			x0, x1 := 3*max(left, 0), 3*min(left+1, im.w-1)
			above := im.row(max(top, 0))
			a, b := above[x0:][:3:3], above[x1:][:3:3]
			c, d := a, b
			if top+1 < im.h {
				below := im.row(top + 1)
				c, d = below[x0:][:3:3], below[x1:][:3:3]
			}
			to[0] = between(a[0], b[0], c[0], d[0], dx, dy)
			to[1] = between(a[1], b[1], c[1], d[1], dx, dy)
			to[2] = between(a[2], b[2], c[2], d[2], dx, dy)
		}
	}
}

// between weighs four bytes.
func between(a, b, c, d byte, dx, dy float64) byte {
	upper := bytesAsFloats[a] + float64((bytesAsFloats[b]-bytesAsFloats[a])*dx)
	lower := bytesAsFloats[c] + float64((bytesAsFloats[d]-bytesAsFloats[c])*dx)
	return byte(int32(upper + float64((lower-upper)*dy)))
}

// bytesAsFloats spares a conversion for every channel of four pixels.
var bytesAsFloats = func() (v [256]float64) {
	for i := range v {
		v[i] = float64(i)
	}
	return v
}()
