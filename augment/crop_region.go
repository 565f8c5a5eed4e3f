package augment

import (
	"image"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

func rect(box image.Rectangle) imagecodec.Rect {
	return imagecodec.Rect{X0: box.Min.X, Y0: box.Min.Y, X1: box.Max.X, Y1: box.Max.Y}
}

// crops returns the part of a w x h image that the views of the sample read, so
// that a decoder may leave out the rest: the box around the boxes of all views,
// inside the image. Apply gives the same views for an image that is right inside it
// only. None is found where a view may read the whole image: where a crop is not its
// first operator, but for flips and those that look at single pixels.
func (p *Policy) crops(w, h int, key SampleKey) cropFound {
	if w < 1 || h < 1 {
		return cropFound{}
	}
	id := rng.HashID(key.ID)
	all := firstCrop(p.shared, w, h, key, id, viewShared)
	if !all.found {
		if !all.clear {
			return cropFound{}
		}
		mirrored := all.mirrored
		all.scale = imagecodec.Scales[0]
		locals, _ := p.Locals()
		for v := range p.Views() + locals {
			view := uint64(v)
			var steps []step
			if v < p.Views() {
				steps = p.views[v]
			} else {
				view = viewLocal + uint64(v-p.Views())
				steps = p.local.steps
			}
			of := firstCrop(steps, w, h, key, id, view)
			if !of.found {
				return cropFound{}
			}
			if mirrored {
				of.mirrorBox(w)
			}
			of.box = of.box.Intersect(image.Rect(0, 0, w, h))
			all.box, all.scale = all.box.Union(of.box), min(all.scale, of.scale)
			all.mirrored = all.mirrored || of.mirrored
		}
	}
	all.box = all.box.Intersect(image.Rect(0, 0, w, h))
	all.found = !all.box.Empty()
	return all
}

// Decode decodes a file for all views of the sample at once into img, from which
// Apply then makes them. Where the policy begins with crops, only what lies in
// one of them: they are drawn from the header's width and height, so they are
// known before a pixel is. With fast decode a JPEG is decoded at the smallest
// scale at which every view's crop still has the pixels of the view. Errors are
// the decoder's.
func (p *Policy) Decode(d *imagecodec.Decoder, file []byte, key SampleKey, img *imagecodec.Image) error {
	const small = 128 * 128 // pixels; below it there is nothing to gain
	info, err := d.ReadInfo(file)
	if err != nil || info.W*info.H <= small {
		return d.Decode(file, img)
	}
	c := p.crops(info.W, info.H, key)
	if !c.found {
		return d.Decode(file, img)
	}
	if scale := p.decodeScale(info, c); scale > 1 {
		return d.DecodeScaled(file, scale, rect(reduced(c.box, scale).bounds()), img)
	}
	return d.DecodeRegion(file, rect(c.box), img)
}

// decodeScale returns the scale 1/n at which to decode a file for crops. A picture
// that is mirrored or turned before its crop must have whole pixels at that scale,
// across or both ways: counted from the other end they would lie elsewhere.
func (p *Policy) decodeScale(info imagecodec.Info, c cropFound) int {
	if !p.fastDecode || info.Format != "jpeg" {
		return 1
	}
	n := c.scale
	for (c.mirrored || info.Turned) && info.W%n != 0 || info.Turned && info.H%n != 0 {
		n /= 2
	}
	return n
}

// cropFound is the box, in the picture that the steps are given, of the first
// crop that is applied, and n of the smallest scale 1/n at which the picture may be
// decoded for it. mirrored tells whether it is cut out of a mirrored picture.
// Without a crop, clear tells whether only operators on single pixels were met, and
// mirrored whether these left the picture mirrored.
type cropFound struct {
	box                    image.Rectangle
	scale                  int
	found, clear, mirrored bool
}

// mirrorBox counts the box from the other side of a picture of width w.
func (c *cropFound) mirrorBox(w int) { c.box.Min.X, c.box.Max.X = w-c.box.Max.X, w-c.box.Min.X }

func firstCrop(steps []step, w, h int, key SampleKey, id, view uint64) (c cropFound) {
	for i := range steps {
		draw := steps[i].stream(key, id, view)
		if !steps[i].applies(&draw) {
			continue
		}
		op, isCrop := steps[i].op.(cropper)
		switch {
		case isCrop:
			c.box, c.found, c.scale = op.box(w, h, &draw), true, 1
			if resized, ok := op.(*randomResizedCrop); ok {
				c.scale = resized.scaleFor(c.box)
			}
			if c.mirrored {
				c.mirrorBox(w)
			}
			return c
		case !leavesPixels(steps[i].op):
			return c
		default:
			if _, flips := steps[i].op.(horizontalFlip); flips {
				c.mirrored = !c.mirrored
			}
		}
	}
	c.clear = true
	return c
}

// leavesPixels tells whether an operator's pixels come from one pixel each, at its
// place or the mirrored one.
func leavesPixels(op operator) bool {
	switch op.(type) {
	case horizontalFlip, *brightness, *saturation, *hue, grayscale, *solarize, colorDrop:
		return true
	}
	return false
}
