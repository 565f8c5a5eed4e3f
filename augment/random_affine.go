package augment

import (
	"math"

	"clpipe/internal/rng"
)

// randomAffine is affine with a rotation, shift, scale and shear drawn from
// their ranges: each number of torchvision's arguments that stands for a range
// is the greatest distance from none. Source: torchvision RandomAffine.
type randomAffine struct {
	degrees        span
	translate      [2]float64 // greatest share of width and height
	scale          span
	shearX, shearY span
	affineSampling
}

func parseRandomAffine(a *arguments) operator {
	op := &randomAffine{}
	op.degrees = a.around("degrees", angleRange)
	shift := a.numbers("translate", []float64{0, 0}, interval{lo: 0, hi: 1}, 2)
	op.translate = [2]float64{shift[0], shift[1]}
	op.scale = a.span("scale", span{1, 1}, scaleRange)
	op.shearX, op.shearY = a.shears("shear")
	op.affineSampling = parseAffineSampling(a)
	return op
}

// pick draws a move, whatever is fixed, in torchvision's order.
func (op *randomAffine) pick(w, h int, draw *rng.Stream) (by affineMove) {
	by.angle = op.degrees.draw(draw)
	shift := func(share float64, side int) int {
		most := share * float64(side)
		return int(math.RoundToEven(draw.Uniform(-most, most)))
	}
	by.dx = shift(op.translate[0], w)
	by.dy = shift(op.translate[1], h)
	by.scale = op.scale.draw(draw)
	by.shearX, by.shearY = op.shearX.draw(draw), op.shearY.draw(draw)
	return by
}

func (op *randomAffine) apply(im raster, s *Scratch) (raster, error) {
	return s.affine(im, op.pick(im.w, im.h, &s.draw), op.affineSampling), nil
}
