package augment

import (
	"image"

	"clpipe/internal/rng"
)

// centerCrop takes the middle of the picture, with black margins where the
// picture is smaller. Source: torchvision CenterCrop.
type centerCrop struct{ size extent }

func parseCenterCrop(a *arguments) operator { return &centerCrop{size: a.extent("size")} }

func (op *centerCrop) output() (extent, bool) { return op.size, true }

func (op *centerCrop) box(w, h int, _ *rng.Stream) image.Rectangle {
	x, y := centered(w, op.size.w), centered(h, op.size.h)
	return image.Rect(x, y, x+op.size.w, y+op.size.h)
}

func (op *centerCrop) apply(im raster, s *Scratch) (raster, error) {
	return s.window(im, op.box(im.w, im.h, nil)), nil
}

// centered returns where a crop of length n begins on an axis of length in.
// Halves round to even inside the picture, and up where margins are needed.
func centered(in, n int) int {
	if n > in {
		return -((n - in) / 2)
	}
	return roundHalfEven(float64(in-n) / 2)
}
