package imagecodec

// Conversion of JFIF: R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr,
// B = Y + 1.772 Cb, with Cb and Cr centred, in 16-bit fixed point.
const (
	crToR = 91881
	cbToG = 22554
	crToG = 46802
	cbToB = 116130
	half  = 1 << 15
)

func rgbFromYCbCrGeneric(dst, y, cb, cr []byte) {
	cb, cr, dst = cb[:len(y)], cr[:len(y)], dst[:3*len(y)]
	for i, v := range y {
		y, cb, cr := int32(v), int32(cb[i])-128, int32(cr[i])-128
		dst[3*i] = clamp(y + (crToR*cr+half)>>16)
		dst[3*i+1] = clamp(y + (-cbToG*cb-crToG*cr+half)>>16)
		dst[3*i+2] = clamp(y + (cbToB*cb+half)>>16)
	}
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		return byte(^v >> 31) // 0 below, 255 above
	}
	return byte(v)
}

func rgbFromGray(dst, y []byte) {
	dst = dst[:3*len(y)]
	for i, v := range y {
		dst[3*i], dst[3*i+1], dst[3*i+2] = v, v, v
	}
}

func rgbFromPlanes(dst, r, g, b []byte) {
	dst, g, b = dst[:3*len(r)], g[:len(r)], b[:len(r)]
	for i, v := range r {
		dst[3*i], dst[3*i+1], dst[3*i+2] = v, g[i], b[i]
	}
}

// invert turns ink as Adobe stores it in CMYK files into the ink Pillow
// converts, and back.
func invert(p []byte) {
	for i, v := range p {
		p[i] = 255 - v
	}
}

// applyBlack turns pixels of cyan, magenta and yellow ink into RGB. light is
// the complement of the black ink, which is what Adobe's files hold. The
// rounding of the product is Pillow's.
func applyBlack(dst, light []byte) {
	dst = dst[:3*len(light)]
	for i, l := range light {
		for c := range 3 {
			t := uint32(dst[3*i+c])*uint32(l) + 128
			dst[3*i+c] = l - byte((t+t>>8)>>8)
		}
	}
}
