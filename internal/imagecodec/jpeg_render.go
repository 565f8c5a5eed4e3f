package imagecodec

// renderer turns coefficients into pixels, one MCU row after another.
//
// Each component has a strip of samples: those of the MCU row in hand and, if
// some component's upsampling looks at neighbouring rows, the last two row
// groups of the MCU row before. (A row group is the samples of one component
// that make maxV rows of pixels; an MCU row has as many of them as a block has
// rows of pixels.) The output then lags one row group behind, until the
// picture's end.
type renderer struct {
	rect             Rect // pixels to produce
	mcuRow0, mcuRow1 int  // MCU rows they depend on
	kept             int  // row groups kept from one MCU row to the next: 0 or 2
	nextY            int  // next row of pixels
	color            colorModel
}

// strip is a component's share of the renderer.
type strip struct {
	pix              []byte
	stride           int
	firstRow         int // the component's row at pix[0]; negative at the top
	block0, block1   int // columns of blocks to transform
	sample0, sample1 int // columns of samples that the wanted pixels depend on
	row              []byte
}

// begin prepares for the pixels inside rect, which lies inside the picture.
func (r *renderer) begin(d *jpegDecoder, rect Rect) {
	*r = renderer{rect: rect, color: d.colorModel(), nextY: rect.Y0}
	for i := range d.comps {
		if d.comps[i].upsampling.usesNeighbourRows() {
			r.kept = 2
		}
	}
	if rect == (Rect{}) {
		return
	}
	lag := r.kept / 2 * d.maxV // rows of pixels
	r.mcuRow0 = max(rect.Y0-lag, 0) / (d.size * d.maxV)
	r.mcuRow1 = min((rect.Y1-1+lag)/(d.size*d.maxV)+1, d.mcusY)
	for i := range d.comps {
		c := &d.comps[i]
		s, across := &c.strip, c.across
		s.sample0, s.sample1 = rect.X0/across, ceilDiv(rect.X1, across)
		if c.upsampling.usesNeighbourColumns() {
			s.sample0, s.sample1 = max(s.sample0-1, 0), min(s.sample1+1, c.width)
		}
		s.block0, s.block1 = s.sample0/c.size, ceilDiv(s.sample1, c.size)
		s.stride = c.strideBlocks*c.size + slack
		s.pix = resize(s.pix, s.stride*(r.kept+d.size)*d.maxV/c.down)
		s.row = resize(s.row, (s.sample1-s.sample0)*across+slack)
	}
}

// mcuRow transforms an MCU row's coefficients and produces the rows of pixels
// that they complete.
func (r *renderer) mcuRow(d *jpegDecoder, row int, dst *Image) {
	for i := range d.comps {
		c := &d.comps[i]
		s := &c.strip
		group := d.maxV / c.down // rows of a row group
		s.firstRow = (row*d.size - r.kept) * group
		kept := r.kept * group * s.stride
		copy(s.pix[:kept], s.pix[d.size*group*s.stride:])
		for by := row * c.v; by < min((row+1)*c.v, c.blocksY); by++ {
			coefs := c.coefs[((by-c.firstRow)*c.strideBlocks+s.block0)*64:]
			if d.smooth.on {
				coefs = d.smoothed(c, row, by)
			}
			samples := s.pix[(by*c.size-s.firstRow)*s.stride+s.block0*c.size:]
			c.idct(samples, s.stride, coefs, s.block1-s.block0)
		}
	}
	ready := (row + 1) * d.size * d.maxV
	if row+1 < d.mcusY {
		ready -= r.kept / 2 * d.maxV
	}
	for ; r.nextY < min(ready, r.rect.Y1); r.nextY++ {
		at := (r.nextY*dst.W + r.rect.X0) * 3
		r.pixels(d, r.nextY, dst.Pix[at:at+(r.rect.X1-r.rect.X0)*3])
	}
}

// idct turns n blocks that stand side by side into samples at dst.
func (c *component) idct(dst []byte, stride int, coefs []int16, n int) {
	switch c.size {
	case 8:
		active.idct(dst, stride, coefs, &c.quantizer, n)
	case 4:
		active.idct4(dst, stride, coefs, &c.quantizer, n)
	case 2:
		active.idct2(dst, stride, coefs, &c.quantizer, n)
	case 1:
		idct1(dst, coefs, &c.quantizer, n)
	}
}

// pixels produces one row of them, from rect.X0 to rect.X1.
func (r *renderer) pixels(d *jpegDecoder, y int, dst []byte) {
	var full [maxComponents][]byte
	for i := range d.comps {
		full[i] = d.comps[i].upsampledRow(y)[r.rect.X0-d.comps[i].strip.sample0*d.comps[i].across:]
	}
	n := r.rect.X1 - r.rect.X0
	switch r.color {
	case colorGray:
		rgbFromGray(dst, full[0][:n])
	case colorYCbCr:
		active.rgbFromYCbCr(dst, full[0][:n], full[1], full[2])
	case colorRGB:
		rgbFromPlanes(dst, full[0][:n], full[1], full[2])
	case colorCMYK:
		rgbFromPlanes(dst, full[0][:n], full[1], full[2])
		invert(dst)
		applyBlack(dst, full[3][:n])
	case colorYCCK:
		active.rgbFromYCbCr(dst, full[0][:n], full[1], full[2])
		applyBlack(dst, full[3][:n])
	}
}

// upsampledRow returns the component's samples for the row y of pixels; the
// first is the one of sample0. They are valid until the next call.
func (c *component) upsampledRow(y int) []byte {
	s := &c.strip
	at := y / c.down
	near := s.samples(at)
	if c.upsampling == upsampleNone {
		return near
	}
	near = near[:s.sample1-s.sample0]
	var far []byte
	if c.upsampling.usesNeighbourRows() {
		if y%2 == 0 {
			far = s.samples(max(at-1, 0))
		} else {
			far = s.samples(min(at+1, c.height-1))
		}
	}
	switch c.upsampling {
	case triangleH2:
		active.upsampleH2(s.row, near)
	case triangleH2V2:
		active.upsampleH2V2(s.row, near, far)
	case triangleV2:
		upsampleV2(s.row, near, far, int32(1+y%2))
	case upsampleReplicate:
		replicate(s.row, near, c.across)
	}
	return s.row
}

// samples returns a row of the component's samples from sample0 on.
func (s *strip) samples(row int) []byte {
	at := (row - s.firstRow) * s.stride
	return s.pix[at+s.sample0 : at+s.stride]
}
