package augment

import (
	"fmt"
	"image"
)

// resize scales the picture: to an exact height and width, or its short side to
// a length and the long side in proportion, rounded down. Source: torchvision
// Resize, Pillow Image.resize; crop_pct, in place of size, is timm's.
type resize struct {
	short  int    // 0: exact holds
	exact  extent // if short is 0
	filter *filter
}

func parseResize(a *arguments) operator {
	op := &resize{}
	if a.has("crop_pct") {
		op.short = a.shortSideForCrop("crop_pct", "size")
	} else {
		op.short, op.exact = a.sideOrExtent("size")
	}
	op.filter = a.interpolation()
	return op
}

func (op *resize) output() (extent, bool) { return op.exact, op.short == 0 }

func (op *resize) apply(im raster, s *Scratch) (raster, error) {
	w, h, err := op.scaled(im)
	if err != nil {
		return raster{}, err
	}
	return s.resample(im, op.filter, w, h, image.Rect(0, 0, w, h))
}

// scaled returns the width and height that im becomes.
func (op *resize) scaled(im raster) (w, h int, err error) {
	if op.short == 0 {
		return op.exact.w, op.exact.h, nil
	}
	long := int64(op.short) * int64(max(im.w, im.h)) / int64(min(im.w, im.h))
	if long != int64(int(long)) {
		return 0, 0, fmt.Errorf("long side of %d pixels, too large", long)
	}
	if im.w <= im.h {
		return op.short, int(long), nil
	}
	return int(long), op.short, nil
}

// resizeCenterCrop is a resize followed by a centre crop, of which it computes
// only the pixels that remain.
type resizeCenterCrop struct {
	resize     *resize
	centerCrop *centerCrop
}

func (op *resizeCenterCrop) apply(im raster, s *Scratch) (raster, error) {
	w, h, err := op.resize.scaled(im)
	if err != nil {
		return raster{}, err
	}
	whole := image.Rect(0, 0, w, h)
	if window := op.centerCrop.box(w, h, nil); window.In(whole) {
		return s.resample(im, op.resize.filter, w, h, window)
	}
	im, err = s.resample(im, op.resize.filter, w, h, whole)
	if err != nil {
		return raster{}, err
	}
	return op.centerCrop.apply(im, s)
}
