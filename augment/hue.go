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
	return s.pixelwise(im, func(dst, src []byte) { active.turnHue(dst, src, shift) })
}

func turnHueGeneric(dst, src []byte, shift byte) {
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
// its sixth of the colour circle, and which value each channel takes there, as
// the place in bits of one of the four that rgb packs.
type hueAngle struct {
	fraction         float32
	red, green, blue uint8
}

var hueAngles = func() (angles [256]hueAngle) {
	const high, low, rising, falling = 0, 8, 16, 24
	sixths := [6]hueAngle{
		{red: high, green: rising, blue: low}, {red: falling, green: high, blue: low},
		{red: low, green: high, blue: rising}, {red: low, green: falling, blue: high},
		{red: rising, green: low, blue: high}, {red: high, green: low, blue: falling},
	}
	for h := range angles {
		position := float64(h) * 6 / 255
		sixth := int(position)
		angles[h] = sixths[sixth%6]
		angles[h].fraction = float32(position - float64(sixth))
	}
	return angles
}()

// saturations are the bytes of a saturation as shares of 1.
var saturations = func() (shares [256]float32) {
	for s := range shares {
		shares[s] = float32(float64(s) / 255)
	}
	return shares
}()

// rgb is Pillow's way back.
func rgb(h, s, v byte) (r, g, b byte) {
	angle, share, value := &hueAngles[h], saturations[s], float64(v)
	low := value * (1 - float64(share))
	rising := value * (1 - float64(float64(share)*(1-float64(angle.fraction))))
	falling := value * (1 - float64(float32(share*angle.fraction)))
	packed := uint32(v) | roundUp(low)<<8 | roundUp(rising)<<16 | roundUp(falling)<<24
	return byte(packed >> (angle.red & 31)), byte(packed >> (angle.green & 31)), byte(packed >> (angle.blue & 31))
}

// roundUp rounds halves up; x is in [0,255].
func roundUp(x float64) uint32 { return uint32(int32(float64(x) + 0.5)) }
