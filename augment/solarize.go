package augment

// solarize inverts the values at and above a threshold. Source: torchvision
// RandomSolarize.
type solarize struct{ table [256]byte }

func parseSolarize(a *arguments) operator {
	threshold := a.number("threshold", 128, interval{lo: 0, hi: 256})
	op := &solarize{}
	for v := range op.table {
		op.table[v] = byte(v)
		if float64(v) >= threshold {
			op.table[v] = byte(255 - v)
		}
	}
	return op
}

func (op *solarize) apply(im raster, s *Scratch) (raster, error) {
	return s.mapPixels(im, &op.table), nil
}
