package imagecodec

// jpegDecoder is the state of one JPEG file being decoded, and the memory kept
// from one file to the next.
//
// Entropy decoding fills coefficients, rendering turns them into pixels one MCU
// row at a time. A file with a single scan alternates between the two and keeps
// one MCU row of coefficients; a file with several scans (every progressive
// one) keeps all of them and is rendered at the end.
type jpegDecoder struct {
	jpegReader
	lim Limits

	width, height int
	size          int // side of what a block becomes at the picture's scale: 8, 4, 2 or 1
	progressive   bool
	comps         []component // points into compStore
	compStore     [maxComponents]component
	maxH, maxV    int // largest sampling factors of the frame
	mcusX, mcusY  int // MCUs of an interleaved scan
	frameSeen     bool
	jfif          bool
	adobe         bool
	adobeColor    byte // colour transform of the Adobe marker

	quant           [4]quantTable
	dcTables        [4]huffmanTable
	acTables        [4]huffmanTable
	restartInterval int // MCUs; 0 none

	scan      scan
	bits      bitReader
	discarded [64]int16 // takes the blocks that nobody wants

	render renderer
	smooth smoothing
	system systemDecoder
}

const maxComponents = 4

// component is one colour channel of the frame.
type component struct {
	id   byte
	h, v int // sampling factors, T.81 A.1.1
	tq   byte

	size             int // side of what a block becomes, at least the frame's
	across, down     int // pixels that a sample covers
	width, height    int // samples that carry picture
	blocksX, blocksY int // blocks that carry picture
	strideBlocks     int // blocks in a row of coefs: blocksX padded to whole MCUs

	// The quantiser is fixed by the component's first scan, as the tables may
	// be redefined between scans. Natural order; that of another file until latched.
	quantizer [64]int16
	latched   bool

	// coefs holds blocks in natural order, one MCU row or all of them;
	// firstRow is the block row of coefs[0].
	coefs    []int16
	firstRow int
	nonzero  []uint64 // for each block of a progressive file, see progressiveBlock

	// Of a progressive file: bits not known yet, and those before its last scan.
	bits, bitsBefore lowBits

	upsampling upsampling
	strip      strip
}

type quantTable struct {
	values  [64]uint16 // natural order
	defined bool
}

// decode decodes the picture, or the region of it, at a scale of 1/scale: 1, 2, 4
// or 8.
func (d *jpegDecoder) decode(data []byte, scale int, region *Rect, dst *Image, lim Limits) error {
	d.reset(data, lim)
	d.size = 8 / scale
	defer func() { d.data = nil }() // do not keep the caller's bytes alive
	if err := d.readToScan(); err != nil {
		return err
	}
	if d.marker == markerEOI {
		return d.formatError("no picture before the end-of-image marker")
	}
	w, h := ceilDiv(d.width, scale), ceilDiv(d.height, scale)
	rect := Rect{0, 0, w, h}
	if region != nil {
		rect = region.Clip(w, h)
	}
	d.render.begin(d, rect)
	d.smooth.on = false
	dst.reset(w, h)
	if scale > 1 {
		dst.Scale, dst.FullW, dst.FullH = scale, d.width, d.height
	}
	if region == nil && scale == 1 && d.system.decode(d, dst) {
		return nil
	}
	if d.progressive || len(d.scan.comps) < len(d.comps) {
		return d.decodeScans(dst)
	}
	return d.decodeSingleScan(dst)
}

// decodeSingleScan decodes a sequential file whose one scan holds all
// components, rendering each MCU row as soon as it is complete.
func (d *jpegDecoder) decodeSingleScan(dst *Image) error {
	for i := range d.comps {
		c := &d.comps[i]
		c.coefs = resize(c.coefs, c.strideBlocks*c.v*64)
		clear(c.coefs)
	}
	if err := d.beginScan(); err != nil {
		return err
	}
	for row := 0; row < d.render.mcuRow1; row++ {
		wanted := row >= d.render.mcuRow0
		for i := range d.comps {
			d.comps[i].firstRow = row * d.comps[i].v
		}
		if err := d.decodeMCURow(row, wanted); err != nil {
			return err
		}
		if wanted {
			d.render.mcuRow(d, row, dst)
			for i := range d.comps {
				clear(d.comps[i].coefs)
			}
		}
	}
	if err := d.skipMCUs((d.mcusY - d.render.mcuRow1) * d.mcusX); err != nil {
		return err
	}
	return d.readToEnd()
}

// readToEnd reads what follows the one scan. All of the picture is there by then,
// so that the file may end in what decoding can do without.
func (d *jpegDecoder) readToEnd() error {
	if d.bits.last {
		if !d.bits.complete() {
			return d.truncated(noMarkerBehind)
		}
		return nil
	}
	err := d.readToScan()
	if d.marker == markerSOS {
		return d.formatError("a scan follows the scan of all components")
	}
	if _, truncated := err.(*TruncatedError); truncated && (d.marker == 0 || canPass(d.marker)) {
		return nil
	}
	return err
}

// decodeScans decodes a file of several scans into whole-picture coefficients
// and renders them.
func (d *jpegDecoder) decodeScans(dst *Image) error {
	for i := range d.comps {
		c := &d.comps[i]
		c.firstRow = 0
		blocks := c.strideBlocks * d.mcusY * c.v
		c.coefs = resize(c.coefs, 64*blocks)
		clear(c.coefs)
		if d.progressive {
			c.nonzero = resize(c.nonzero, blocks)
			clear(c.nonzero)
			c.bits = unknownBits
		}
	}
	d.smooth.scans = 0
	for scans := 1; d.marker != markerEOI; scans++ {
		if scans > d.lim.MaxScans {
			return &LimitError{Format: formatJPEG, What: "scans", Got: int64(scans), Max: int64(d.lim.MaxScans)}
		}
		if err := d.beginScan(); err != nil {
			return err
		}
		if d.progressive {
			d.noteScan()
		}
		for row := range d.scan.mcusY {
			if err := d.decodeMCURow(row, true); err != nil {
				return err
			}
		}
		if err := d.readToScan(); err != nil {
			return err
		}
	}
	if d.progressive {
		d.decideSmoothing()
	}
	for row := d.render.mcuRow0; row < d.render.mcuRow1; row++ {
		d.render.mcuRow(d, row, dst)
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
