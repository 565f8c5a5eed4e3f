package imagecodec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

const webpHeaderSize = 12 // "RIFF", size, "WEBP"

func isWebP(data []byte) bool {
	return len(data) >= webpHeaderSize && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
}

// webpPicture is the chunk of a WebP file that holds the picture, of an animation
// the first. Alpha stands in a chunk of its own, or in the lossless picture, and is
// not applied.
type webpPicture struct {
	lossless bool
	w, h     int
	bits     []byte
	offset   int // of bits

	// An animation's picture lies at x, y on a canvas, which is black elsewhere.
	animated         bool
	x, y             int
	canvasW, canvasH int
}

// size is that of the decoded image.
func (p *webpPicture) size() (w, h int) {
	if p.animated {
		return p.canvasW, p.canvasH
	}
	return p.w, p.h
}

// findWebP finds the picture. As libwebp it wants all that the file announces,
// behind the picture too, and looks at nothing behind that.
func findWebP(data []byte) (webpPicture, error) {
	riff := int64(binary.LittleEndian.Uint32(data[4:])) + 8
	p, err := walkWebP(data[:max(min(riff, int64(len(data))), webpHeaderSize)])
	if err == nil && riff > int64(len(data)) {
		err = &TruncatedError{Format: formatWebP, Offset: len(data), Msg: "the file ends before the size it announces"}
	}
	return p, err
}

// walkWebP walks the chunks of a RIFF file to the picture, and to the end of a file
// in the extended format.
func walkWebP(data []byte) (picture webpPicture, err error) {
	at, found, extended := webpHeaderSize, false, false
	var canvasW, canvasH int
	for {
		if found && (!extended || at == len(data)) {
			return picture, nil
		}
		if len(data)-at < 8 {
			return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: len(data), Msg: "no picture, or more behind it that is not there"}
		}
		name, size := string(data[at:at+4]), int64(binary.LittleEndian.Uint32(data[at+4:]))
		at += 8
		body := data[at:min(int64(len(data)), int64(at)+size)]
		switch {
		case found:
		case name == "VP8X": // RFC 9649 section 2.7
			if len(body) < 10 {
				return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: at + len(body), Msg: "no complete extended header"}
			}
			extended = true
			canvasW, canvasH = 1+uint24(body[4:]), 1+uint24(body[7:])
		case name == "ANMF":
			picture, err = firstFrame(body, at, canvasW, canvasH)
			found = true
		case name == "VP8 ":
			picture, err = lossyWebP(body, at)
			found = true
		case name == "VP8L":
			picture, err = losslessWebP(body, at)
			found = true
		}
		if err != nil {
			return webpPicture{}, err
		}
		if size += size & 1; size > int64(len(data)-at) {
			return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: len(data), Msg: fmt.Sprintf("the file ends inside the chunk %q", name)}
		}
		at += int(size)
	}
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// firstFrame reads the first ANMF chunk of an animation, RFC 9649 section 2.7.1.1:
// where the frame lies on the canvas, and chunks of its own.
func firstFrame(body []byte, at, canvasW, canvasH int) (webpPicture, error) {
	const header = 16
	if len(body) < header {
		return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: at + len(body), Msg: "no complete frame of an animation"}
	}
	x, y, w, h := 2*uint24(body), 2*uint24(body[3:]), 1+uint24(body[6:]), 1+uint24(body[9:])
	if x+w > canvasW || y+h > canvasH {
		return webpPicture{}, &FormatError{Format: formatWebP, Offset: at,
			Msg: fmt.Sprintf("frame of %d x %d pixels at %d, %d: want it inside the canvas of %d x %d", w, h, x, y, canvasW, canvasH)}
	}
	for sub := header; len(body)-sub >= 8; {
		name, size := string(body[sub:sub+4]), int64(binary.LittleEndian.Uint32(body[sub+4:]))
		sub += 8
		if size > int64(len(body)-sub) {
			break
		}
		var p webpPicture
		var err error
		switch picture := body[sub : sub+int(size)]; name {
		case "VP8 ":
			p, err = lossyWebP(picture, at+sub)
		case "VP8L":
			p, err = losslessWebP(picture, at+sub)
		default:
			sub += int(size + size&1)
			continue
		}
		if err == nil && (p.w != w || p.h != h) {
			err = &FormatError{Format: formatWebP, Offset: at, Msg: fmt.Sprintf("picture of a frame: got %d x %d pixels, want %d x %d", p.w, p.h, w, h)}
		}
		p.animated, p.x, p.y, p.canvasW, p.canvasH = true, x, y, canvasW, canvasH
		return p, err
	}
	return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: at + len(body), Msg: "no picture in the first frame of an animation"}
}

// lossyWebP reads the frame header of RFC 6386 section 9.1.
func lossyWebP(body []byte, at int) (webpPicture, error) {
	if len(body) < 10 {
		return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: at + len(body), Msg: "no complete frame header"}
	}
	if body[0]&1 != 0 || body[3] != 0x9d || body[4] != 0x01 || body[5] != 0x2a {
		return webpPicture{}, &FormatError{Format: formatWebP, Offset: at, Msg: "no key frame"}
	}
	p := webpPicture{w: int(binary.LittleEndian.Uint16(body[6:]) & 0x3fff), h: int(binary.LittleEndian.Uint16(body[8:]) & 0x3fff), bits: body, offset: at}
	if p.w == 0 || p.h == 0 {
		return webpPicture{}, &FormatError{Format: formatWebP, Offset: at + 6, Msg: fmt.Sprintf("picture size: got %d x %d pixels", p.w, p.h)}
	}
	return p, nil
}

// losslessWebP reads the image header of RFC 9649 section 3.4.
func losslessWebP(body []byte, at int) (webpPicture, error) {
	if len(body) < 5 {
		return webpPicture{}, &TruncatedError{Format: formatWebP, Offset: at + len(body), Msg: "no complete image header"}
	}
	if body[0] != 0x2f {
		return webpPicture{}, &FormatError{Format: formatWebP, Offset: at, Msg: fmt.Sprintf("signature of a lossless picture: got %#02x, want 0x2f", body[0])}
	}
	size := binary.LittleEndian.Uint32(body[1:])
	return webpPicture{lossless: true, w: int(size&0x3fff) + 1, h: int(size>>14&0x3fff) + 1, bits: body, offset: at}, nil
}

func webpInfo(data []byte) (Info, error) {
	p, err := findWebP(data)
	if err != nil {
		return Info{}, err
	}
	w, h := p.size()
	return Info{Format: formatWebP, W: w, H: h}, nil
}

// decodeWebP decodes by x/image and turns lossy pictures into RGB as libwebp,
// and so Pillow, does.
func decodeWebP(data []byte, dst *Image, lim Limits) error {
	p, err := findWebP(data)
	if err != nil {
		return err
	}
	w, h := p.size()
	if err := lim.checkPixels(formatWebP, w, h); err != nil {
		return err
	}
	if w == p.w && h == p.h {
		return p.decode(dst)
	}
	var frame Image
	if err := p.decode(&frame); err != nil {
		return err
	}
	dst.reset(w, h)
	clear(dst.Pix)
	for y := range frame.H {
		copy(dst.Pix[3*((p.y+y)*w+p.x):], frame.Pix[3*y*frame.W:3*(y+1)*frame.W])
	}
	return nil
}

// decode decodes the picture itself.
func (p *webpPicture) decode(dst *Image) error {
	if p.lossless {
		m, err := vp8l.Decode(bytes.NewReader(p.bits))
		if err != nil {
			return p.failed(err)
		}
		pixels, ok := m.(*image.NRGBA)
		if !ok {
			return &UnsupportedError{Format: formatWebP, Offset: p.offset, Msg: fmt.Sprintf("picture of type %T", m)}
		}
		dst.reset(p.w, p.h)
		rgbFromSpaced(dst, pixels.Pix, 4, 1)
		return nil
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(p.bits), len(p.bits))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return p.failed(err)
	}
	m, err := d.DecodeFrame()
	if err != nil {
		return p.failed(err)
	}
	dst.reset(p.w, p.h)
	rgbFromVP8(dst, m)
	return nil
}

func (p *webpPicture) failed(err error) error {
	end := p.offset + len(p.bits)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &TruncatedError{Format: formatWebP, Offset: end, Msg: "the file ends inside the picture"}
	}
	return &FormatError{Format: formatWebP, Offset: p.offset, Msg: err.Error()}
}

// rgbFromVP8 enlarges the colour planes by libwebp's "fancy" upsampling: weights
// 9, 3, 3, 1 of the four nearest samples, rounded in two steps. Rows go in pairs
// between two rows of colour; the first and, of an even height, the last row
// have one.
func rgbFromVP8(dst *Image, m *image.YCbCr) {
	chroma := (dst.H + 1) / 2
	vp8Rows(dst, m, 0, -1, 0, 0)
	for c := 1; c < chroma; c++ {
		vp8Rows(dst, m, 2*c-1, 2*c, c-1, c)
	}
	if dst.H%2 == 0 {
		vp8Rows(dst, m, dst.H-1, -1, chroma-1, chroma-1)
	}
}

// vp8Rows makes row top, nearer to the row upper of colour, and row bottom,
// nearer to lower; bottom is -1 where there is none.
func vp8Rows(dst *Image, m *image.YCbCr, top, bottom, upper, lower int) {
	n := (dst.W + 1) / 2
	u0, v0 := m.Cb[upper*m.CStride:][:n], m.Cr[upper*m.CStride:][:n]
	u1, v1 := m.Cb[lower*m.CStride:][:n], m.Cr[lower*m.CStride:][:n]
	put := func(y, x int, u, v int32) {
		if y >= 0 && x < dst.W {
			vp8Pixel(dst.Pix[3*(y*dst.W+x):], int32(m.Y[y*m.YStride+x]), u, v)
		}
	}
	edge := func(x, c int) { // at the picture's left and right there is one column of colour
		a, b, d, e := int32(u0[c]), int32(v0[c]), int32(u1[c]), int32(v1[c])
		put(top, x, (3*a+d+2)>>2, (3*b+e+2)>>2)
		put(bottom, x, (3*d+a+2)>>2, (3*e+b+2)>>2)
	}
	edge(0, 0)
	for c := 1; c < n; c++ {
		ua, ub, uc, ud := vp8Between(int32(u0[c-1]), int32(u0[c]), int32(u1[c-1]), int32(u1[c]))
		va, vb, vc, vd := vp8Between(int32(v0[c-1]), int32(v0[c]), int32(v1[c-1]), int32(v1[c]))
		put(top, 2*c-1, ua, va)
		put(top, 2*c, ub, vb)
		put(bottom, 2*c-1, uc, vc)
		put(bottom, 2*c, ud, vd)
	}
	if dst.W%2 == 0 {
		edge(dst.W-1, n-1)
	}
}

// vp8Between returns the four samples between four: a at the top left, b at the
// top right, c and d below.
func vp8Between(a, b, c, d int32) (ta, tb, tc, td int32) {
	sum := a + b + c + d + 8
	rising := (sum + 2*(b+c)) >> 3
	falling := (sum + 2*(a+d)) >> 3
	return (rising + a) >> 1, (falling + b) >> 1, (falling + c) >> 1, (rising + d) >> 1
}

// vp8Pixel is libwebp's conversion by 14-bit factors, Rec. 601 with luma from 16
// to 235.
func vp8Pixel(dst []byte, y, u, v int32) {
	luma := y * 19077 >> 8
	dst[0] = vp8Clip(luma + v*26149>>8 - 14234)
	dst[1] = vp8Clip(luma - u*6419>>8 - v*13320>>8 + 8708)
	dst[2] = vp8Clip(luma + u*33050>>8 - 17685)
}

func vp8Clip(v int32) byte { return byte(min(max(v>>6, 0), 255)) }
