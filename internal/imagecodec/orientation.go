package imagecodec

import (
	"bytes"
	"encoding/binary"
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

// ReadOrientation returns what a file's EXIF data say, 1 if there are none or
// they are damaged. Other places than EXIF, such as XMP, are not looked at.
func ReadOrientation(data []byte) Orientation {
	format, err := Sniff(data)
	if err != nil {
		return upright
	}
	var exif []byte
	switch format {
	case formatJPEG:
		exif = jpegEXIF(data)
	case formatPNG:
		exif = chunkOf(data, len(pngSignature), "eXIf", binary.BigEndian, 4, 0)
	case formatWebP:
		exif = chunkOf(data, webpHeaderSize, "EXIF", binary.LittleEndian, 0, 4)
	}
	return orientationOf(bytes.TrimPrefix(exif, []byte(exifPrefix)))
}

const exifPrefix = "Exif\x00\x00"

// jpegEXIF returns the contents of the first APP1 segment of EXIF data.
func jpegEXIF(data []byte) []byte {
	r := openJPEG(data)
	for r.nextMarker() == nil && r.marker != markerSOS && r.marker != markerEOI {
		if !hasPayload(r.marker) {
			continue
		}
		p, err := r.payload("segment")
		if err != nil {
			return nil
		}
		if r.marker == markerAPP0+1 && bytes.HasPrefix(p, []byte(exifPrefix)) {
			return p
		}
	}
	return nil
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

// orientationOf reads the tag from the first directory of a TIFF header.
func orientationOf(tiff []byte) Orientation {
	// SHORT is what it should be. Of the signed types the sensible values are the same.
	const tag, byteType, shortType, longType = 0x0112, 1, 3, 4
	const signedByte, signedShort, signedLong = 6, 8, 9
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return upright
	}
	if len(tiff) < 8 {
		return upright
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return upright
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			break
		}
		e := entries[:12]
		entries = entries[12:]
		if order.Uint16(e) != tag {
			continue
		}
		var value uint32
		switch order.Uint16(e[2:]) {
		case byteType, signedByte:
			value = uint32(e[8])
		case shortType, signedShort:
			value = uint32(order.Uint16(e[8:]))
		case longType, signedLong:
			value = order.Uint32(e[8:])
		}
		if value >= 1 && value <= 8 {
			return Orientation(value)
		}
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
