package augment

import (
	"image"

	"clpipe/internal/rng"
)

// A cropper takes a box out of the picture. It tells the box before it sees
// pixels, so that a decoder may be asked for that region alone.
type cropper interface {
	operator
	// box returns the box for a picture of w x h pixels; it may reach outside.
	box(w, h int, draw *rng.Stream) image.Rectangle
}

// crop takes a fixed box, black outside the picture. Source: Pillow Image.crop.
type crop struct{ at image.Rectangle }

func parseCrop(a *arguments) operator { return &crop{at: a.box("box")} }

func (op *crop) output() (extent, bool) { return extent{op.at.Dy(), op.at.Dx()}, true }

func (op *crop) box(int, int, *rng.Stream) image.Rectangle { return op.at }

func (op *crop) apply(im raster, s *Scratch) (raster, error) { return s.window(im, op.at), nil }
