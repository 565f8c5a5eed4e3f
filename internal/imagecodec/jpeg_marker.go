package imagecodec

func (d *jpegDecoder) reset(data []byte, lim Limits) {
	d.jpegReader, d.lim = openJPEG(data), lim
	d.frameSeen, d.jfif, d.adobe = false, false, false
	d.restartInterval = 0
	for i := range d.quant {
		d.quant[i].defined = false
		d.dcTables[i].defined = false
		d.acTables[i].defined = false
	}
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

// segment acts on the marker segment of d.marker: anything but SOS and EOI.
func (d *jpegDecoder) segment() error {
	m := d.marker
	switch {
	case isFrameMarker(m):
		return d.readFrame()
	case m == markerDQT:
		return d.readQuantTables()
	case m == markerDHT:
		return d.readHuffmanTables()
	case m == markerDRI:
		return d.readRestartInterval()
	case markerAPP0 <= m && m <= markerAPP15:
		return d.readApplicationData()
	case canPass(m):
		_, err := d.payload("segment")
		return err
	case m == markerDAC:
		return d.readConditioning()
	case m == markerTEM || markerRST0 <= m && m <= markerRST7:
		return nil
	case m == markerSOI:
		return d.formatError("second start-of-image marker")
	}
	return d.formatError("got marker ff%02x, want a known one", m)
}
