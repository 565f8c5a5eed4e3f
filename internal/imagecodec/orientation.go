package imagecodec

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
)

// An Orientation is how a picture is to be turned to stand upright: the EXIF tag
// of that name (EXIF 2.32, 4.6.4 A), 1 to 8.
//
//	1 as it is              5 mirrored along the main diagonal
//	2 mirrored left-right   6 turned by 90 degrees clockwise
//	3 turned by 180 degrees 7 mirrored along the other diagonal
//	4 mirrored top-bottom   8 turned by 90 degrees counterclockwise
type Orientation int

// upright is the orientation of a file that says nothing, or nothing sensible.
const upright Orientation = 1

// ReadOrientation returns what a file's EXIF data say, or what its XMP data say if
// those do not tell, as Pillow's exif_transpose finds it; 1 if there are none or they
// are damaged.
func ReadOrientation(data []byte) Orientation {
	format, err := Sniff(data)
	if err != nil {
		return upright
	}
	var exif, xmp []byte
	switch format {
	case formatJPEG:
		exif, xmp = jpegMetadata(data)
	case formatPNG:
		if exif = chunkOf(data, len(pngSignature), "eXIf", binary.BigEndian, 4, 0); exif == nil {
			exif = rawProfile(pngText(data, "Raw profile type exif"))
		}
		xmp = pngText(data, "XML:com.adobe.xmp")
	case formatWebP:
		exif = chunkOf(data, webpHeaderSize, "EXIF", binary.LittleEndian, 0, 4)
		xmp = chunkOf(data, webpHeaderSize, "XMP ", binary.LittleEndian, 0, 4)
	}
	for range 2 { // some programs write it twice
		exif = bytes.TrimPrefix(exif, []byte(exifPrefix))
	}
	if o := orientationOf(exif); o != untold {
		return o
	}
	return orientationOfXMP(xmp)
}

const (
	exifPrefix = "Exif\x00\x00"
	xmpPrefix  = "http://ns.adobe.com/xap/1.0/\x00"
)

// jpegMetadata returns the contents of the APP1 segments of EXIF data, which may be
// several, and those of the last segment of XMP data.
func jpegMetadata(data []byte) (exif, xmp []byte) {
	r := openJPEG(data)
	for r.nextMarker() == nil && r.marker != markerSOS && r.marker != markerEOI {
		if !hasPayload(r.marker) {
			continue
		}
		p, err := r.payload("segment")
		if err != nil {
			break
		}
		if r.marker != markerAPP0+1 {
			continue
		}
		if rest, ok := bytes.CutPrefix(p, []byte(exifPrefix)); ok {
			exif = append(slices.Clip(exif), rest...)
		} else if rest, ok := bytes.CutPrefix(p, []byte(xmpPrefix)); ok {
			xmp = rest
		}
	}
	return exif, xmp
}

// chunkOf returns the first chunk of a name. Its length stands at sizeAt and its
// name at nameAt of the chunk's header of 8 bytes; PNG adds a checksum and has
// the length first, RIFF pads to even lengths.
func chunkOf(data []byte, at int, name string, order binary.ByteOrder, nameAt, sizeAt int) []byte {
	for len(data)-at >= 8 {
		head := data[at:]
		size := int64(order.Uint32(head[sizeAt:]))
		at += 8
		if size > int64(len(data)-at) {
			return nil
		}
		if string(head[nameAt:nameAt+4]) == name {
			return data[at : at+int(size)]
		}
		if at += int(size); nameAt > 0 {
			at += 4
		} else {
			at += int(size & 1)
		}
	}
	return nil
}

// maxText bounds what a text of a PNG file may unpack to.
const maxText = 1 << 20

// pngText returns the last text of a keyword: PNG specification 11.3.3.
func pngText(data []byte, keyword string) (text []byte) {
	for at := len(pngSignature); ; {
		name, payload, whole := pngChunk(data, at)
		if !whole {
			return text
		}
		at += chunkFrame + len(payload)
		rest, ok := bytes.CutPrefix(payload, []byte(keyword+"\x00"))
		if !ok {
			continue
		}
		switch {
		case name == "tEXt":
			text = rest
		case name == "zTXt" && len(rest) > 0:
			text = unpackedText(rest[1:])
		case name == "iTXt" && len(rest) > 2:
			packed := rest[0] != 0
			if parts := bytes.SplitN(rest[2:], []byte{0}, 3); len(parts) == 3 { // behind the language and the keyword in it
				if text = parts[2]; packed {
					text = unpackedText(text)
				}
			}
		}
	}
}

// unpackedText returns a text that zlib has packed, nil if it is damaged or too long.
func unpackedText(packed []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(z, maxText+1))
	if err != nil || len(text) > maxText {
		return nil
	}
	return text
}

// rawProfile returns the bytes of a profile as ImageMagick writes it: an empty line,
// one of its name, one of its length, and hexadecimal digits.
func rawProfile(text []byte) []byte {
	lines := bytes.SplitN(text, []byte("\n"), 4)
	if len(lines) < 4 {
		return nil
	}
	digits := bytes.Join(bytes.Fields(lines[3]), nil)
	profile := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(profile, digits); err != nil {
		return nil
	}
	return profile
}

// untold is the orientation of metadata that have none.
const untold Orientation = 0

// xmpTag is how an attribute or an element of XMP tells it.
var xmpTag = regexp.MustCompile(`tiff:Orientation(?:="|>)([0-9])`)

func orientationOfXMP(xmp []byte) Orientation {
	if m := xmpTag.FindSubmatch(xmp); m != nil {
		return sensible(uint32(m[1][0] - '0'))
	}
	return upright
}

// sensible is the orientation of a value, upright where there is none of it.
func sensible(value uint32) Orientation {
	if value >= 1 && value <= 8 {
		return Orientation(value)
	}
	return upright
}

// tiffHeads begin what has the layout of TIFF, some of them wrongly.
var tiffHeads = []string{"II*\x00", "II\x00*", "MM\x00*", "MM*\x00", "MM\x00+"}

// orientationOf reads the tag from the first directory of a TIFF header.
func orientationOf(tiff []byte) Orientation {
	if len(tiff) == 0 {
		return untold
	}
	if len(tiff) < 8 || !slices.Contains(tiffHeads, string(tiff[:4])) {
		return upright
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if tiff[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return untold
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			break
		}
		e := entries[:12]
		entries = entries[12:]
		if order.Uint16(e) != orientationTag {
			continue
		}
		if o := orientationOfEntry(e, tiff, order); o != untold {
			return o
		}
	}
	return untold
}

const orientationTag = 0x0112

// typeBytes are the sizes of the types of TIFF 6.0, section 2, by their numbers.
var typeBytes = [...]int64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}

// orientationOfEntry reads the first value of an entry of any type of integers but
// bytes. SHORT is what it should be; of the signed types the sensible values are the
// same. Values of more than four bytes stand elsewhere.
func orientationOfEntry(e, tiff []byte, order binary.ByteOrder) Orientation {
	kind, count := order.Uint16(e[2:]), int64(order.Uint32(e[4:]))
	if int(kind) >= len(typeBytes) || typeBytes[kind] == 0 || count == 0 {
		return untold
	}
	value, size := e[8:], count*typeBytes[kind]
	if size > 4 {
		at := int64(order.Uint32(e[8:]))
		if size > int64(len(tiff)) || at > int64(len(tiff))-size {
			return untold
		}
		value = tiff[at:]
	}
	switch kind {
	case 6:
		return sensible(uint32(value[0]))
	case 3, 8:
		return sensible(uint32(order.Uint16(value)))
	case 4, 9, 13:
		return sensible(order.Uint32(value))
	}
	return upright
}

// Each turn swaps the axes or not, and then counts along either from its end.
func (o Orientation) swaps() bool { return o >= 5 }
func (o Orientation) flipX() bool { return o == 2 || o == 3 || o == 7 || o == 8 }
func (o Orientation) flipY() bool { return o == 3 || o == 4 || o == 6 || o == 7 }

// size returns the size of the upright picture of a stored one.
func (o Orientation) size(w, h int) (int, int) {
	if o.swaps() {
		return h, w
	}
	return w, h
}

// stored returns where the pixels of a rectangle of the upright picture lie in
// the stored one, which is w x h.
func (o Orientation) stored(r Rect, w, h int) Rect {
	if o.swaps() {
		r = Rect{r.Y0, r.X0, r.Y1, r.X1}
	}
	if o.flipX() {
		r.X0, r.X1 = w-r.X1, w-r.X0
	}
	if o.flipY() {
		r.Y0, r.Y1 = h-r.Y1, h-r.Y0
	}
	return r
}

// turn writes the upright picture of src to dst, of which only region counts.
func (o Orientation) turn(dst, src *Image, region Rect) {
	dst.reset(o.size(src.W, src.H))
	stepX, stepY := 3, 3*src.W // in src, for a pixel to the right and a row down in src
	first := 0
	if o.flipX() {
		first += 3 * (src.W - 1)
		stepX = -stepX
	}
	if o.flipY() {
		first += 3 * src.W * (src.H - 1)
		stepY = -stepY
	}
	if o.swaps() {
		stepX, stepY = stepY, stepX
	}
	for y := region.Y0; y < region.Y1; y++ {
		at := first + y*stepY + region.X0*stepX
		row := dst.Pix[3*(y*dst.W+region.X0) : 3*(y*dst.W+region.X1)]
		for i := 0; i < len(row); i += 3 {
			p := src.Pix[at : at+3]
			row[i], row[i+1], row[i+2] = p[0], p[1], p[2]
			at += stepX
		}
	}
}
