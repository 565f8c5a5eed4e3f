package imagecodec

// maxDimension is libjpeg's own limit on width and height.
const maxDimension = 65500

// frameHeader is the content of SOF, T.81 B.2.2.
type frameHeader struct {
	width, height int
	components    []byte // of each: id, sampling factors, quantisation table
}

// jpegInfo reads up to the frame header.
func jpegInfo(data []byte) (Info, error) {
	r := openJPEG(data)
	for {
		if err := r.nextMarker(); err != nil {
			return Info{}, err
		}
		switch {
		case isFrameMarker(r.marker):
			h, err := r.readFrameHeader()
			return Info{Format: formatJPEG, W: h.width, H: h.height}, err
		case r.marker == markerSOS || r.marker == markerEOI:
			return Info{}, r.formatError("no frame header before marker ff%02x", r.marker)
		case hasPayload(r.marker):
			if _, err := r.payload("segment"); err != nil {
				return Info{}, err
			}
		}
	}
}

func (r *jpegReader) readFrameHeader() (frameHeader, error) {
	if r.marker > markerSOF2 {
		return frameHeader{}, r.unsupported("lossless, hierarchical or arithmetic coding: got frame marker ff%02x, want ffc0, ffc1 or ffc2", r.marker)
	}
	p, err := r.payload("frame header")
	if err != nil {
		return frameHeader{}, err
	}
	if len(p) < 6 || len(p) != 6+3*int(p[5]) {
		return frameHeader{}, r.formatError("frame header: got %d bytes, want 6 and 3 for each component", len(p))
	}
	precision, components := int(p[0]), int(p[5])
	h := frameHeader{int(p[3])<<8 | int(p[4]), int(p[1])<<8 | int(p[2]), p[6:]}
	switch {
	case precision != 8:
		return frameHeader{}, r.unsupported("sample precision: got %d bits, want 8", precision)
	case h.height == 0 && h.width > 0:
		return frameHeader{}, r.unsupported("height given after the scan (DNL marker)")
	case h.width == 0:
		return frameHeader{}, r.formatError("empty picture: got %d x %d pixels", h.width, h.height)
	case h.width > maxDimension || h.height > maxDimension:
		return frameHeader{}, r.unsupported("picture size: got %d x %d pixels, want at most %d a side", h.width, h.height, maxDimension)
	case components != 1 && components != 3 && components != 4:
		return frameHeader{}, r.unsupported("number of components: got %d, want 1, 3 or 4", components)
	}
	return h, nil
}

// readFrame reads the frame header and lays out the components.
func (d *jpegDecoder) readFrame() error {
	if d.frameSeen {
		return d.formatError("second frame header")
	}
	h, err := d.readFrameHeader()
	if err != nil {
		return err
	}
	if err := d.lim.checkPixels(formatJPEG, h.width, h.height); err != nil {
		return err
	}
	d.frameSeen, d.progressive = true, d.marker == markerSOF2
	d.width, d.height = h.width, h.height
	d.comps = d.compStore[:len(h.components)/3]
	for i := range d.comps {
		c, q := &d.comps[i], h.components[3*i:]
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
		c.blocksX, c.blocksY = ceilDiv(d.width*c.h, 8*d.maxH), ceilDiv(d.height*c.v, 8*d.maxV)
		c.strideBlocks = d.mcusX * c.h
		d.scaleSamples(c)
	}
	return nil
}

// scaleSamples settles what the picture's scale makes of a component. One that is
// coded at a lower resolution is scaled less, by its transform, as long as that
// spares upsampling it.
func (d *jpegDecoder) scaleSamples(c *component) {
	c.size = d.size
	for c.size < 8 && d.maxH*d.size%(2*c.h*c.size) == 0 && d.maxV*d.size%(2*c.v*c.size) == 0 {
		c.size *= 2
	}
	c.across, c.down = d.maxH*d.size/(c.h*c.size), d.maxV*d.size/(c.v*c.size)
	c.width, c.height = ceilDiv(d.width*c.h*c.size, 8*d.maxH), ceilDiv(d.height*c.v*c.size, 8*d.maxV)
	c.upsampling = upsamplingFor(c.across, c.down, c.width)
	if d.size == 1 && c.upsampling != upsampleNone {
		c.upsampling = upsampleReplicate // at 1/8 libjpeg has no rows to look at
	}
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
