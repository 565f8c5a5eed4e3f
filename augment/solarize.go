package augment

import "math"

// solarize inverts the values at and above a threshold. Source: torchvision
// RandomSolarize.
type solarize struct{ threshold int }

func parseSolarize(a *arguments) operator {
	threshold := a.number("threshold", 128, interval{lo: 0, hi: 256})
	return &solarize{threshold: int(math.Ceil(threshold))}
}

func (op *solarize) apply(im raster, s *Scratch) (raster, error) {
	if op.threshold > math.MaxUint8 {
		return im, nil
	}
	return s.pixelwise(im, func(dst, src []byte) { active.invertFrom(dst, src, byte(op.threshold)) }), nil
}

func invertFromGeneric(dst, src []byte, threshold byte) {
	dst = dst[:len(src)]
	for i, v := range src {
		below := int32(v) - int32(threshold) // its sign, in every bit, keeps v
		dst[i] = v ^ ^byte(below>>8)
	}
}
