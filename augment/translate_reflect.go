package augment

// translateReflect shifts the picture by whole pixels, each axis uniform in
// [-max,max], and fills the gap with the mirror image, which does not repeat
// the edge. Source: AMDIM's RandomTranslateWithReflect.
type translateReflect struct{ max int }

func parseTranslateReflect(a *arguments) operator {
	return &translateReflect{max: a.integer("max", 4, 0, maxSide)}
}

func (op *translateReflect) apply(im raster, s *Scratch) (raster, error) {
	dx := s.draw.IntN(2*op.max+1) - op.max
	dy := s.draw.IntN(2*op.max+1) - op.max
	return s.translate(im, dx, dy), nil
}

// translate moves im by dx to the right and dy down.
func (s *Scratch) translate(im raster, dx, dy int) raster {
	out := s.fresh(im, im.w, im.h)
	from, to := min(max(dx, 0), im.w), max(min(im.w+dx, im.w), 0) // columns that are not mirrored
	for y := range out.h {
		dst, src := out.row(y), im.row(reflect(y-dy, im.h))
		for x := range from {
			copy(dst[3*x:3*x+3], src[3*reflect(x-dx, im.w):])
		}
		if from < to {
			copy(dst[3*from:3*to], src[3*(from-dx):])
		}
		for x := to; x < out.w; x++ {
			copy(dst[3*x:3*x+3], src[3*reflect(x-dx, im.w):])
		}
	}
	return out
}

// reflect folds position i into [0,n) by mirrors at both ends that do not
// repeat the edge: ... 2 1 0 1 2 ... n-2 n-1 n-2 ...
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	period := 2 * (n - 1)
	if i %= period; i < 0 {
		i += period
	}
	return min(i, period-i)
}
