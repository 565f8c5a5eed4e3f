package imagecodec

import "bytes"

// Marker codes, T.81 table B.1.
const (
	markerTEM   = 0x01
	markerSOF0  = 0xC0 // baseline
	markerSOF1  = 0xC1 // extended sequential
	markerSOF2  = 0xC2 // progressive
	markerDHT   = 0xC4
	markerDAC   = 0xCC
	markerSOF15 = 0xCF
	markerRST0  = 0xD0
	markerRST7  = 0xD7
	markerSOI   = 0xD8
	markerEOI   = 0xD9
	markerSOS   = 0xDA
	markerDQT   = 0xDB
	markerDNL   = 0xDC
	markerDRI   = 0xDD
	markerAPP0  = 0xE0
	markerAPP14 = 0xEE
	markerAPP15 = 0xEF
	markerCOM   = 0xFE
)

// zigzag maps a coefficient's place in the file to its place in the block. A
// corrupt run may lead up to 15 places past the end: those all land on the last
// coefficient, as in libjpeg. The length is a power of two so that a masked
// index needs no bounds check.
var zigzag = [128]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
}

// maxDimension is libjpeg's own limit on width and height.
const maxDimension = 65500

func (d *jpegDecoder) reset(data []byte, lim Limits) {
	d.data, d.pos, d.marker, d.lim = data, 2, 0, lim // 2: past the SOI that Sniff has seen
	d.frameSeen, d.jfif, d.adobe = false, false, false
	d.restartInterval = 0
	for i := range d.quant {
		d.quant[i].defined = false
		d.dcTables[i].defined = false
		d.acTables[i].defined = false
	}
}

func jpegInfo(data []byte) (Info, error) {
	// Only the marker reader's small fields are used: nothing is allocated for
	// the picture.
	var d jpegDecoder
	d.reset(data, Limits{MaxPixels: maxDimension * maxDimension, MaxScans: 1})
	for !d.frameSeen {
		if err := d.nextMarker(); err != nil {
			return Info{}, err
		}
		switch d.marker {
		case markerSOS:
			return Info{}, d.formatError("start of scan before start of frame")
		case markerEOI:
			return Info{}, d.formatError("no picture before the end-of-image marker")
		}
		if err := d.segment(); err != nil {
			return Info{}, err
		}
	}
	return Info{Format: formatJPEG, W: d.width, H: d.height}, nil
}

// readToScan acts on the markers up to and including the next start of scan or
// end of image, and leaves that one in d.marker.
func (d *jpegDecoder) readToScan() error {
	for {
		// A marker that ended the entropy-coded data is next in line.
		if d.marker == 0 {
			if err := d.nextMarker(); err != nil {
				return err
			}
		}
		if d.marker == markerEOI {
			return nil
		}
		if d.marker == markerSOS {
			return d.readScanHeader()
		}
		if err := d.segment(); err != nil {
			return err
		}
		d.marker = 0
	}
}

// nextMarker finds the next marker, skipping whatever else is there, and leaves
// it in d.marker with d.pos behind it.
func (d *jpegDecoder) nextMarker() error {
	for {
		i := bytes.IndexByte(d.data[d.pos:], 0xFF)
		if i < 0 {
			d.pos = len(d.data)
			return d.truncated("no end-of-image marker")
		}
		d.pos += i
		for d.pos < len(d.data) && d.data[d.pos] == 0xFF { // fill bytes, B.1.1.2
			d.pos++
		}
		if d.pos == len(d.data) {
			return d.truncated("no end-of-image marker")
		}
		d.marker = d.data[d.pos]
		d.pos++
		if d.marker != 0 { // 0: a stuffed data byte
			return nil
		}
	}
}

// segment acts on the marker segment of d.marker: anything but SOS and EOI.
func (d *jpegDecoder) segment() error {
	m := d.marker
	switch {
	case m == markerTEM || markerRST0 <= m && m <= markerRST7:
		return nil // no parameters
	case m == markerSOI:
		return d.formatError("second start-of-image marker")
	case m == markerDQT:
		return d.readQuantTables()
	case m == markerDHT:
		return d.readHuffmanTables()
	case m == markerDRI:
		return d.readRestartInterval()
	case m == markerSOF0 || m == markerSOF1 || m == markerSOF2:
		return d.readFrameHeader(m == markerSOF2)
	case m == markerDNL || m == markerDAC || m == markerCOM:
		_, err := d.payload("segment")
		return err
	case markerSOF0 <= m && m <= markerSOF15:
		return d.unsupported("lossless, hierarchical or arithmetic coding: got frame marker ff%02x, want ffc0, ffc1 or ffc2", m)
	case markerAPP0 <= m && m <= markerAPP15:
		return d.readApplicationData(m)
	}
	return d.formatError("got marker ff%02x, want a known one", m)
}

// payload returns the bytes of a marker segment and moves behind it.
func (d *jpegDecoder) payload(name string) ([]byte, error) {
	if len(d.data)-d.pos < 2 {
		return nil, d.truncated(name + " without its length")
	}
	n := int(d.data[d.pos])<<8 | int(d.data[d.pos+1])
	if n < 2 {
		return nil, d.formatError("%s length: got %d, want at least 2", name, n)
	}
	if len(d.data)-d.pos < n {
		return nil, d.truncated(name + " runs past the end of the file")
	}
	p := d.data[d.pos+2 : d.pos+n]
	d.pos += n
	return p, nil
}

func (d *jpegDecoder) readApplicationData(marker byte) error {
	p, err := d.payload("application segment")
	if err != nil {
		return err
	}
	switch {
	case marker == markerAPP0 && len(p) >= 14 && string(p[:5]) == "JFIF\x00":
		d.jfif = true
	case marker == markerAPP14 && len(p) >= 12 && string(p[:5]) == "Adobe":
		d.adobe, d.adobeColor = true, p[11]
	}
	return nil
}

// readQuantTables reads DQT, T.81 B.2.4.1.
func (d *jpegDecoder) readQuantTables() error {
	p, err := d.payload("quantisation table")
	if err != nil {
		return err
	}
	for len(p) > 0 {
		wide, index := int(p[0]>>4), int(p[0]&15)
		p = p[1:]
		if index >= len(d.quant) {
			return d.formatError("quantisation table number: got %d, want at most 3", index)
		}
		size := 64
		if wide != 0 {
			size = 128
		}
		if len(p) < size {
			return d.formatError("quantisation table %d: got %d bytes, want %d", index, len(p), size)
		}
		t := &d.quant[index]
		t.defined = true
		for k := range 64 {
			if wide != 0 {
				t.values[zigzag[k]] = uint16(p[2*k])<<8 | uint16(p[2*k+1])
			} else {
				t.values[zigzag[k]] = uint16(p[k])
			}
		}
		p = p[size:]
	}
	return nil
}

// readHuffmanTables reads DHT, T.81 B.2.4.2.
func (d *jpegDecoder) readHuffmanTables() error {
	p, err := d.payload("huffman table")
	if err != nil {
		return err
	}
	for len(p) > 0 {
		if len(p) < 17 {
			return d.formatError("huffman table: got %d bytes, want at least 17", len(p))
		}
		class, index := int(p[0]>>4), int(p[0]&15)
		if class > 1 || index >= len(d.dcTables) {
			return d.formatError("huffman table: got class %d number %d, want at most 1 and 3", class, index)
		}
		symbols := 0
		for _, n := range p[1:17] {
			symbols += int(n)
		}
		if symbols > 256 || 17+symbols > len(p) {
			return d.formatError("huffman table: got %d symbols in %d bytes, want at most 256 and all present", symbols, len(p)-17)
		}
		t := &d.dcTables[index]
		if class == 1 {
			t = &d.acTables[index]
		}
		t.define(p[1:17], p[17:17+symbols])
		p = p[17+symbols:]
	}
	return nil
}

// readRestartInterval reads DRI, T.81 B.2.4.4.
func (d *jpegDecoder) readRestartInterval() error {
	p, err := d.payload("restart interval")
	if err != nil {
		return err
	}
	if len(p) != 2 {
		return d.formatError("restart interval: got %d bytes, want 2", len(p))
	}
	d.restartInterval = int(p[0])<<8 | int(p[1])
	return nil
}

// readFrameHeader reads SOF, T.81 B.2.2, and lays out the components.
func (d *jpegDecoder) readFrameHeader(progressive bool) error {
	if d.frameSeen {
		return d.formatError("second start-of-frame marker")
	}
	p, err := d.payload("frame header")
	if err != nil {
		return err
	}
	if len(p) < 6 || len(p) != 6+3*int(p[5]) {
		return d.formatError("frame header: got %d bytes, want 6 and 3 for each component", len(p))
	}
	precision, components := int(p[0]), int(p[5])
	d.height, d.width = int(p[1])<<8|int(p[2]), int(p[3])<<8|int(p[4])
	switch {
	case precision != 8:
		return d.unsupported("sample precision: got %d bits, want 8", precision)
	case d.height == 0 && d.width > 0:
		return d.unsupported("height given after the scan (DNL marker)")
	case d.width == 0:
		return d.formatError("empty picture: got %d x %d pixels", d.width, d.height)
	case d.width > maxDimension || d.height > maxDimension:
		return d.unsupported("picture size: got %d x %d pixels, want at most %d a side", d.width, d.height, maxDimension)
	case components != 1 && components != 3 && components != 4:
		return d.unsupported("number of components: got %d, want 1, 3 or 4", components)
	}
	if err := d.lim.checkPixels(formatJPEG, d.width, d.height); err != nil {
		return err
	}
	d.frameSeen, d.progressive = true, progressive
	d.comps = d.compStore[:components]
	for i := range d.comps {
		c, q := &d.comps[i], p[6+3*i:]
		c.id, c.h, c.v, c.tq = q[0], int(q[1]>>4), int(q[1]&15), q[2]
		c.latched = false
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return d.formatError("component %d: sampling factors: got %d x %d, want 1 to 4", i, c.h, c.v)
		}
	}
	return d.layout()
}

// layout derives the geometry of the frame from the sampling factors, T.81 A.1.1.
func (d *jpegDecoder) layout() error {
	if len(d.comps) == 1 {
		// A single component is never interleaved, whatever its factors say.
		d.comps[0].h, d.comps[0].v = 1, 1
	}
	d.maxH, d.maxV = 1, 1
	for i := range d.comps {
		d.maxH, d.maxV = max(d.maxH, d.comps[i].h), max(d.maxV, d.comps[i].v)
	}
	d.mcusX, d.mcusY = ceilDiv(d.width, 8*d.maxH), ceilDiv(d.height, 8*d.maxV)
	for i := range d.comps {
		c := &d.comps[i]
		if d.maxH%c.h != 0 || d.maxV%c.v != 0 {
			return d.unsupported("component %d: sampling factors %d x %d do not divide %d x %d", i, c.h, c.v, d.maxH, d.maxV)
		}
		c.width, c.height = ceilDiv(d.width*c.h, d.maxH), ceilDiv(d.height*c.v, d.maxV)
		c.blocksX, c.blocksY = ceilDiv(c.width, 8), ceilDiv(c.height, 8)
		c.strideBlocks = d.mcusX * c.h
		c.upsampling = upsamplingFor(d.maxH/c.h, d.maxV/c.v, c.width)
	}
	return nil
}

// colorModel is how the components of a frame are to be read.
type colorModel int

const (
	colorGray colorModel = iota
	colorYCbCr
	colorRGB
	colorCMYK
	colorYCCK
)

// colorModel guesses as libjpeg does: the file format itself does not say.
func (d *jpegDecoder) colorModel() colorModel {
	switch {
	case len(d.comps) == 1:
		return colorGray
	case len(d.comps) == 4 && d.adobe && d.adobeColor != 0:
		return colorYCCK
	case len(d.comps) == 4:
		return colorCMYK
	case d.jfif:
		return colorYCbCr
	case d.adobe && d.adobeColor == 0:
		return colorRGB
	case !d.adobe && d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B':
		return colorRGB
	}
	return colorYCbCr
}
