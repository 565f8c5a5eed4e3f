package augment

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
		h, s, v := hsv(int32(src[i]), int32(src[i+1]), int32(src[i+2]))
		dst[i], dst[i+1], dst[i+2] = rgb(h+shift, s, v)
	}
}

// hsv is Pillow's conversion: float32 quotients, their sum in float64, and
// truncation to bytes. Nothing branches on which channel is the greatest: where
// colours vary, no branch can be predicted. The numbers are 32 bits wide since
// that is what conditional moves take.
func hsv(r, g, b int32) (h, s, v byte) {
	high, low := max(r, g, b), min(r, g, b)
	if high == low {
		return 0, 0, byte(high)
	}
	chroma := float32(high - low)
	greatest := 2
	if g == high {
		greatest = 1
	}
	if r == high {
		greatest = 0
	}
	below := [...]int32{high - r, high - g, high - b, high - r, high - g}
	next, last := float32(below[greatest+1])/chroma, float32(below[greatest+2])/chroma
	sector := float32(float64(2*greatest) + float64(last) - float64(next))
	turn := float64(sector)/6 + 1
	turn -= float64(int32(turn))
	h = byte(int32(float64(float32(turn)) * 255))
	s = byte(int32(float64(chroma/float32(high)) * 255))
	return h, s, byte(high)
}

// A hueAngle is what a hue's byte means on the way back: how far it is through
// its sixth of the colour circle, and where the greatest, the lowest and the
// middle value go.
type hueAngle struct {
	fraction         float32
	falling          uint8 // 1 where the middle value falls
	red, green, blue uint8 // channel = 0 greatest, 1 lowest, 2 middle
}

var hueAngles = func() (angles [256]hueAngle) {
	const greatest, lowest, middle = 0, 1, 2
	channels := [6][3]uint8{
		{greatest, middle, lowest}, {middle, greatest, lowest}, {lowest, greatest, middle},
		{lowest, middle, greatest}, {middle, lowest, greatest}, {greatest, lowest, middle},
	}
	for h := range angles {
		position := float64(h) * 6 / 255
		sixth := int(position)
		c := channels[sixth%6]
		angles[h] = hueAngle{float32(position - float64(sixth)), uint8(sixth & 1), c[0], c[1], c[2]}
	}
	return angles
}()

// rgb is Pillow's way back.
func rgb(h, s, v byte) (r, g, b byte) {
	angle := &hueAngles[h]
	fs := float32(float64(s) / 255)
	missing := [2]float64{
		float64(float64(fs) * (1 - float64(angle.fraction))),
		float64(float32(fs * angle.fraction)),
	}[angle.falling&1]
	value := float64(v)
	values := [4]byte{v, roundByte(value * (1 - float64(fs))), roundByte(value * (1 - missing))}
	return values[angle.red&3], values[angle.green&3], values[angle.blue&3]
}

// roundByte rounds halves up; x is in [0,255].
func roundByte(x float64) byte { return byte(int32(x + 0.5)) }
