package augment

import "clpipe/internal/imagecodec"

// CropRegion returns the part of an image that the views of the sample read, ok
// false where that may be all of it.
func (p *Policy) CropRegion(w, h int, key SampleKey) (region imagecodec.Rect, ok bool) {
	c := p.crops(w, h, key)
	return rect(c.box), c.found
}
