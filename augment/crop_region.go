package augment

import (
	"image"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// CropRegion returns the part of a w x h image that the views of the sample
// read, so that a decoder may leave out the rest: the box around the boxes of
// all views. Apply gives the same views for an image that is right inside the
// region only. ok is false where a view may read the whole image: where a crop
// is not its first operator, but for those that look at single pixels.
func (p *Policy) CropRegion(w, h int, key SampleKey) (region imagecodec.Rect, ok bool) {
	if w < 1 || h < 1 {
		return imagecodec.Rect{}, false
	}
	id := rng.HashID(key.ID)
	whole := image.Rect(0, 0, w, h)
	box, found, clear := firstCrop(p.shared, w, h, key, id, viewShared)
	if !found {
		for v, steps := range p.views {
			if !clear {
				return imagecodec.Rect{}, false
			}
			var b image.Rectangle
			if b, found, _ = firstCrop(steps, w, h, key, id, uint64(v)); !found {
				return imagecodec.Rect{}, false
			}
			box = box.Union(b.Intersect(whole))
		}
	}
	box = box.Intersect(whole)
	return imagecodec.Rect{X0: box.Min.X, Y0: box.Min.Y, X1: box.Max.X, Y1: box.Max.Y}, !box.Empty()
}

// firstCrop returns the box of the first crop that is applied. Without one,
// clear tells whether only operators on single pixels were met.
func firstCrop(steps []step, w, h int, key SampleKey, id, view uint64) (box image.Rectangle, found, clear bool) {
	for i := range steps {
		draw := steps[i].stream(key, id, view)
		if !steps[i].applies(&draw) {
			continue
		}
		switch op := steps[i].op.(type) {
		case cropper:
			return op.box(w, h, &draw), true, false
		case *brightness, *saturation, *hue, grayscale, *solarize:
		default:
			return image.Rectangle{}, false, false
		}
	}
	return image.Rectangle{}, false, true
}
