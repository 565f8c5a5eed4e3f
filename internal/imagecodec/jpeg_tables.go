package imagecodec

// zigzag maps a coefficient's place in the file to its place in the block. A
// corrupt run may lead up to 15 places past the end: those all land on the last
// coefficient, as in libjpeg, and so do the zeros of a step that ends a block. The
// length is a power of two so that a masked index needs no bounds check.
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
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
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

// readConditioning reads DAC, T.81 B.2.4.3, which nothing here needs: a file with
// a wrong one is refused by libjpeg.
func (d *jpegDecoder) readConditioning() error {
	p, err := d.payload("arithmetic conditioning")
	if err != nil {
		return err
	}
	if len(p)%2 != 0 {
		return d.formatError("arithmetic conditioning: got %d bytes, want an even number", len(p))
	}
	for ; len(p) > 0; p = p[2:] {
		if table, value := p[0], p[1]; table > 31 || table < 16 && value&15 > value>>4 {
			return d.formatError("arithmetic conditioning: got table %d with value %#02x", table, value)
		}
	}
	return nil
}

// readApplicationData looks for the segments that tell the colour model.
func (d *jpegDecoder) readApplicationData() error {
	marker := d.marker
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
