package imagecodec

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"slices"
)

const chunkFrame = 12 // bytes of a PNG chunk beside its payload: length, name, checksum

// mendPNG returns the picture of a damaged file as a file without damage, nil
// where there is none. What Pillow does not look at is passed over: checksums of
// the chunks of pixels, what follows the last row, and all chunks behind it; a
// palette where there is none to be, or what is too much of one; and which colour
// is transparent, as alpha is dropped anyway. Chunks before the pixels must be
// whole and right.
//
// The file is made as it is read, and damage that shows later ends it by an error.
func mendPNG(data []byte, h pngHeader) io.Reader {
	head := bytes.NewBufferString(pngSignature)
	at := len(pngSignature)
	for {
		name, payload, whole := pngChunk(data, at)
		if name == "IDAT" {
			break
		}
		end := at + chunkFrame + len(payload)
		if !whole || crc32.ChecksumIEEE(data[at+4:end-4]) != binary.BigEndian.Uint32(data[end-4:]) {
			return nil
		}
		switch {
		case name == "IHDR":
			writePNGChunk(head, name, payload)
		case name == "PLTE" && h.colorType == pngPalette:
			writePNGChunk(head, name, payload[:3*min(len(payload)/3, 1<<h.depth)])
		}
		at = end
	}
	var packed []io.Reader
	for {
		name, payload, _ := pngChunk(data, at)
		if name != "IDAT" {
			break
		}
		packed = append(packed, bytes.NewReader(payload))
		at += chunkFrame + len(payload)
	}
	rows, err := zlib.NewReader(io.MultiReader(packed...))
	if err != nil {
		return nil
	}
	zlibHeader := []byte{0x78, 0x01} // RFC 1950: deflate with a window of 32 KiB, no dictionary
	return io.MultiReader(head, &pixelChunks{rows: rows, left: h.pixelBytes(), sum: adler32.New(), payload: zlibHeader})
}

// pixelChunks are the chunks of the pixels, in the format of zlib but stored as
// they are, and the end of the file.
type pixelChunks struct {
	rows io.Reader   // inflated
	left int         // bytes of rows
	sum  hash.Hash32 // of those read

	payload []byte       // of the next chunk
	ready   bytes.Buffer // chunks not handed out yet
}

// storedBytes is the most that one block of RFC 1951 stores.
const storedBytes = 1<<16 - 1

// Read implements io.Reader.
func (c *pixelChunks) Read(p []byte) (int, error) {
	if c.ready.Len() == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	return c.ready.Read(p)
}

// next makes the next chunk ready, of one block.
func (c *pixelChunks) next() error {
	n := min(c.left, storedBytes)
	c.left -= n
	last := byte(0)
	if c.left == 0 {
		last = 1
	}
	c.payload = append(c.payload, last, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
	start := len(c.payload)
	c.payload = slices.Grow(c.payload, n)[:start+n]
	if _, err := io.ReadFull(c.rows, c.payload[start:]); err != nil {
		return err
	}
	c.sum.Write(c.payload[start:])
	if c.left > 0 {
		writePNGChunk(&c.ready, "IDAT", c.payload)
		c.payload = c.payload[:0]
		return nil
	}
	// zlib itself refuses a wrong checksum, though not a missing one.
	var corrupt flate.CorruptInputError
	if _, err := c.rows.Read(make([]byte, 1)); errors.Is(err, zlib.ErrChecksum) || errors.As(err, &corrupt) {
		return err
	}
	c.payload = c.sum.Sum(c.payload)
	writePNGChunk(&c.ready, "IDAT", c.payload)
	writePNGChunk(&c.ready, "IEND", nil)
	return nil
}

// pngChunk returns the name of the chunk at a place and as much of its payload as
// there is; whole tells whether that and the checksum are all there.
func pngChunk(data []byte, at int) (name string, payload []byte, whole bool) {
	if len(data)-at < 8 {
		return "", nil, false
	}
	n, rest := uint64(binary.BigEndian.Uint32(data[at:])), data[at+8:]
	return string(data[at+4 : at+8]), rest[:min(n, uint64(len(rest)))], n+4 <= uint64(len(rest))
}

func writePNGChunk(out *bytes.Buffer, name string, payload []byte) {
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], uint32(len(payload)))
	out.Write(word[:])
	start := out.Len()
	out.WriteString(name)
	out.Write(payload)
	binary.BigEndian.PutUint32(word[:], crc32.ChecksumIEEE(out.Bytes()[start:]))
	out.Write(word[:])
}

// pixelBytes is the length of the inflated pixel data: rows, each behind the byte
// of its filter, of the picture or of the seven passes of an interlaced one.
func (h pngHeader) pixelBytes() int {
	channels := map[byte]int{pngGray: 1, 2: 3, pngPalette: 1, 4: 2, 6: 4}[h.colorType]
	rows := func(w, h0 int) int {
		if w <= 0 || h0 <= 0 {
			return 0
		}
		return h0 * (1 + ceilDiv(w*channels*int(h.depth), 8))
	}
	if !h.interlaced {
		return rows(int(h.w), int(h.h))
	}
	total := 0
	for _, pass := range [7]struct{ x, y, dx, dy int }{ // PNG specification 8.2
		{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
	} {
		total += rows(ceilDiv(int(h.w)-pass.x, pass.dx), ceilDiv(int(h.h)-pass.y, pass.dy))
	}
	return total
}
