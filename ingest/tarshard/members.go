package tarshard

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	tarBlock = 512
	maxBody  = 1 << 60 // offsets stay far from overflow
)

// member is what is wanted of a header.
type member struct {
	name   []byte // valid until the next header is read
	size   int64
	kind   byte // a type flag of archive/tar
	header int64
	body   int64 // offset of the first byte
	sparse bool  // neither size nor body is that of the bytes stored
}

// members walks through an archive from header to header. What a header means
// is archive/tar's business; only the plain form that nearly all have is read
// here, in a tenth of its time (BenchmarkMembers).
type members struct {
	in    archive
	next  int64     // offset at which the next header should begin, or before which it does not
	body  io.Reader // bytes of the current member
	whole *tar.Reader
	names [256]byte        // the name of the current member
	limit io.LimitedReader // what body is, mostly
}

// advance returns the next member; its body is read from m.body. io.EOF means
// tar's end marker or the end of the archive.
func (m *members) advance() (member, error) {
	header := m.next
	if m.whole != nil {
		return m.take(m.whole, header)
	}
	if err := m.in.skip(m.next - m.in.offset()); err != nil {
		return member{}, err
	}
	block, err := m.in.block()
	if err != nil {
		return member{}, err
	}
	if h, ok := m.plainHeader(block); ok {
		h.header, h.body = header, m.in.offset()
		m.next = h.body + padded(h.size)
		m.limit = io.LimitedReader{R: m.in, N: h.size}
		m.body = &m.limit
		return h, nil
	}
	return m.take(tar.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(block)), m.in)), header)
}

// take reads a header by archive/tar. Where the gaps of a sparse member end
// only r knows, so that it has to read the rest of the archive too.
func (m *members) take(r *tar.Reader, header int64) (member, error) {
	h, err := r.Next()
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names become ids here, never paths
		return member{}, err
	}
	out := member{name: []byte(h.Name), size: h.Size, kind: h.Typeflag, header: header, body: m.in.offset(), sparse: isSparse(h)}
	if m.whole != nil { // where the member before ends is not known: the last block of the header
		out.header = out.body - tarBlock
	}
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		out.size = 0 // no bytes are stored, whatever the header says
	}
	if out.size > maxBody {
		return member{}, fmt.Errorf("%w: a member of %d bytes", tar.ErrHeader, out.size)
	}
	m.next = padded(out.body + out.size) // of a global header the body has been read, but not its padding
	m.body = r
	if out.sparse {
		m.next, m.whole = out.body, r // how much of it is stored is not known
	}
	return out, nil
}

// padded returns the bytes that a body of the given size takes.
func padded(size int64) int64 { return (size + tarBlock - 1) &^ (tarBlock - 1) }

// isSparse tells whether the member's bytes are stored with their gaps left out.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for _, record := range []string{"GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.size"} {
		if _, ok := h.PAXRecords[record]; ok {
			return true
		}
	}
	return false
}

// plainHeader reads the header of a regular file in the form of POSIX.1-1988
// ("ustar") or of GNU tar without its extensions; ok is false for any other
// and for one that is damaged.
func (m *members) plainHeader(block []byte) (h member, ok bool) {
	const kindAt, magicAt, prefixAt, trailerAt = 156, 257, 345, 508
	if block[kindAt] != tar.TypeReg {
		return member{}, false
	}
	name := append(m.names[:0], text(block[:100])...) // the body takes the header's place
	switch string(block[magicAt : magicAt+8]) {
	case "ustar\x0000":
		if string(block[trailerAt:]) == "tar\x00" { // star's: another prefix
			return member{}, false
		}
		if prefix := text(block[prefixAt:500]); len(prefix) > 0 {
			name = append(append(append(m.names[:0], prefix...), '/'), text(block[:100])...)
		}
	case "ustar  \x00":
		if block[prefixAt] != 0 { // GNU keeps times there
			return member{}, false
		}
	default:
		return member{}, false
	}
	size, ok1 := octal(block[124:136])
	sum, ok2 := octal(block[148:156])
	if !ok1 || !ok2 || sum != checksum(block) {
		return member{}, false
	}
	return member{name: name, size: size, kind: tar.TypeReg}, true
}

// text is a field up to its first NUL.
func text(field []byte) []byte {
	if end := bytes.IndexByte(field, 0); end >= 0 {
		return field[:end]
	}
	return field
}

// octal reads digits followed by nothing but spaces and NULs.
func octal(field []byte) (n int64, ok bool) {
	i := 0
	for i < len(field) && '0' <= field[i] && field[i] <= '7' {
		n = n<<3 | int64(field[i]-'0')
		i++
	}
	for _, c := range field[i:] {
		if c != 0 && c != ' ' {
			return 0, false
		}
	}
	return n, i > 0
}

// checksum adds the bytes of a header, its own field taken for spaces. Eight are
// added at a time, every second of them in a lane of 16 bits, of which two
// hundred and fifty-seven would fit; most of a header is zeros.
func checksum(block []byte) int64 {
	const lanes = 0x00ff00ff00ff00ff
	var even, odd uint64
	for at := 0; at < tarBlock; at += 32 {
		some := block[at:][:32]
		a, b := binary.LittleEndian.Uint64(some), binary.LittleEndian.Uint64(some[8:])
		c, d := binary.LittleEndian.Uint64(some[16:]), binary.LittleEndian.Uint64(some[24:])
		if a|b|c|d == 0 {
			continue
		}
		even += a&lanes + b&lanes + c&lanes + d&lanes
		odd += a>>8&lanes + b>>8&lanes + c>>8&lanes + d>>8&lanes
	}
	sum := int64(8 * ' ')
	for _, both := range [2]uint64{even, odd} {
		for ; both > 0; both >>= 16 {
			sum += int64(both & 0xffff)
		}
	}
	for _, c := range block[148:156] {
		sum -= int64(c)
	}
	return sum
}
