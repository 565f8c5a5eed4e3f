package augment

import (
	"fmt"
	"image"
)

// subCrop takes a box a few pixels smaller, a random number of them, at a random
// place and puts it in the middle of a black picture of the old size. Source: van
// den Oord et al. 2018, appendix A.2, where patches of 64 pixels become crops of
// 60.
type subCrop struct{ least, most int } // pixels that a side loses

func parseSubCrop(a *arguments) operator {
	op := &subCrop{}
	op.least, op.most = a.integerSpan("margin", 2, 2, 0, maxSide)
	return op
}

func (op *subCrop) apply(im raster, s *Scratch) (raster, error) {
	margin := op.least
	if op.most > op.least {
		margin += s.draw.IntN(op.most - op.least + 1)
	}
	w, h := im.w-margin, im.h-margin
	if w < 1 || h < 1 {
		return raster{}, fmt.Errorf("got a picture of %dx%d, want more than the margin of %d", im.w, im.h, margin)
	}
	y, x := s.draw.IntN(margin+1), s.draw.IntN(margin+1)
	inner := im.crop(image.Rect(x, y, x+w, y+h))
	left, top := centered(w, im.w), centered(h, im.h)
	return s.window(inner, image.Rect(left, top, left+im.w, top+im.h)), nil
}
