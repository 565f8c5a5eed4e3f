package imagecodec

import "encoding/binary"

// sequential decodes a block of a sequential scan, T.81 F.2.2, into block,
// which is zero before. The reader's state is held in variables: this loop is
// most of the decoder's time.
func (r *bitReader) sequential(sc *scanComponent, block *[64]int16) {
	c := r.decode(sc.dc)
	sc.pred += r.value(c.size())
	block[0] = int16(sc.pred)

	buf, n, at, src := r.buf, r.n, r.at, r.src
	lookup := &sc.ac.lookup
	for k := 1; k < 64; k++ {
		if n < 32 {
			buf |= binary.BigEndian.Uint64(src[at:]) >> (n & 63)
			at += int(63-n) >> 3
			n |= 56
		}
		c := lookup[buf>>(64-lookupBits)]
		if c == 0 {
			c = sc.ac.long(buf)
		}
		size := c.size()
		bits := buf << (c.length() & 63)
		buf <<= c.total() & 63
		n -= c.total()
		k += c.run()
		if size == 0 {
			if c.run() != 15 {
				break
			}
			continue
		}
		negative := ^int32(int64(bits) >> 63)
		value := int32(bits>>((64-size)&63)) + negative&(1-1<<size)
		block[zigzag[k&127]&63] = int16(value)
	}
	r.buf, r.n, r.at = buf, n, at
}

// skipSequential passes over a block as sequential would decode it.
func (r *bitReader) skipSequential(sc *scanComponent) {
	c := r.decode(sc.dc)
	sc.pred += r.value(c.size())

	buf, n, at, src := r.buf, r.n, r.at, r.src
	lookup := &sc.ac.lookup
	for k := 1; k < 64; k++ {
		if n < 32 {
			buf |= binary.BigEndian.Uint64(src[at:]) >> (n & 63)
			at += int(63-n) >> 3
			n |= 56
		}
		c := lookup[buf>>(64-lookupBits)]
		if c == 0 {
			c = sc.ac.long(buf)
		}
		buf <<= c.total() & 63
		n -= c.total()
		k += c.run()
		if c.size() == 0 && c.run() != 15 {
			break
		}
	}
	r.buf, r.n, r.at = buf, n, at
}
