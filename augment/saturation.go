package augment

// saturation blends every pixel with its grey level. Source: torchvision
// adjust_saturation.
type saturation struct{ factor float32 }

func parseSaturation(a *arguments) operator { return &saturation{factor: a.factor()} }

func (op *saturation) apply(im raster, s *Scratch) (raster, error) {
	return s.adjustSaturation(im, op.factor), nil
}

func (s *Scratch) adjustSaturation(im raster, factor float32) raster {
	return s.pixelwise(im, func(dst, src []byte) { active.saturate(dst, src, factor) })
}

func saturateGeneric(dst, src []byte, factor float32) {
	dst = dst[:len(src)]
	for i := 0; i+2 < len(src); i += 3 {
		r, g, b := src[i], src[i+1], src[i+2]
		grey := luma(r, g, b)
		dst[i], dst[i+1], dst[i+2] = blend(grey, r, factor), blend(grey, g, factor), blend(grey, b, factor)
	}
}
