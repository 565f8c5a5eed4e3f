package augment

import "clpipe/internal/rng"

// colorJitter adjusts brightness, contrast, saturation and hue by factors drawn
// from their spans, in random order. Source: torchvision ColorJitter; strength,
// by which all distances are multiplied, is SimCLR's.
type colorJitter struct {
	spans [4]span // by adjustment
	off   [4]bool // spans of the one factor that changes nothing
}

// The adjustments in torchvision's numbering.
const (
	jitterBrightness = iota
	jitterContrast
	jitterSaturation
	jitterHue
)

func parseColorJitter(a *arguments) operator {
	op, strength := &colorJitter{}, a.jitterStrength("strength")
	for i, name := range [...]string{"brightness", "contrast", "saturation"} {
		op.spans[i] = a.distance(name, 1, strength, interval{lo: 0, hi: maxFactor})
		op.off[i] = op.spans[i] == span{1, 1}
	}
	op.spans[jitterHue] = a.distance("hue", 0, strength, hueRange)
	op.off[jitterHue] = op.spans[jitterHue] == span{0, 0}
	return op
}

// A jitter is one draw of a colorJitter.
type jitter struct {
	order   [4]int
	factors [4]float64
}

// pick draws the order, then a factor for each adjustment that is on.
func (op *colorJitter) pick(draw *rng.Stream) (j jitter) {
	draw.Perm(j.order[:])
	for i, off := range op.off {
		if !off {
			j.factors[i] = op.spans[i].draw(draw)
		}
	}
	return j
}

func (op *colorJitter) apply(im raster, s *Scratch) (raster, error) {
	j := op.pick(&s.draw)
	for _, i := range j.order {
		if op.off[i] {
			continue
		}
		switch factor := float32(j.factors[i]); i {
		case jitterBrightness:
			im = s.adjustBrightness(im, factor)
		case jitterContrast:
			im = s.adjustContrast(im, factor)
		case jitterSaturation:
			im = s.adjustSaturation(im, factor)
		case jitterHue:
			im = s.adjustHue(im, hueShift(j.factors[i]))
		}
	}
	return im, nil
}
