package sink

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
)

// Palette are the colours of things that are told apart: Okabe and Ito's, which the
// colour-blind tell apart as well.
var Palette = []color.RGBA{
	{0x00, 0x72, 0xb2, 255}, {0xd5, 0x5e, 0x00, 255}, {0x00, 0x9e, 0x73, 255},
	{0xcc, 0x79, 0xa7, 255}, {0xe6, 0x9f, 0x00, 255}, {0x56, 0xb4, 0xe9, 255}, {0x00, 0x00, 0x00, 255},
}

// paletteColor returns the colour of thing i.
func paletteColor(i int) color.RGBA { return Palette[i%len(Palette)] }

// A Mark is an object in a picture: its box, left, top, right and bottom in pixels,
// and its class, which decides the colour.
type Mark struct {
	Box   [4]float64
	Class int
}

// Marked returns what a sheet shows of the picture with the outlines of objects.
func (p Picture) Marked(marks []Mark) Picture {
	small := p.Shown()
	across, down := float64(small.W)/float64(p.W), float64(small.H)/float64(p.H)
	for _, m := range marks {
		x0, x1 := span(m.Box[0]*across, m.Box[2]*across, small.W)
		y0, y1 := span(m.Box[1]*down, m.Box[3]*down, small.H)
		c := paletteColor(m.Class)
		for x := x0; x <= x1; x++ {
			small.set(x, y0, c)
			small.set(x, y1, c)
		}
		for y := y0; y <= y1; y++ {
			small.set(x0, y, c)
			small.set(x1, y, c)
		}
	}
	return small
}

// span returns the first and the last of n pixels that an interval touches; one that
// is no number touches the first.
func span(from, to float64, n int) (first, last int) {
	inside := func(v float64) int {
		if !(v > 0) {
			return 0
		}
		return int(min(v, float64(n-1)))
	}
	return inside(math.Floor(from)), inside(math.Ceil(to) - 1)
}

func (p Picture) set(x, y int, c color.RGBA) {
	copy(p.Pix[3*(y*p.W+x):], []byte{c.R, c.G, c.B})
}

// writeClasses sets the names of classes, each behind a square of its colour, on a
// line that ends at right.
func writeClasses(img *image.RGBA, face font.Face, classes []string, left, right, y int) {
	const square = 10
	for i, name := range classes {
		width := square + gap/2 + font.MeasureString(face, name).Ceil()
		if left+width > right {
			return
		}
		top := y + (lineSkip-square)/2
		fill(img, image.Rect(left, top, left+square, top+square), paletteColor(i))
		d := font.Drawer{Dst: img, Src: image.NewUniform(ink), Face: face, Dot: fixed.Point26_6{X: fixed.I(left + square + gap/2), Y: fixed.I(y) + face.Metrics().Ascent}}
		d.DrawString(name)
		left += width + 2*gap
	}
}
