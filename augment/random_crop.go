package augment

import (
	"fmt"
	"image"

	"clpipe/internal/rng"
)

// randomCrop takes a box of fixed size at a random place of the picture with a
// black margin. Source: torchvision RandomCrop.
type randomCrop struct {
	size        extent
	padding     int
	padIfNeeded bool // widen the margin by what the picture lacks
}

func parseRandomCrop(a *arguments) operator {
	return &randomCrop{
		size:        a.extent("size"),
		padding:     a.integer("padding", 0, 0, maxSide),
		padIfNeeded: a.boolean("pad_if_needed", false),
	}
}

func (op *randomCrop) output() (extent, bool) { return op.size, true }

// box draws the row before the column. An axis on which the crop does not fit
// begins at its margin; apply refuses such a picture.
func (op *randomCrop) box(w, h int, draw *rng.Stream) image.Rectangle {
	y := op.place(h, op.size.h, draw)
	x := op.place(w, op.size.w, draw)
	return image.Rect(x, y, x+op.size.w, y+op.size.h)
}

func (op *randomCrop) place(in, n int, draw *rng.Stream) int {
	margin := op.margin(in, n)
	return draw.IntN(max(in+2*margin-n, 0)+1) - margin
}

func (op *randomCrop) margin(in, n int) int {
	if missing := n - in - 2*op.padding; op.padIfNeeded && missing > 0 {
		return op.padding + missing
	}
	return op.padding
}

func (op *randomCrop) apply(im raster, s *Scratch) (raster, error) {
	if !op.fits(im.w, op.size.w) || !op.fits(im.h, op.size.h) {
		return raster{}, fmt.Errorf("got a picture of %dx%d with padding %d, want at least %dx%d, or pad_if_needed",
			im.w, im.h, op.padding, op.size.w, op.size.h)
	}
	return s.window(im, op.box(im.w, im.h, &s.draw)), nil
}

func (op *randomCrop) fits(in, n int) bool { return in+2*op.margin(in, n) >= n }
