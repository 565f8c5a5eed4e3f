package imagecodec

import (
	"bytes"
	"encoding/binary"
)

// segmentPad is the number of zero bytes kept behind an entropy-coded segment.
// libjpeg reads zero bits past a segment's end, and one block takes at most 32
// bits for each of 64 coefficients; the rest is for 8-byte loads that run ahead.
const segmentPad = 64*4 + 64

// beyondEnd is how far behind the end of its data a block may begin to be read.
const beyondEnd = 8

// bitReader reads one entropy-coded segment: the bytes up to a marker, with the
// stuffed zero bytes taken out beforehand so that refilling has no branches. The
// kernels know the places of the fields up to src.
type bitReader struct {
	buf  uint64 // the next n bits, left aligned; the bits below are zero or those src[at:] begins with
	n    uint
	at   int // next byte of src
	end  int // src[end:] is padding
	src  []byte
	last bool // the segment ends with the file, not with a marker
	done bool // more bits were asked for than there are: blocks stay zero until a restart
}

// load takes the segment that starts at d.pos and leaves the marker that ends
// it in d.marker, with d.pos behind. Where there is none the segment is the last.
func (d *jpegDecoder) load() {
	r := &d.bits
	r.src = r.src[:0]
	r.last = false
	for {
		rest := d.data[d.pos:]
		i := bytes.IndexByte(rest, 0xFF)
		if i < 0 {
			i = len(rest)
		}
		r.src = append(r.src, rest[:i]...)
		for i < len(rest) && rest[i] == 0xFF {
			i++
		}
		if i == len(rest) {
			d.pos, r.last = len(d.data), true
			break
		}
		d.pos += i + 1
		if rest[i] != 0 {
			d.marker, d.markerAt = rest[i], d.pos-2
			break
		}
		r.src = append(r.src, 0xFF)
	}
	r.rewind()
}

// empty makes the segment one without data.
func (r *bitReader) empty() {
	r.src = r.src[:0]
	r.rewind()
}

func (r *bitReader) rewind() {
	r.end = len(r.src)
	r.src = append(r.src, zeros[:]...)
	r.buf, r.n, r.at = 0, 0, 0
}

var zeros [segmentPad]byte

// exhausted tells that more bits were taken than the segment has.
func (r *bitReader) exhausted() bool { return r.at*8-int(r.n) > r.end*8 }

// complete tells of the last segment whether all was there that was read. libjpeg
// reads eight bytes ahead, and waits for more of the file where these are missing.
func (r *bitReader) complete() bool { return r.at*8-int(r.n)+64 <= r.end*8 }

// block prepares for reading the bits of one block: the padding must last.
func (r *bitReader) block() {
	if r.at > r.end+beyondEnd { // then exhausted, and what follows is zeros anyway
		r.at, r.buf = r.end+beyondEnd, 0
	}
}

// checkPadding panics unless blocks can be read without looking at bounds.
func (r *bitReader) checkPadding() {
	if r.at < 0 || r.at+segmentPad-16 > len(r.src) || r.n > 63 {
		panic("imagecodec: read of a block without padding behind its data")
	}
}

// refill makes n at least 56.
func (r *bitReader) refill() { r.buf, r.n, r.at = refilled(r.buf, r.n, r.at, r.src) }

// refilled is refill for loops that hold the reader's state in variables.
func refilled(buf uint64, n uint, at int, src []byte) (uint64, uint, int) {
	return buf | binary.BigEndian.Uint64(src[at:])>>(n&63), n | 56, at + int(63-n)>>3
}

// take returns the next count bits, 1 to 16.
func (r *bitReader) take(count uint) int32 {
	if r.n < 16 {
		r.refill()
	}
	v := int32(r.buf >> (64 - count))
	r.buf <<= count
	r.n -= count
	return v
}

// decode returns the next Huffman code. The bits of its value, up to 15, are
// left in the buffer.
func (r *bitReader) decode(t *huffmanTable) code {
	if r.n < 32 {
		r.refill()
	}
	c := t.lookup[r.buf>>(64-lookupBits)]
	if c == 0 {
		c = t.long(r.buf)
	}
	r.buf <<= c.length()
	r.n -= c.length()
	return c
}

// value returns the next signed value of size bits, 0 to 15, T.81 F.2.2.1.
// It follows a decode, which has left enough bits.
func (r *bitReader) value(size uint) int32 {
	v := extend(r.buf, size)
	r.buf <<= size
	r.n -= size
	return v
}

// extend returns the signed value in the first size bits: with a leading one
// the bits themselves, otherwise the bits minus 2^size - 1.
func extend(bits uint64, size uint) int32 {
	negative := ^int32(int64(bits) >> 63)
	return int32(bits>>1>>(63-size)) + negative&(1-1<<size)
}
