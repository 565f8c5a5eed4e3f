package imagecodec

// acFirst decodes the first bits of a block's coefficients first to last, T.81
// G.1.2.2.
func (s *scan) acFirst(r *bitReader, ac *huffmanTable, block *[64]int16) {
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
		block[zigzag[k&127]&63] = int16(r.value(c.size()) << s.low)
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
func (s *scan) acRefine(r *bitReader, ac *huffmanTable, block *[64]int16) {
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
			k = s.correct(r, block, k, zeros)
			if value != 0 {
				block[zigzag[k&127]&63] = value
			}
		}
	}
	if s.eobRun > 0 {
		s.correct(r, block, k, 64)
		s.eobRun--
	}
}

// correct reads the correction bits of the nonzero coefficients from place k
// on, and returns the place of the zero coefficient behind skip other zeros, or
// the place behind the band if there is none.
func (s *scan) correct(r *bitReader, block *[64]int16, k, skip int) int {
	bit := int16(1) << s.low
	for ; k <= s.last; k++ {
		v := &block[zigzag[k&127]&63]
		if *v == 0 {
			if skip == 0 {
				break
			}
			skip--
			continue
		}
		if r.take(1) == 0 || *v&bit != 0 {
			continue
		}
		if *v > 0 {
			*v += bit
		} else {
			*v -= bit
		}
	}
	return k
}
