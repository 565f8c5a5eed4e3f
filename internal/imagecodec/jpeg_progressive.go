package imagecodec

import "math/bits"

// progressiveBlock is a block together with the places of its coefficients
// other than zero, as a set of zigzag indices: most coefficients are zero, and
// a refinement scan must find those that are not.
type progressiveBlock struct {
	coefs   *[64]int16
	nonzero *uint64
}

// set writes the coefficient at zigzag place k, which damage may have led past
// the end.
func (b progressiveBlock) set(k int, v int16) {
	b.coefs[zigzag[k&127]&63] = v
	place := uint64(1) << min(k, 63)
	if v != 0 {
		*b.nonzero |= place
	} else {
		*b.nonzero &^= place
	}
}

// progressiveMCUs decodes MCUs of a row of a progressive scan.
func (d *jpegDecoder) progressiveMCUs(row, from, to int) {
	s := &d.scan
	for mcu := from; mcu < to && !d.bits.done; mcu++ {
		for i := range s.comps {
			sc := &s.comps[i]
			for v := range sc.v {
				rowStart := (row*sc.v + v - sc.c.firstRow) * sc.c.strideBlocks
				for h := range sc.h {
					d.bits.block()
					s.progressive(&d.bits, sc, rowStart+mcu*sc.h+h)
				}
			}
		}
		d.bits.done = d.bits.exhausted()
	}
}

// progressive decodes a block's share of the scan; at is the block's place
// among the component's.
func (s *scan) progressive(r *bitReader, sc *scanComponent, at int) {
	block := (*[64]int16)(sc.c.coefs[64*at:])
	switch s.coding {
	case codingDCFirst:
		c := r.decode(sc.dc)
		sc.pred += r.value(c.size())
		block[0] = int16(sc.pred << s.low)
	case codingDCRefine:
		if r.take(1) != 0 {
			block[0] |= 1 << s.low
		}
	case codingACFirst:
		s.acFirst(r, sc.ac, progressiveBlock{block, &sc.c.nonzero[at]})
	case codingACRefine:
		s.acRefine(r, sc.ac, progressiveBlock{block, &sc.c.nonzero[at]})
	}
}

// acFirst decodes the first bits of a block's coefficients first to last, T.81
// G.1.2.2.
func (s *scan) acFirst(r *bitReader, ac *huffmanTable, b progressiveBlock) {
	if s.eobRun > 0 {
		s.eobRun--
		return
	}
	for k := s.first; k <= s.last; k++ {
		c := r.decode(ac)
		if c.size() == 0 {
			if c.run() != 15 {
				s.eobRun = endOfBand(r, c) - 1
				return
			}
			k += 15
			continue
		}
		k += c.run()
		b.set(k, int16(r.value(c.size())<<s.low))
	}
}

// endOfBand returns the number of blocks, this one included, whose remaining
// coefficients stay as they are.
func endOfBand(r *bitReader, c code) int32 {
	run := int32(1) << c.run()
	if c.run() > 0 {
		run += r.take(uint(c.run()))
	}
	return run
}

// acRefine adds one bit to the coefficients first to last, T.81 G.1.2.3: each
// that is nonzero has a correction bit, the codes place new ones between.
func (s *scan) acRefine(r *bitReader, ac *huffmanTable, b progressiveBlock) {
	k := s.first
	if s.eobRun == 0 {
		for ; k <= s.last; k++ {
			c := r.decode(ac)
			zeros, value := c.run(), int16(0)
			if c.size() != 0 {
				// Sizes above 1 are corrupt; libjpeg reads them as 1.
				value = -1 << s.low
				if r.take(1) != 0 {
					value = 1 << s.low
				}
			} else if zeros != 15 {
				s.eobRun = endOfBand(r, c)
				break
			}
			k = s.correct(r, b, k, zeros)
			if value != 0 {
				b.set(k, value)
			}
		}
	}
	if s.eobRun > 0 {
		s.correct(r, b, k, 64)
		s.eobRun--
	}
}

// correct reads the correction bits of the nonzero coefficients from place k
// on, and returns the place of the zero coefficient behind skip other zeros, or
// the place behind the band if there is none.
func (s *scan) correct(r *bitReader, b progressiveBlock, k, skip int) int {
	bit := int16(1) << s.low
	ahead := *b.nonzero & (2<<s.last - 1) >> k << k
	for ahead != 0 {
		next := bits.TrailingZeros64(ahead)
		ahead &= ahead - 1
		if skip < next-k {
			return k + skip
		}
		skip -= next - k
		k = next + 1
		if r.take(1) == 0 {
			continue
		}
		v := &b.coefs[zigzag[next]&63]
		switch {
		case *v&bit != 0: // set already: the file is damaged
		case *v > 0:
			*v += bit
		default:
			*v -= bit
		}
	}
	return min(k+skip, s.last+1)
}
