package imagecodec

// upsampling is how a component comes to the size of the picture. Which one is
// used where, and every rounding, is libjpeg-turbo's.
type upsampling int

const (
	upsampleNone upsampling = iota
	// The triangle filter: a sample is 3/4 the nearer and 1/4 the farther
	// neighbour, in each direction that is doubled.
	triangleH2
	triangleV2
	triangleH2V2
	upsampleReplicate
)

// upsamplingFor chooses by the factors across and down, and by the component's
// width: the horizontal filters want three samples.
func upsamplingFor(across, down, width int) upsampling {
	switch {
	case across == 1 && down == 1:
		return upsampleNone
	case across == 1 && down == 2:
		return triangleV2
	case across == 2 && down == 1 && width > 2:
		return triangleH2
	case across == 2 && down == 2 && width > 2:
		return triangleH2V2
	}
	return upsampleReplicate
}

// usesNeighbourRows tells whether an output row needs two rows of samples.
func (u upsampling) usesNeighbourRows() bool { return u == triangleV2 || u == triangleH2V2 }

// usesNeighbourColumns tells whether a sample depends on those beside it.
func (u upsampling) usesNeighbourColumns() bool { return u == triangleH2 || u == triangleH2V2 }

func upsampleH2Generic(dst, src []byte) {
	last := len(src) - 1
	dst = dst[:2*len(src)]
	left := int32(src[0])
	for i, v := range src[:last] {
		here, right := int32(v), int32(src[i+1])
		dst[2*i] = byte((3*here + left + 1) >> 2)
		dst[2*i+1] = byte((3*here + right + 2) >> 2)
		left = here
	}
	dst[2*last] = byte((3*int32(src[last]) + left + 1) >> 2)
	dst[2*last+1] = src[last]
}

// The first and last samples have themselves as neighbour. In upsampleH2 that
// gives (4v+1)>>2 = v, in upsampleH2V2 (4v+8)>>4 and (4v+7)>>4.
func upsampleH2V2Generic(dst, near, far []byte) {
	last := len(near) - 1
	far = far[:len(near)]
	dst = dst[:2*len(near)]
	here := 3*int32(near[0]) + int32(far[0])
	left := here
	for i, v := range near[1:] {
		right := 3*int32(v) + int32(far[i+1])
		dst[2*i] = byte((3*here + left + 8) >> 4)
		dst[2*i+1] = byte((3*here + right + 7) >> 4)
		left, here = here, right
	}
	dst[2*last] = byte((3*here + left + 8) >> 4)
	dst[2*last+1] = byte((4*here + 7) >> 4)
}

// upsampleV2 mixes two rows; bias is 1 for the upper of the two output rows
// and 2 for the lower.
func upsampleV2(dst, near, far []byte, bias int32) {
	far, dst = far[:len(near)], dst[:len(near)]
	for i, v := range near {
		dst[i] = byte((3*int32(v) + int32(far[i]) + bias) >> 2)
	}
}

func replicate(dst, src []byte, across int) {
	for i, v := range src {
		for j := range across {
			dst[i*across+j] = v
		}
	}
}
