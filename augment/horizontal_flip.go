package augment

// horizontalFlip mirrors left and right. Source: torchvision
// RandomHorizontalFlip.
type horizontalFlip struct{}

func parseHorizontalFlip(*arguments) operator { return horizontalFlip{} }

func (horizontalFlip) apply(im raster, s *Scratch) (raster, error) {
	// Not in place: vectors overlap by a byte, and a load must not wait for the
	// store before it.
	out := s.alike(im)
	for y := range im.h {
		active.mirror(out.row(y), im.row(y))
	}
	return out, nil
}

// mirrorGeneric writes the pixels of src in reverse; dst may be src.
func mirrorGeneric(dst, src []byte) {
	for i, j := 0, len(src)-3; i <= j; i, j = i+3, j-3 {
		a, b := src[i:i+3:i+3], src[j:j+3:j+3]
		a0, a1, a2 := a[0], a[1], a[2]
		b0, b1, b2 := b[0], b[1], b[2]
		left, right := dst[i:i+3:i+3], dst[j:j+3:j+3]
		left[0], left[1], left[2] = b0, b1, b2
		right[0], right[1], right[2] = a0, a1, a2
	}
}
