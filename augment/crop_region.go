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
// is not its first operator, but for flips and those that look at single pixels.
func (p *Policy) CropRegion(w, h int, key SampleKey) (region imagecodec.Rect, ok bool) {
	if w < 1 || h < 1 {
		return imagecodec.Rect{}, false
	}
	id := rng.HashID(key.ID)
	whole := image.Rect(0, 0, w, h)
	first := firstCrop(p.shared, w, h, key, id, viewShared)
	box := first.box
	if !first.found {
		for v, steps := range p.views {
			if !first.clear {
				return imagecodec.Rect{}, false
			}
			of := firstCrop(steps, w, h, key, id, uint64(v))
			if !of.found {
				return imagecodec.Rect{}, false
			}
			of.box = of.box.Intersect(whole)
			if first.mirrored {
				of.box.Min.X, of.box.Max.X = w-of.box.Max.X, w-of.box.Min.X
			}
			box = box.Union(of.box)
		}
	}
	box = box.Intersect(whole)
	return imagecodec.Rect{X0: box.Min.X, Y0: box.Min.Y, X1: box.Max.X, Y1: box.Max.Y}, !box.Empty()
}

// Decode decodes a file for all views of the sample at once into img, from which
// Apply then makes them. Where the policy begins with crops, only what lies in
// one of them: they are drawn from the header's width and height, so they are
// known before a pixel is. Errors are the decoder's.
func (p *Policy) Decode(d *imagecodec.Decoder, file []byte, key SampleKey, img *imagecodec.Image) error {
	const small = 128 * 128 // pixels; below it there is nothing to gain
	info, err := d.ReadInfo(file)
	if err == nil && info.W*info.H > small {
		if region, ok := p.CropRegion(info.W, info.H, key); ok {
			return d.DecodeRegion(file, region, img)
		}
	}
	return d.Decode(file, img)
}

// cropFound is the box, in the picture that the steps are given, of the first
// crop that is applied. Without one, clear tells whether only operators on
// single pixels were met, and mirrored whether these left the picture mirrored.
type cropFound struct {
	box                    image.Rectangle
	found, clear, mirrored bool
}

func firstCrop(steps []step, w, h int, key SampleKey, id, view uint64) (c cropFound) {
	for i := range steps {
		draw := steps[i].stream(key, id, view)
		if !steps[i].applies(&draw) {
			continue
		}
		switch op := steps[i].op.(type) {
		case cropper:
			c.box, c.found = op.box(w, h, &draw), true
			if c.mirrored {
				c.box.Min.X, c.box.Max.X = w-c.box.Max.X, w-c.box.Min.X
			}
			return c
		case horizontalFlip:
			c.mirrored = !c.mirrored
		case *brightness, *saturation, *hue, grayscale, *solarize, colorDrop:
		default:
			return c
		}
	}
	c.clear = true
	return c
}
