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
	s, r := &d.scan, &d.bits
	if s.coding == codingACFirst || s.coding == codingACRefine { // of one component: an MCU is a block
		c := s.comps[0].c
		first := (row - c.firstRow) * c.strideBlocks
		s.acBlocks(r, s.comps[0].ac, c.coefs[64*(first+from):64*(first+to)], c.nonzero[first+from:first+to])
		d.bits.done = r.exhausted()
		return
	}
	for mcu := from; mcu < to && !d.bits.done; mcu++ {
		for i := range s.comps {
			sc := &s.comps[i]
			for v := range sc.v {
				at := (row*sc.v+v-sc.c.firstRow)*sc.c.strideBlocks + mcu*sc.h
				for range sc.h {
					r.block()
					s.dc(r, sc, &sc.c.coefs[64*at])
					at++
				}
			}
		}
		d.bits.done = r.exhausted()
	}
}

// dc decodes the first bits of a DC coefficient, T.81 G.1.2.1, or one more.
func (s *scan) dc(r *bitReader, sc *scanComponent, dc *int16) {
	if s.coding == codingDCRefine {
		if r.take(1) != 0 {
			*dc |= 1 << s.low
		}
		return
	}
	c := r.decode(sc.dc)
	sc.pred += r.value(c.size())
	*dc = int16(sc.pred << s.low)
}

// acBlocks decodes the share of blocks that stand side by side, up to where the bits
// are used up.
func (s *scan) acBlocks(r *bitReader, ac *huffmanTable, coefs []int16, nonzero []uint64) {
	for i := 0; i < len(nonzero) && !r.exhausted(); i++ {
		b := progressiveBlock{(*[64]int16)(coefs[64*i:]), &nonzero[i]}
		r.block()
		switch {
		case s.coding == codingACRefine:
			s.acRefine(r, ac, b)
		case s.eobRun > 0: // nothing is said of so many blocks
			passed := min(int(s.eobRun), len(nonzero)-i)
			s.eobRun -= int32(passed)
			i += passed - 1
		default:
			s.acFirst(r, ac, b)
		}
	}
}

// acFirst decodes the first bits of a block's coefficients first to last, T.81
// G.1.2.2. It holds the reader's state in variables, as acRefine does: in a
// progressive file these are where the time goes.
func (s *scan) acFirst(r *bitReader, ac *huffmanTable, b progressiveBlock) {
	buf, n, at, src := r.buf, r.n, r.at, r.src
	for k := s.first; k <= s.last; k++ {
		if n < 32 {
			buf, n, at = refilled(buf, n, at, src)
		}
		c := ac.lookup[buf>>(64-lookupBits)]
		if c == 0 {
			c = ac.long(buf)
		}
		bits := buf << (c.length() & 63)
		if c.size() != 0 {
			buf <<= c.total() & 63
			n -= c.total()
			k += c.run()
			b.set(k, int16(extend(bits, c.size())<<s.low))
			continue
		}
		buf = bits
		n -= c.length()
		if c.run() != 15 {
			blocks, taken := endOfBand(c, buf)
			buf <<= taken
			n -= taken
			s.eobRun = blocks - 1
			break
		}
		k += 15
	}
	r.buf, r.n, r.at = buf, n, at
}

// endOfBand returns the number of blocks, this one included, whose remaining
// coefficients stay as they are, and how many of the next bits say so.
func endOfBand(c code, bits uint64) (blocks int32, taken uint) {
	taken = uint(c.run())
	return int32(1)<<taken + int32(bits>>1>>(63-taken)), taken
}

// acRefine adds one bit to the coefficients first to last, T.81 G.1.2.3: each
// that is nonzero has a correction bit, the codes place new ones between.
func (s *scan) acRefine(r *bitReader, ac *huffmanTable, b progressiveBlock) {
	buf, n, at, src := r.buf, r.n, r.at, r.src
	low := s.low & 15
	band := uint64(2)<<s.last - 1
	for k := s.first; k <= s.last; k++ {
		zeros, value := 0, int16(0)
		if s.eobRun == 0 {
			if n < 32 {
				buf, n, at = refilled(buf, n, at, src)
			}
			c := ac.lookup[buf>>(64-lookupBits)]
			if c == 0 {
				c = ac.long(buf)
			}
			buf <<= c.length() & 63
			n -= c.length()
			switch {
			case c.size() != 0: // sizes above 1 are corrupt; libjpeg reads them as 1
				zeros, value = c.run(), (int16(buf>>62)&2-1)<<low
				buf <<= 1
				n--
			case c.run() == 15:
				zeros = 15
			default:
				blocks, taken := endOfBand(c, buf)
				buf <<= taken
				n -= taken
				s.eobRun = blocks
			}
		}

		end := s.last + 1
		if s.eobRun == 0 { // the place of the zero behind so many others
			free := ^*b.nonzero & band >> k << k
			for ; zeros > 0 && free != 0; zeros-- {
				free &= free - 1
			}
			if free != 0 {
				end = bits.TrailingZeros64(free)
			}
		}
		for known := *b.nonzero & (1<<end - 1) >> k << k; known != 0; known &= known - 1 {
			if n == 0 {
				buf, n, at = refilled(buf, n, at, src)
			}
			// Away from zero, but where the bit is set already: the file is damaged.
			v := &b.coefs[zigzag[bits.TrailingZeros64(known)]&63]
			correct := -int16(buf>>63) &^ -(*v >> low & 1)
			*v += (*v>>15 | 1) << low & correct
			buf <<= 1
			n--
		}
		k = end
		if value != 0 {
			b.set(k, value)
		}
	}
	if s.eobRun > 0 {
		s.eobRun--
	}
	r.buf, r.n, r.at = buf, n, at
}
