package imagecodec

import (
	"bytes"
	"fmt"
)

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

// jpegReader reads the markers of a file, T.81 annex B.
type jpegReader struct {
	data     []byte
	pos      int  // next byte not yet read
	marker   byte // marker last met and not yet acted upon; 0 none
	markerAt int  // its offset
}

// openJPEG begins behind the start-of-image marker, which Sniff has seen.
func openJPEG(data []byte) jpegReader { return jpegReader{data: data, pos: 2} }

// nextMarker finds the next marker, skipping whatever else is there, and leaves
// it in r.marker with r.pos behind it.
func (r *jpegReader) nextMarker() error {
	for {
		i := bytes.IndexByte(r.data[r.pos:], 0xFF)
		if i < 0 {
			r.pos = len(r.data)
			return r.truncated("no end-of-image marker")
		}
		r.pos += i
		for r.pos < len(r.data) && r.data[r.pos] == 0xFF { // fill bytes, B.1.1.2
			r.pos++
		}
		if r.pos == len(r.data) {
			return r.truncated("no end-of-image marker")
		}
		r.marker, r.markerAt = r.data[r.pos], r.pos-1
		r.pos++
		if r.marker != 0 { // 0: a stuffed data byte
			return nil
		}
	}
}

// payload returns the bytes of a marker segment and moves behind it.
func (r *jpegReader) payload(name string) ([]byte, error) {
	if len(r.data)-r.pos < 2 {
		return nil, r.truncated(name + " without its length")
	}
	n := int(r.data[r.pos])<<8 | int(r.data[r.pos+1])
	if canPass(r.marker) {
		n = max(n, 2) // libjpeg takes a length that is too small for itself as none
	}
	if n < 2 {
		return nil, r.formatError("%s length: got %d, want at least 2", name, n)
	}
	if len(r.data)-r.pos < n {
		return nil, r.truncated(name + " runs past the end of the file")
	}
	p := r.data[r.pos+2 : r.pos+n]
	r.pos += n
	return p, nil
}

// canPass tells whether decoding can do without the segment of m.
func canPass(m byte) bool {
	return markerAPP0 <= m && m <= markerAPP15 || m == markerCOM || m == markerDNL
}

// isFrameMarker tells whether m begins a frame of any kind of coding.
func isFrameMarker(m byte) bool {
	return markerSOF0 <= m && m <= markerSOF15 && m != markerDHT && m != markerDAC
}

// hasPayload tells whether a length and that many bytes follow m.
func hasPayload(m byte) bool {
	return m != markerTEM && (m < markerRST0 || m > markerSOI)
}

func (r *jpegReader) formatError(format string, args ...any) error {
	return &FormatError{Format: formatJPEG, Offset: r.markerAt, Msg: fmt.Sprintf(format, args...)}
}

func (r *jpegReader) unsupported(format string, args ...any) error {
	return &UnsupportedError{Format: formatJPEG, Offset: r.markerAt, Msg: fmt.Sprintf(format, args...)}
}

func (r *jpegReader) truncated(where string) error {
	return &TruncatedError{Format: formatJPEG, Offset: len(r.data), Msg: where}
}
