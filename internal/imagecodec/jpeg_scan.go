package imagecodec

import "slices"

// scan is the scan being decoded, T.81 B.2.3.
type scan struct {
	comps        []scanComponent // points into compStore
	compStore    [maxComponents]scanComponent
	mcusX, mcusY int
	coding       coding
	again        bool                   // a component of it has had a scan
	mcuBlocks    [maxMCUBlocks]mcuBlock // of a sequential scan, for the MCUs in hand

	// Spectral selection and successive approximation of a progressive scan.
	first, last int
	low         uint
	eobRun      int32 // blocks still to skip

	restartsTo  int // MCUs until the next restart
	nextRestart byte
}

// maxMCUBlocks is how many blocks an interleaved MCU has at most, T.81 B.2.3.
const maxMCUBlocks = 10

// scanComponent is a component's part in a scan.
type scanComponent struct {
	c      *component
	h, v   int // blocks of an MCU
	td, ta byte
	dc, ac *huffmanTable
	pred   int32 // DC of the block before
}

// coding is the way of coding a block.
type coding int

const (
	codingSequential coding = iota
	codingDCFirst
	codingDCRefine
	codingACFirst
	codingACRefine
)

// readScanHeader reads SOS, T.81 B.2.3.
func (d *jpegDecoder) readScanHeader() error {
	if !d.frameSeen {
		return d.formatError("start of scan before start of frame")
	}
	p, err := d.payload("scan header")
	if err != nil {
		return err
	}
	s := &d.scan
	if len(p) < 1 || p[0] < 1 || p[0] > maxComponents || len(p) != 4+2*int(p[0]) {
		return d.formatError("scan header: got %d bytes, want 4 and 2 for each of 1 to 4 components", len(p))
	}
	s.comps = s.compStore[:p[0]]
	for i := range s.comps {
		id, tables := p[1+2*i], p[2+2*i]
		c := d.findComponent(id, i)
		if c == nil || slices.ContainsFunc(s.comps[:i], func(o scanComponent) bool { return o.c == c }) {
			return d.formatError("scan component %d: id %d is not in the frame, or not in its order", i, id)
		}
		s.comps[i] = scanComponent{c: c, h: c.h, v: c.v, td: tables >> 4, ta: tables & 15}
	}
	p = p[len(p)-3:]
	return d.layoutScan(int(p[0]), int(p[1]), int(p[2]>>4), int(p[2]&15))
}

// findComponent returns the component of that id for place n of a scan, by
// libjpeg's rule: files with equal ids exist, and components come in the frame's
// order.
func (d *jpegDecoder) findComponent(id byte, n int) *component {
	for i := n; i < len(d.comps); i++ {
		if d.comps[i].id == id {
			return &d.comps[i]
		}
	}
	return nil
}

// layoutScan derives geometry and coding of the scan.
func (d *jpegDecoder) layoutScan(first, last, high, low int) error {
	s := &d.scan
	if len(s.comps) == 1 {
		s.comps[0].h, s.comps[0].v = 1, 1
		s.mcusX, s.mcusY = s.comps[0].c.blocksX, s.comps[0].c.blocksY
	} else {
		s.mcusX, s.mcusY = d.mcusX, d.mcusY
		blocks := 0
		for i := range s.comps {
			blocks += s.comps[i].h * s.comps[i].v
		}
		if blocks > maxMCUBlocks {
			return d.formatError("blocks of an mcu: got %d, want at most %d", blocks, maxMCUBlocks)
		}
	}
	s.coding = codingSequential
	if !d.progressive {
		return nil // libjpeg warns of a selection in a sequential file and ignores it
	}
	if first > last || last > 63 || first == 0 && last != 0 || first > 0 && len(s.comps) > 1 ||
		high != 0 && low != high-1 || low > 13 {
		return d.formatError("progressive scan of %d components: coefficients %d to %d, bits %d to %d", len(s.comps), first, last, high, low)
	}
	s.first, s.last, s.low = first, last, uint(low)
	switch {
	case first == 0 && high == 0:
		s.coding = codingDCFirst
	case first == 0:
		s.coding = codingDCRefine
	case high == 0:
		s.coding = codingACFirst
	default:
		s.coding = codingACRefine
	}
	return nil
}

const noMarkerBehind = "entropy-coded data without a marker behind it"

// beginScan fixes the tables the scan uses and loads its first segment.
func (d *jpegDecoder) beginScan() error {
	s := &d.scan
	s.again = false
	if s.coding == codingSequential {
		d.defineMissing()
	}
	for i := range s.comps {
		sc := &s.comps[i]
		s.again = s.again || sc.c.latched
		if err := d.latchQuantizer(sc.c); err != nil {
			return err
		}
		var err error
		if s.coding == codingSequential || s.coding == codingDCFirst {
			if sc.dc, err = d.table(&d.dcTables, sc.td, true); err != nil {
				return err
			}
		}
		if s.coding == codingSequential || s.coding == codingACFirst || s.coding == codingACRefine {
			if sc.ac, err = d.table(&d.acTables, sc.ta, false); err != nil {
				return err
			}
			if s.coding == codingSequential {
				sc.ac.buildSteps(sc.ac.kept || len(d.data)-d.pos > pairingPays)
			}
		}
	}
	s.restartsTo, s.nextRestart = d.restartInterval, 0
	s.eobRun = 0
	d.bits.done = false
	d.marker = 0
	d.load()
	return nil
}

func (d *jpegDecoder) latchQuantizer(c *component) error {
	if c.latched {
		return nil
	}
	if int(c.tq) >= len(d.quant) || !d.quant[c.tq].defined {
		return d.formatError("quantisation table %d is not defined", c.tq)
	}
	for i, q := range d.quant[c.tq].values {
		c.quantizer[i] = int16(q)
	}
	c.latched = true
	return nil
}

func (d *jpegDecoder) table(tables *[4]huffmanTable, index byte, dc bool) (*huffmanTable, error) {
	if int(index) >= len(tables) || !tables[index].defined {
		return nil, d.formatError("huffman table %d is not defined", index)
	}
	t := &tables[index]
	if err := t.build(dc); err != nil {
		return nil, d.formatError("huffman table %d: %v", index, err)
	}
	return t, nil
}

// decodeMCURow decodes one row of MCUs into the coefficients; a row of a
// sequential scan that is not wanted is only got past.
func (d *jpegDecoder) decodeMCURow(row int, wanted bool) error {
	s := &d.scan
	for mcu := 0; mcu < s.mcusX; {
		to, good := s.mcusX, true
		if d.restartInterval > 0 {
			if s.restartsTo == 0 {
				if good = !d.bits.done; !good {
					to = mcu + 1
				}
				if err := d.restart(); err != nil {
					return err
				}
			}
			to = min(to, mcu+s.restartsTo)
			s.restartsTo -= to - mcu
		} else if d.bits.done {
			return nil // nothing can follow in this scan
		}
		if !d.bits.done {
			if good { // before the restart, as libjpeg looks
				d.smooth.lastGood = row
				if len(s.comps) == 1 {
					d.smooth.lastGood /= s.comps[0].c.v
				}
			}
			switch {
			case s.coding != codingSequential:
				d.progressiveMCUs(row, mcu, to)
			case s.again:
				d.sequentialAgain(row, mcu, to)
			default:
				d.sequentialMCUs(row, mcu, to, wanted)
			}
		}
		mcu = to
	}
	return nil
}

// sequentialAgain decodes MCUs of a sequential scan some of whose components have had
// one before, which no encoder writes. The kernels take blocks to be zero; libjpeg
// leaves what is there where the new block has nothing.
func (d *jpegDecoder) sequentialAgain(row, from, to int) {
	for mcu := from; mcu < to && !d.bits.done; mcu++ {
		for i := range d.scan.comps {
			sc := &d.scan.comps[i]
			for v := range sc.v {
				at := (row*sc.v+v)*sc.c.strideBlocks + mcu*sc.h
				for h := range sc.h {
					block := &d.discarded
					clear(block[:])
					d.bits.block()
					d.bits.sequential(sc, block)
					for k, value := range block {
						if value != 0 || k == 0 {
							sc.c.coefs[64*(at+h)+k] = value
						}
					}
				}
			}
		}
		d.bits.done = d.bits.exhausted()
	}
}

// skipMCUs passes over the last n MCUs of the scan without decoding them, but for
// a segment that ends with the file. It reads the same markers and so finds the
// same faults as decoding would.
func (d *jpegDecoder) skipMCUs(n int) error {
	for d.restartInterval > 0 && n > d.scan.restartsTo {
		n -= d.scan.restartsTo
		if err := d.restart(); err != nil {
			return err
		}
	}
	if d.bits.last {
		d.sequentialRun(0, 0, n, false)
	}
	return nil
}

// restart moves to the segment behind the next restart marker, T.81 F.2.2.4,
// with libjpeg's recovery if another marker stands there.
func (d *jpegDecoder) restart() error {
	s := &d.scan
	for i := range s.comps {
		s.comps[i].pred = 0
	}
	s.eobRun = 0
	want := s.nextRestart
	s.nextRestart = (want + 1) & 7
	s.restartsTo = d.restartInterval
	if d.bits.last {
		return d.truncated(noMarkerBehind)
	}
	for d.marker != 0 {
		got := d.marker - markerRST0
		ahead := (got - want) & 7 // restart markers that were lost
		switch {
		case d.marker < markerSOF0, got < 8 && ahead >= 6:
			// Not a marker, or one of the past: look further on.
			if err := d.nextMarker(); err != nil {
				return err
			}
		case got >= 8, ahead == 1, ahead == 2:
			// The data up to here is lost: this interval stays empty.
			d.bits.empty()
			return nil
		default:
			d.marker = 0
		}
	}
	d.bits.done = false
	d.load()
	return nil
}
