package augment

// contrast blends with the mean grey level of the picture. Source: torchvision
// adjust_contrast.
type contrast struct{ factor float32 }

func parseContrast(a *arguments) operator { return &contrast{factor: a.factor()} }

func (op *contrast) apply(im raster, s *Scratch) (raster, error) {
	return s.adjustContrast(im, op.factor), nil
}

func (s *Scratch) adjustContrast(im raster, factor float32) raster {
	return s.blendAll(im, meanLuma(im), factor)
}

// meanLuma is the mean grey level, halves rounded up.
func meanLuma(im raster) byte {
	var sum int64
	for y := range im.h {
		sum += active.sumLuma(im.row(y))
	}
	return byte(float64(sum)/(float64(im.w)*float64(im.h)) + 0.5)
}

func sumLumaGeneric(row []byte) (sum int64) {
	for ; len(row) >= 3; row = row[3:] {
		sum += int64(luma(row[0], row[1], row[2]))
	}
	return sum
}
