package augment

// blend moves a value v away from (factor above 1) or towards (below 1) the
// degenerate value: degenerate + factor*(v-degenerate) in float32, bounded to a
// byte, truncated, as Pillow's Image.blend.
func blend(degenerate, v byte, factor float32) byte {
	d := float32(degenerate)
	x := d + float32(factor*(float32(v)-d)) // the conversion keeps Go from fusing
	return byte(min(max(int32(x), 0), 255))
}

// blendAll blends every byte of im with one degenerate value.
func (s *Scratch) blendAll(im raster, degenerate byte, factor float32) raster {
	return s.pixelwise(im, func(dst, src []byte) { active.blendLevel(dst, src, degenerate, factor) })
}

func blendLevelGeneric(dst, src []byte, degenerate byte, factor float32) {
	var table [256]byte
	for v := range table {
		table[v] = blend(degenerate, byte(v), factor)
	}
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = table[v]
	}
}

// luma is the grey level of a colour in ITU-R 601-2, 16 fractional bits, as
// Pillow's conversion to mode L.
func luma(r, g, b byte) byte {
	return byte((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
}
