package kernel

// stripFloats bounds a strip so that reading it a second time hits the
// second-level cache, and one pass over it stays well below the 100 µs for
// which assembly may hold off the scheduler.
const stripFloats = 1 << 15

// strips cuts the pixels of units (samples, or the whole batch as one unit)
// into the ranges over which float32 sums run. The cut depends on the shape
// only: results do not depend on who works on which strip.
type strips struct {
	units   int // ranges of pixels that a strip may not straddle
	pixels  int // pixels of a unit
	perUnit int // strips of a unit
	strip   int // pixels of a strip; the last of a unit may be shorter
	cp      int // channel stride
}

func cutStrips(units, pixels, cp int) strips {
	strip := max(1, min(pixels, stripFloats/cp))
	return strips{units: units, pixels: pixels, perUnit: (pixels + strip - 1) / strip, strip: strip, cp: cp}
}

func (s strips) num() int { return s.units * s.perUnit }

func (s strips) unit(strip int) int { return strip / s.perUnit }

// span returns the strip's range of floats in the activation.
func (s strips) span(strip int) (lo, hi int) {
	unit, part := strip/s.perUnit, strip%s.perUnit
	first := part * s.strip
	last := min(first+s.strip, s.pixels)
	return (unit*s.pixels + first) * s.cp, (unit*s.pixels + last) * s.cp
}

// len returns the strip's number of pixels.
func (s strips) len(strip int) int {
	lo, hi := s.span(strip)
	return (hi - lo) / s.cp
}
