package augment

import "math"

// hue turns the colour circle by a share of its circumference. It goes through
// Pillow's 8-bit HSV, so hue has 255 steps and colours come back rounded.
// Source: torchvision adjust_hue on a PIL image.
type hue struct{ shift byte }

func parseHue(a *arguments) operator {
	return &hue{shift: hueShift(a.required("factor", hueRange))}
}

// hueRange is half a turn either way.
var hueRange = interval{lo: -0.5, hi: 0.5}

// hueShift turns a factor in [-0.5,0.5] into steps of the 8-bit circle.
func hueShift(factor float64) byte { return byte(int(factor * 255)) }

func (op *hue) apply(im raster, s *Scratch) (raster, error) { return s.adjustHue(im, op.shift), nil }

func (s *Scratch) adjustHue(im raster, shift byte) raster {
	out := s.target(im)
	for y := range im.h {
		turnRow(out.row(y), im.row(y), shift)
	}
	return out
}

func turnRow(dst, src []byte, shift byte) {
	dst = dst[:len(src)]
	for i := 0; i+2 < len(src); i += 3 {
		h, s, v := hsv(src[i], src[i+1], src[i+2])
		dst[i], dst[i+1], dst[i+2] = rgb(h+shift, s, v)
	}
}

// hsv is Pillow's conversion: float32 quotients, the sum of a sector in
// float64, and truncation to bytes.
func hsv(r, g, b byte) (h, s, v byte) {
	v = max(r, g, b)
	low := min(r, g, b)
	if v == low {
		return 0, 0, v
	}
	chroma := float32(v - low)
	rc, gc, bc := float32(v-r)/chroma, float32(v-g)/chroma, float32(v-b)/chroma
	var sector float32
	switch v {
	case r:
		sector = bc - gc
	case g:
		sector = float32(2 + float64(rc) - float64(bc))
	default:
		sector = float32(4 + float64(gc) - float64(rc))
	}
	turn := float64(sector)/6 + 1
	if turn >= 1 {
		turn-- // exact: turn is below 2
	}
	h = byte(int(float64(float32(turn)) * 255))
	s = byte(int(float64(chroma/float32(v)) * 255))
	return h, s, v
}

// rgb is Pillow's way back.
func rgb(h, s, v byte) (r, g, b byte) {
	if s == 0 {
		return v, v, v
	}
	position := float64(h) * 6 / 255
	sector := int(position)
	f := float32(position - float64(sector))
	fs := float32(float64(s) / 255)
	value := float64(v)
	p := roundByte(value * (1 - float64(fs)))
	q := roundByte(value * (1 - float64(float32(fs*f))))
	t := roundByte(value * (1 - float64(float64(fs)*(1-float64(f)))))
	switch sector % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	default:
		return v, p, q
	}
}

// roundByte rounds halves up; x is in [0,255].
func roundByte(x float64) byte { return byte(math.Floor(x + 0.5)) }
