package imagecodec

// mcuBlock is a block that each MCU of a row of a sequential scan has. The kernels
// know the places of the fields.
type mcuBlock struct {
	sc     *scanComponent
	codes  *code   // of sc.dc
	steps  *step   // of sc.ac
	pred   *int32  // of sc
	coefs  []int16 // from those of the row's first MCU on
	stride int     // bytes to those of the next MCU
}

// sequentialMCUs decodes MCUs of a row of a sequential scan, T.81 F.2.2. Those
// that the pixels to produce do not depend on, all of them unless wanted, are
// decoded only to get past them.
func (d *jpegDecoder) sequentialMCUs(row, from, to int, wanted bool) {
	keep0, keep1 := to, to
	if wanted {
		keep0, keep1 = d.wantedMCUs()
		keep0, keep1 = min(max(keep0, from), to), min(max(keep1, from), to)
	}
	d.sequentialRun(row, from, keep0, false)
	d.sequentialRun(row, keep0, keep1, true)
	d.sequentialRun(row, keep1, to, false)
}

// wantedMCUs returns the columns of MCUs that the pixels to produce depend on.
func (d *jpegDecoder) wantedMCUs() (first, end int) {
	first = d.scan.mcusX
	for i := range d.scan.comps {
		sc := &d.scan.comps[i]
		first = min(first, sc.c.strip.block0/sc.h)
		end = max(end, ceilDiv(sc.c.strip.block1, sc.h))
	}
	return first, end
}

// sequentialRun decodes MCUs of a row into the coefficients, if they are to be
// kept.
func (d *jpegDecoder) sequentialRun(row, from, to int, keep bool) {
	if from == to || d.bits.done {
		return
	}
	s := &d.scan
	blocks := s.mcuBlocks[:0]
	for i := range s.comps {
		sc := &s.comps[i]
		for v := range sc.v {
			for h := range sc.h {
				b := mcuBlock{sc: sc, codes: &sc.dc.lookup[0], steps: &sc.ac.steps[0], pred: &sc.pred, coefs: d.discarded[:]}
				if keep {
					at := (row*sc.v+v-sc.c.firstRow)*sc.c.strideBlocks + h
					b.coefs, b.stride = sc.c.coefs[64*at:], 2*64*sc.h
				}
				blocks = append(blocks, b)
			}
		}
	}
	active.mcus(&d.bits, blocks, from, to)
	d.bits.done = d.bits.exhausted()
}

func mcusGeneric(r *bitReader, blocks []mcuBlock, from, to int) {
	for mcu := from; mcu < to && !r.exhausted(); mcu++ {
		for i := range blocks {
			b := &blocks[i]
			r.block()
			r.sequential(b.sc, (*[64]int16)(b.coefs[mcu*b.stride/2:]))
		}
	}
}

// sequential decodes a block. It holds the reader's state in variables: this loop
// is most of the decoder's time.
func (r *bitReader) sequential(sc *scanComponent, block *[64]int16) {
	c := r.decode(sc.dc)
	sc.pred += r.value(c.size())
	block[0] = int16(sc.pred)

	buf, n, at, src := r.buf, r.n, r.at, r.src
	for k := 1; k < 64; {
		if n < 32 {
			buf, n, at = refilled(buf, n, at, src)
		}
		s := sc.ac.steps[buf>>(64-stepBits)]
		if s.move() != 0 {
			k += s.run()
			total := s.total()
			if k >= 63 { // a second code belongs to the next block
				total = s.own()
			} else {
				block[zigzag[(k+s.move()-1)&127]&63] = s.second()
			}
			block[zigzag[k&127]&63] = s.first()
			buf <<= total & 63
			n -= total
			k += s.move()
			continue
		}
		c := sc.ac.lookup[buf>>(64-lookupBits)]
		if c == 0 {
			c = sc.ac.long(buf)
		}
		bits := buf << (c.length() & 63)
		buf <<= c.total() & 63
		n -= c.total()
		k += c.run()
		if c.size() != 0 {
			block[zigzag[k&127]&63] = int16(extend(bits, c.size()))
		} else if c.run() != 15 {
			break
		}
		k++
	}
	r.buf, r.n, r.at = buf, n, at
}
