package imagecodec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
)

// pngHeader is the IHDR chunk, PNG specification 11.2.2.
type pngHeader struct {
	w, h             uint32
	depth, colorType byte
	interlaced       bool
}

// Colour types.
const (
	pngGray    = 0
	pngPalette = 3
)

func readPNGHeader(data []byte) (pngHeader, error) {
	const size = len(pngSignature) + 8 + 13
	if len(data) < size {
		return pngHeader{}, &TruncatedError{Format: formatPNG, Offset: len(data), Msg: "no complete image header"}
	}
	p := data[len(pngSignature):]
	if name := string(p[4:8]); name != "IHDR" {
		return pngHeader{}, &FormatError{Format: formatPNG, Offset: 12, Msg: fmt.Sprintf("first chunk: got %q, want \"IHDR\"", name)}
	}
	h := pngHeader{binary.BigEndian.Uint32(p[8:]), binary.BigEndian.Uint32(p[12:]), p[16], p[17], p[20] != 0}
	if h.w == 0 || h.h == 0 || h.w > 1<<31-1 || h.h > 1<<31-1 {
		return pngHeader{}, &FormatError{Format: formatPNG, Offset: 16, Msg: fmt.Sprintf("picture size: got %d x %d pixels, want 1 to 2147483647 a side", h.w, h.h)}
	}
	return h, nil
}

func pngInfo(data []byte) (Info, error) {
	h, err := readPNGHeader(data)
	if err != nil {
		return Info{}, err
	}
	return Info{Format: formatPNG, W: int(h.w), H: int(h.h)}, nil
}

// decodePNG decodes by image/png, which inflates no more than the header's size
// asks for.
func decodePNG(data []byte, dst *Image, lim Limits) error {
	h, err := readPNGHeader(data)
	if err != nil {
		return err
	}
	if err := lim.checkPixels(formatPNG, int(h.w), int(h.h)); err != nil {
		return err
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		mended := mendPNG(data, h)
		if mended == nil {
			return pngError(err, data)
		}
		var mendedErr error
		if m, mendedErr = png.Decode(mended); mendedErr != nil {
			return pngError(err, data)
		}
	}
	dst.reset(int(h.w), int(h.h))
	if h.colorType == pngGray && h.depth == 16 {
		// Pillow reads deep grey as integers and clips them; all other deep
		// samples lose their low byte.
		return clipGray16(dst, m)
	}
	return rgbFromDecoded(dst, m)
}

func pngError(err error, data []byte) error {
	var unsupported png.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		return &UnsupportedError{Format: formatPNG, Offset: -1, Msg: string(unsupported)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), !hasPNGEnd(data):
		return &TruncatedError{Format: formatPNG, Offset: len(data), Msg: "the file ends inside the picture"}
	}
	return &FormatError{Format: formatPNG, Offset: -1, Msg: strings.TrimPrefix(err.Error(), "png: invalid format: ")}
}

// hasPNGEnd tells whether the chunks lead to an IEND chunk: image/png does not
// tell a file cut between chunks from one with too few rows.
func hasPNGEnd(data []byte) bool {
	p := data[len(pngSignature):]
	for len(p) >= 12 {
		if string(p[4:8]) == "IEND" {
			return true
		}
		n := uint64(binary.BigEndian.Uint32(p)) + 12
		p = p[min(n, uint64(len(p))):]
	}
	return false
}

// rgbFromDecoded drops alpha, not applying it, and the low byte of 16-bit
// samples.
func rgbFromDecoded(dst *Image, m image.Image) error {
	switch m := m.(type) {
	case *image.Gray:
		rgbFromSpaced(dst, m.Pix, 1, 0)
	case *image.RGBA:
		rgbFromSpaced(dst, m.Pix, 4, 1)
	case *image.NRGBA:
		rgbFromSpaced(dst, m.Pix, 4, 1)
	case *image.RGBA64:
		rgbFromSpaced(dst, m.Pix, 8, 2)
	case *image.NRGBA64:
		rgbFromSpaced(dst, m.Pix, 8, 2)
	case *image.Paletted:
		rgbFromPalette(dst, m)
	default:
		return unexpectedPicture(m)
	}
	return nil
}

// rgbFromSpaced takes three samples, step bytes apart, from the front of each
// pixel of size bytes. image/png packs its rows without gaps.
func rgbFromSpaced(dst *Image, pix []byte, size, step int) {
	out := dst.Pix
	for i := range dst.W * dst.H {
		p := pix[i*size : (i+1)*size]
		out[3*i], out[3*i+1], out[3*i+2] = p[0], p[step], p[2*step]
	}
}

// rgbFromPalette looks the pixels up. Indices behind the palette's end are
// black, in image/png as in Pillow.
func rgbFromPalette(dst *Image, m *image.Paletted) {
	var palette [256][3]byte
	for i, c := range m.Palette {
		switch c := c.(type) {
		case color.RGBA:
			palette[i] = [3]byte{c.R, c.G, c.B}
		case color.NRGBA:
			palette[i] = [3]byte{c.R, c.G, c.B}
		}
	}
	for i, index := range m.Pix[:dst.W*dst.H] {
		*(*[3]byte)(dst.Pix[3*i:]) = palette[index]
	}
}

func clipGray16(dst *Image, m image.Image) error {
	var pix []byte
	size := 2
	switch m := m.(type) {
	case *image.Gray16:
		pix = m.Pix
	case *image.NRGBA64: // one grey is transparent
		pix, size = m.Pix, 8
	default:
		return unexpectedPicture(m)
	}
	for i := range dst.W * dst.H {
		v := byte(min(binary.BigEndian.Uint16(pix[i*size:]), 255))
		dst.Pix[3*i], dst.Pix[3*i+1], dst.Pix[3*i+2] = v, v, v
	}
	return nil
}

func unexpectedPicture(m image.Image) error {
	return &UnsupportedError{Format: formatPNG, Offset: -1, Msg: fmt.Sprintf("picture of type %T", m)}
}
