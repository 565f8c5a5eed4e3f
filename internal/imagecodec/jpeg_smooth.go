package imagecodec

// Smoothing across block borders, as libjpeg-turbo does it with a progressive
// file that ends before all bits of the low frequencies: what is not known of
// them is estimated from the DC coefficients of the 5 x 5 blocks around, an
// extension of T.81 K.8. With nothing but DC, that is smoothed too.

// lowCoefs is the number of coefficients that are looked at, DC with the first
// nine in zigzag order.
const lowCoefs = 10

// lowBits tells of each of them how many of its low bits are not known, -1 where
// none are.
type lowBits [lowCoefs]int8

var unknownBits = lowBits{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// An estimate is the weights, in 1/256 and by the ratio of the quantisers, of the
// DC coefficients around a block, rows of five from the top left.
type estimate [25]int64

var (
	smoothDC = estimate{
		-2, -6, -8, -6, -2,
		-6, 6, 42, 6, -6,
		-8, 42, 152, 42, -8,
		-6, 6, 42, 6, -6,
		-2, -6, -8, -6, -2,
	}
	// Horizontal ones of a pair come first; the vertical is its transpose.
	fromDCOnly = func() (e [lowCoefs]estimate) {
		e[1] = estimate{
			-1, -1, 0, 1, 1,
			-3, 13, 0, -13, 3,
			-3, 38, 0, -38, 3,
			-3, 13, 0, -13, 3,
			-1, -1, 0, 1, 1,
		}
		e[5] = estimate{
			0, 0, 0, 0, 0,
			0, 2, -5, 2, 0,
			1, 7, -14, 7, 1,
			0, 2, -5, 2, 0,
			0, 0, 0, 0, 0,
		}
		e[6] = estimate{6: 1, 8: -1, 11: 2, 13: -2, 16: 1, 18: -1}
		e[8] = estimate{6: 1, 8: -1, 11: -3, 13: 3, 16: 1, 18: -1}
		e[2], e[3], e[9], e[7] = e[1].transposed(), e[5].transposed(), e[6].transposed(), e[8].transposed()
		e[4] = estimate{0: -1, 4: 1, 6: 9, 8: -9, 16: -9, 18: 9, 20: 1, 24: -1}
		return e
	}()
	besideKnown = func() (e [lowCoefs]estimate) {
		e[1] = estimate{10: -7, 11: 50, 13: -50, 14: 7}
		e[5] = estimate{10: -1, 11: 13, 12: -24, 13: 13, 14: -1}
		e[2], e[3] = e[1].transposed(), e[5].transposed()
		e[4] = estimate{1: -1, 3: 1, 5: -1, 6: 10, 8: -10, 9: 1, 15: 1, 16: -10, 18: 10, 19: -1, 21: 1, 23: -1}
		return e
	}()
)

func (e estimate) transposed() (t estimate) {
	for i, w := range e {
		t[i%5*5+i/5] = w
	}
	return t
}

// smoothing is what a finished file's smoothing needs to know; off where nothing
// is to be smoothed.
type smoothing struct {
	on       bool
	lastGood int // row of MCUs up to which the last scan had data
	scans    int
	row      []int16 // blocks of a row, smoothed
}

// noteScan records what bits a progressive scan brings.
func (d *jpegDecoder) noteScan() {
	s := &d.scan
	d.smooth.scans++
	d.smooth.lastGood = 0
	for i := range s.comps {
		c := s.comps[i].c
		c.bitsBefore = lowBits{}
		if d.smooth.scans > 1 {
			c.bitsBefore = c.bits
		}
		for k := s.first; k <= min(s.last, lowCoefs-1); k++ {
			c.bits[k] = int8(s.low)
		}
	}
}

// decideSmoothing looks at the scans of the finished progressive file.
func (d *jpegDecoder) decideSmoothing() {
	d.smooth.on = false
	for i := range d.comps {
		c := &d.comps[i]
		for k := range lowCoefs {
			if c.quantizer[zigzag[k]] == 0 {
				d.smooth.on = false
				return
			}
		}
		if c.bits[0] < 0 {
			d.smooth.on = false
			return
		}
		for _, unknown := range c.bits[1:] {
			if unknown != 0 {
				d.smooth.on = true
			}
		}
	}
}

// smoothed returns the coefficients of a row of the component's blocks from
// block0 to block1, which lies in a row of MCUs.
func (d *jpegDecoder) smoothed(c *component, mcuRow, by int) []int16 {
	s := &d.smooth
	first, last := c.strip.block0, c.strip.block1
	s.row = resize(s.row, 64*(last-first))
	copy(s.row, c.coefs[64*(by*c.strideBlocks+first):])
	bits := c.bits
	if mcuRow > s.lastGood {
		bits = c.bitsBefore
		if s.scans == 1 {
			bits = unknownBits
		}
	}
	estimates, dcOnly := &besideKnown, true
	for _, unknown := range bits[1:] {
		dcOnly = dcOnly && unknown == -1
	}
	known := 6 // coefficients that are estimated beside others that are known
	if dcOnly {
		estimates, known = &fromDCOnly, lowCoefs
	}

	// The rows around, where there are any. libjpeg counts them as if all rows
	// of MCUs had as many rows of blocks as this one.
	rowsHere := min(c.v, c.blocksY-mcuRow*c.v)
	place, places := mcuRow*rowsHere+by-mcuRow*c.v, rowsHere*d.mcusY
	rows := [5]int{by, by, by, by, by}
	if place > 0 {
		rows[1], rows[0] = by-1, by-1
	}
	if place > 1 {
		rows[0] = by - 2
	}
	if place < places-1 {
		rows[3], rows[4] = by+1, by+1
	}
	if place < places-2 {
		rows[4] = by + 2
	}

	q := func(k int) int64 { return int64(uint16(c.quantizer[zigzag[k]])) }
	var dc [25]int64
	for bx := first; bx < last; bx++ {
		for i := range dc {
			column := min(max(bx+i%5-2, 0), c.blocksX-1)
			dc[i] = int64(c.coefs[64*(rows[i/5]*c.strideBlocks+column)])
		}
		block := s.row[64*(bx-first):][:64]
		for k := 1; k < known; k++ {
			if at := zigzag[k]; bits[k] != 0 && block[at] == 0 {
				v := estimates[k].of(&dc, q(0), q(k))
				if unknown := bits[k]; unknown > 0 { // it would have been sent if it were larger
					most := int64(1)<<unknown - 1
					v = min(max(v, -most), most)
				}
				block[at] = int16(v)
			}
		}
		if dcOnly {
			block[0] = int16(smoothDC.of(&dc, q(0), q(0)))
		}
	}
	return s.row
}

// of returns the estimate of a coefficient with quantiser q, rounded half away
// from zero.
func (e *estimate) of(dc *[25]int64, q0, q int64) int64 {
	sum := int64(0)
	for i, w := range e {
		sum += w * dc[i]
	}
	sum *= q0
	if sum < 0 {
		return -((q<<7 - sum) / (q << 8))
	}
	return (q<<7 + sum) / (q << 8)
}
