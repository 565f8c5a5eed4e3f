package augment

// colorDrop leaves one of the three channels, drawn, and blackens the others, so
// that colours cannot tell which patches are of one picture. Source: Hénaff et
// al. 2020, section 3.
type colorDrop struct{}

func parseColorDrop(*arguments) operator { return colorDrop{} }

func (colorDrop) apply(im raster, s *Scratch) (raster, error) {
	keep := s.draw.IntN(3)
	return s.pixelwise(im, func(dst, src []byte) {
		dst = dst[:len(src)]
		for i := keep; i < len(src); i += 3 {
			v := src[i]
			dst[i-keep], dst[i-keep+1], dst[i-keep+2] = 0, 0, 0
			dst[i] = v
		}
	}), nil
}
