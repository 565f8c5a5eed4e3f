package imagecodec

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const chunkFrame = 12 // bytes of a PNG chunk beside its payload: length, name, checksum

// mendPNG returns the picture of a damaged file as a file without damage, nil
// where there is none. What Pillow does not look at is passed over: checksums of
// the chunks of pixels, what follows the last row, and all chunks behind it. Chunks
// before the pixels must be whole and right.
func mendPNG(data []byte, h pngHeader) []byte {
	out := bytes.NewBufferString(pngSignature)
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
		if name == "IHDR" || name == "PLTE" || name == "tRNS" {
			out.Write(data[at:end])
		}
		at = end
	}
	var packed []byte
	for {
		name, payload, _ := pngChunk(data, at)
		if name != "IDAT" {
			break
		}
		packed = append(packed, payload...)
		at += chunkFrame + len(payload)
	}
	inflater, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	rows := make([]byte, h.pixelBytes())
	if _, err := io.ReadFull(inflater, rows); err != nil {
		return nil
	}
	// zlib itself refuses a wrong checksum, though not a missing one.
	var corrupt flate.CorruptInputError
	if _, err := inflater.Read(make([]byte, 1)); errors.Is(err, zlib.ErrChecksum) || errors.As(err, &corrupt) {
		return nil
	}
	var stored bytes.Buffer
	w, _ := zlib.NewWriterLevel(&stored, zlib.NoCompression) // the level exists
	w.Write(rows)                                            // a buffer takes all
	w.Close()
	writePNGChunk(out, "IDAT", stored.Bytes())
	writePNGChunk(out, "IEND", nil)
	return out.Bytes()
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
	channels := map[byte]int{pngGray: 1, 2: 3, 3: 1, 4: 2, 6: 4}[h.colorType]
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
