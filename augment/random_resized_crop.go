package augment

import (
	"image"
	"math"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// cropTries is how often torchvision draws a box before it takes the centre.
const cropTries = 10

// randomResizedCrop takes a box of random area and aspect ratio and scales it to
// size. The filter never reads outside the box. Source: torchvision
// RandomResizedCrop.
type randomResizedCrop struct {
	size   extent
	scale  span // share of the picture's area
	ratio  span // width / height
	filter *filter
}

func parseRandomResizedCrop(a *arguments) operator {
	return &randomResizedCrop{
		size:   a.extent("size"),
		scale:  a.span("scale", span{0.08, 1}, interval{lo: 0, hi: 1, above: true}),
		ratio:  a.span("ratio", span{3. / 4, 4. / 3}, interval{lo: 0.01, hi: 100}),
		filter: a.interpolation(),
	}
}

func (op *randomResizedCrop) output() (extent, bool) { return op.size, true }

func (op *randomResizedCrop) box(w, h int, draw *rng.Stream) image.Rectangle {
	area := float64(w) * float64(h)
	for range cropTries {
		target := float64(area * op.scale.draw(draw))
		ratio := math.Exp(draw.Uniform(math.Log(op.ratio.lo), math.Log(op.ratio.hi)))
		bw := roundHalfEven(math.Sqrt(target * ratio))
		bh := roundHalfEven(math.Sqrt(target / ratio))
		if 0 < bw && bw <= w && 0 < bh && bh <= h {
			y := draw.IntN(h - bh + 1)
			x := draw.IntN(w - bw + 1)
			return image.Rect(x, y, x+bw, y+bh)
		}
	}
	return op.centralBox(w, h)
}

// centralBox is the largest box in the middle whose aspect ratio is allowed. At
// least one pixel remains of a picture thinner than the ratios reach.
func (op *randomResizedCrop) centralBox(w, h int) image.Rectangle {
	bw, bh := w, h
	switch in := float64(w) / float64(h); {
	case in < op.ratio.lo:
		bh = min(max(roundHalfEven(float64(w)/op.ratio.lo), 1), h)
	case in > op.ratio.hi:
		bw = min(max(roundHalfEven(float64(h)*op.ratio.hi), 1), w)
	}
	x, y := (w-bw)/2, (h-bh)/2
	return image.Rect(x, y, x+bw, y+bh)
}

// scaleFor returns n of the smallest scale 1/n at which a box of a picture still has
// the pixels of the result.
func (op *randomResizedCrop) scaleFor(box image.Rectangle) int {
	for _, n := range imagecodec.Scales {
		if box.Dx() >= n*op.size.w && box.Dy() >= n*op.size.h {
			return n
		}
	}
	return 1
}

// apply draws the box on the whole picture, so that it is the same one whatever
// scale the picture was decoded at.
func (op *randomResizedCrop) apply(im raster, s *Scratch) (raster, error) {
	return op.resize(im, op.box(im.whole.w, im.whole.h, &s.draw), s)
}

// resize scales a box of the whole picture to size. Of a picture decoded at a
// smaller scale the box may begin and end inside pixels; those are read, and none
// beyond them.
func (op *randomResizedCrop) resize(im raster, box image.Rectangle, s *Scratch) (raster, error) {
	part := reduced(box, im.scale)
	pixels := part.bounds()
	left, top := float64(pixels.Min.X), float64(pixels.Min.Y)
	part = area{part.x0 - left, part.y0 - top, part.x1 - left, part.y1 - top}
	return s.resampleArea(im.crop(pixels), part, op.filter, op.size.w, op.size.h, image.Rect(0, 0, op.size.w, op.size.h))
}
