package augment

// brightness blends with black. Source: torchvision adjust_brightness.
type brightness struct{ factor float32 }

func parseBrightness(a *arguments) operator { return &brightness{factor: a.factor()} }

func (op *brightness) apply(im raster, s *Scratch) (raster, error) {
	return s.adjustBrightness(im, op.factor), nil
}

func (s *Scratch) adjustBrightness(im raster, factor float32) raster {
	return s.blendAll(im, 0, factor)
}
