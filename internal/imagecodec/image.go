package imagecodec

import "bytes"

// Image is an 8-bit RGB picture, rows packed: Pix[(y*W+x)*3+c].
type Image struct {
	W, H int
	Pix  []byte
	// Of a picture decoded at a scale of 1/Scale: the scale, and the size of the
	// whole. Zero of any other.
	Scale        int
	FullW, FullH int
}

// reset gives the image a size, reusing its memory. The pixels are not cleared.
func (m *Image) reset(w, h int) {
	m.W, m.H = w, h
	m.Scale, m.FullW, m.FullH = 0, 0, 0
	m.Pix = resize(m.Pix, w*h*3)
}

// Rect is the half-open pixel rectangle X0 <= x < X1, Y0 <= y < Y1.
type Rect struct{ X0, Y0, X1, Y1 int }

// Clip returns the part of r inside a picture of w x h pixels; a rectangle
// without pixels comes back as the zero Rect.
func (r Rect) Clip(w, h int) Rect {
	r = Rect{max(r.X0, 0), max(r.Y0, 0), min(r.X1, w), min(r.Y1, h)}
	if r.X0 >= r.X1 || r.Y0 >= r.Y1 {
		return Rect{}
	}
	return r
}

// Limits bound what a file may make the decoder do. They are checked before
// memory is taken for the pixels. A zero field means the default.
type Limits struct {
	MaxPixels int64 // width times height; default 128 Mi
	MaxScans  int   // scans of one JPEG; default 500: each may cost a pass over all pixels
}

func (l Limits) withDefaults() Limits {
	if l.MaxPixels == 0 {
		l.MaxPixels = 128 << 20
	}
	if l.MaxScans == 0 {
		l.MaxScans = 500
	}
	return l
}

func (l Limits) checkPixels(format string, w, h int) error {
	if n := int64(w) * int64(h); n > l.MaxPixels {
		return &LimitError{Format: format, What: "pixels", Got: n, Max: l.MaxPixels}
	}
	return nil
}

// Info is what a file's header says.
type Info struct {
	Format string // "jpeg", "png" or "webp"
	W, H   int    // pixels
	Turned bool   // by a Decoder that turns pictures upright: stored otherwise
}

const (
	formatJPEG = "jpeg"
	formatPNG  = "png"
	formatWebP = "webp"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// Sniff returns the format that data's first bytes announce, "jpeg", "png"
// or "webp", or an UnsupportedError naming the bytes.
func Sniff(data []byte) (string, error) {
	switch {
	case len(data) >= 2 && data[0] == 0xFF && data[1] == markerSOI:
		return formatJPEG, nil
	case bytes.HasPrefix(data, []byte(pngSignature)):
		return formatPNG, nil
	case isWebP(data):
		return formatWebP, nil
	}
	return "", unknownMagic(data)
}

// ReadInfo reads as far as the picture's size and allocates nothing. The errors
// are of the kinds of Decode; limits are not applied.
func ReadInfo(data []byte) (Info, error) {
	format, err := Sniff(data)
	if err != nil {
		return Info{}, err
	}
	switch format {
	case formatPNG:
		return pngInfo(data)
	case formatWebP:
		return webpInfo(data)
	}
	return jpegInfo(data)
}

// Decode decodes one JPEG, PNG or WebP file into dst, reusing the capacity of
// dst.Pix. After an error dst's contents are unspecified. The errors are
// FormatError, UnsupportedError, TruncatedError and LimitError.
//
// Decode makes its scratch memory anew; use a Decoder for many files.
func Decode(data []byte, dst *Image, lim Limits) error {
	d := Decoder{Limits: lim}
	return d.Decode(data, dst)
}

// Decoder decodes files one after another, keeping its scratch memory. The zero
// value is ready. It is not safe for concurrent use: one a worker.
type Decoder struct {
	Limits Limits
	// Upright turns pictures as their EXIF data say. Pictures, regions and sizes
	// are then those of the upright picture.
	Upright bool

	jpeg   jpegDecoder
	stored Image // before it is turned
}

// ReadInfo is the function ReadInfo, of the picture that Decode gives.
func (d *Decoder) ReadInfo(data []byte) (Info, error) {
	info, err := ReadInfo(data)
	if err == nil && d.Upright {
		o := ReadOrientation(data)
		info.W, info.H = o.size(info.W, info.H)
		info.Turned = o != upright
	}
	return info, err
}

// Decode is the function Decode with d's limits and memory. For JPEG it
// allocates nothing once the scratch memory and dst.Pix have grown to the
// largest picture met.
func (d *Decoder) Decode(data []byte, dst *Image) error {
	return d.turned(data, 1, nil, dst)
}

// DecodeRegion decodes a file of which only the pixels inside region are
// wanted. dst gets the size of the whole picture; pixels inside region equal
// those of Decode, the others are unspecified. For JPEG the work outside is
// left out where it can be. A file is accepted or refused as by Decode.
func (d *Decoder) DecodeRegion(data []byte, region Rect, dst *Image) error {
	return d.turned(data, 1, &region, dst)
}

// Scales are those of DecodeScaled, the largest first.
var Scales = [...]int{8, 4, 2, 1}

// DecodeScaled is DecodeRegion of a JPEG at a scale of 1/scale, one of Scales: a
// block of 8 x 8 coefficients becomes so many fewer pixels, as libjpeg-turbo makes
// them, in place of 64. dst gets ceil(W/scale) x ceil(H/scale) pixels, and region
// counts these. A pixel stands for the scale x scale pixels of the whole picture at
// scale times its place; the last ones of a row or column may stand for fewer. Of a
// picture that is turned upright these may be the first ones.
//
// Other formats than JPEG are an UnsupportedError.
func (d *Decoder) DecodeScaled(data []byte, scale int, region Rect, dst *Image) error {
	return d.turned(data, scale, &region, dst)
}

// turned decodes and, where it is asked for, turns the picture upright.
func (d *Decoder) turned(data []byte, scale int, region *Rect, dst *Image) error {
	if !d.Upright {
		return d.decode(data, scale, region, dst)
	}
	o := ReadOrientation(data)
	if o == upright {
		return d.decode(data, scale, region, dst)
	}
	info, err := ReadInfo(data)
	if err != nil {
		return err
	}
	w, h := ceilDiv(info.W, scale), ceilDiv(info.H, scale)
	var wanted Rect
	wanted.X1, wanted.Y1 = o.size(w, h)
	if region != nil {
		wanted = region.Clip(wanted.X1, wanted.Y1)
		stored := o.stored(wanted, w, h)
		region = &stored
	}
	if err := d.decode(data, scale, region, &d.stored); err != nil {
		return err
	}
	o.turn(dst, &d.stored, wanted)
	dst.Scale = d.stored.Scale
	dst.FullW, dst.FullH = o.size(d.stored.FullW, d.stored.FullH)
	return nil
}

func (d *Decoder) decode(data []byte, scale int, region *Rect, dst *Image) error {
	format, err := Sniff(data)
	if err != nil {
		return err
	}
	if scale > 1 && format != formatJPEG {
		return &UnsupportedError{Format: format, Offset: -1, Msg: "decoding at a smaller scale, which is JPEG's alone"}
	}
	lim := d.Limits.withDefaults()
	switch format {
	case formatPNG:
		return decodePNG(data, dst, lim)
	case formatWebP:
		return decodeWebP(data, dst, lim)
	}
	return d.jpeg.decode(data, scale, region, dst, lim)
}

// resize returns a slice of n elements in s's memory if that suffices. The
// contents are unspecified.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
