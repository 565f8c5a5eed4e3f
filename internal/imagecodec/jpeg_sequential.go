package imagecodec

import "encoding/binary"

// sequential decodes a block of a sequential scan, T.81 F.2.2, into block,
// which is zero before.
func (r *bitReader) sequential(sc *scanComponent, block *[64]int16) {
	c := r.decode(sc.dc)
	sc.pred += r.value(c.size())
	block[0] = int16(sc.pred)
	active.acBlock(r, sc.ac, block)
}

// acBlockGeneric holds the reader's state in variables: this loop is most of
// the decoder's time.
func acBlockGeneric(r *bitReader, ac *huffmanTable, block *[64]int16) {
	buf, n, at, src := r.buf, r.n, r.at, r.src
	for k := 1; k < 64; k++ {
		if n < 32 {
			buf |= binary.BigEndian.Uint64(src[at:]) >> (n & 63)
			at += int(63-n) >> 3
			n |= 56
		}
		c := ac.lookup[buf>>(64-lookupBits)]
		if c == 0 {
			c = ac.long(buf)
		}
		bits := buf << (c.length() & 63)
		buf <<= c.total() & 63
		n -= c.total()
		k += c.run()
		if c.size() != 0 {
			block[zigzag[k&127]&63] = int16(extend(bits, c.size()))
		} else if c.run() != 15 {
			break
		}
	}
	r.buf, r.n, r.at = buf, n, at
}
