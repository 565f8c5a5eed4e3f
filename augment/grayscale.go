package augment

// grayscale puts every pixel's grey level into its three channels. Source:
// torchvision RandomGrayscale.
type grayscale struct{}

func parseGrayscale(*arguments) operator { return grayscale{} }

func (grayscale) apply(im raster, s *Scratch) (raster, error) {
	return s.pixelwise(im, active.grey), nil
}

func greyGeneric(dst, src []byte) {
	dst = dst[:len(src)]
	for i := 0; i+2 < len(src); i += 3 {
		grey := luma(src[i], src[i+1], src[i+2])
		dst[i], dst[i+1], dst[i+2] = grey, grey, grey
	}
}
