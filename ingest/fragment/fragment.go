// Package fragment reads parts of what Snappy has compressed, which a Parquet file
// is by default.
//
// Snappy's format (format_description.txt of github.com/google/snappy) knows no parts:
// a block is literals and copies of what came before. But its encoders compress 64 KiB
// at a time, with copies from the same 64 KiB only. Find makes sure of that for a
// block, and tells where each of its fragments begins; Unpack begins at any of them.
package fragment

import (
	"encoding/binary"
	"errors"
	"sync"
)

// Size is what a fragment unpacks to; the last of a block may be shorter.
const Size = 64 << 10

var (
	errDamaged = errors.New("snappy: the block is damaged")
	errWhole   = errors.New("snappy: the block has no fragments that can be unpacked by themselves")
)

// Find returns the byte of a block at which each of its fragments begins, and its
// length behind them. A block whose fragments are not apart is an error.
func Find(block []byte) (starts []int, err error) {
	size, n := binary.Uvarint(block)
	if n <= 0 {
		return nil, errDamaged
	}
	unpacked := uint64(0)
	for at := n; at < len(block); {
		e, ok := next(block[at:])
		if !ok {
			return nil, errDamaged
		}
		within := unpacked % Size
		if within == 0 {
			starts = append(starts, at)
		}
		if within+uint64(e.length) > Size || uint64(e.back) > within {
			return nil, errWhole
		}
		unpacked += uint64(e.length)
		at += e.stored
	}
	if unpacked != size {
		return nil, errDamaged
	}
	return append(starts, len(block)), nil
}

// Unpack fills dst with what a run of whole fragments unpacks to, less the first lead
// bytes of that, which are fewer than Size.
func Unpack(dst, run []byte, lead int) error {
	if lead < 0 || lead >= Size {
		return errDamaged
	}
	whole := scratch.Get().(*[Size]byte)
	defer scratch.Put(whole)
	fragment := whole[:0]
	for len(dst) > 0 {
		e, ok := next(run)
		if !ok || len(fragment)+e.length > Size || e.back > len(fragment) {
			return errDamaged
		}
		if e.back == 0 {
			fragment = append(fragment, run[e.stored-e.length:e.stored]...)
		}
		for from := len(fragment) - e.back; e.back > 0 && e.length > 0; {
			part := fragment[from:min(from+e.length, len(fragment))] // a copy may reach into itself
			fragment = append(fragment, part...)
			from += len(part)
			e.length -= len(part)
		}
		run = run[e.stored:]
		if len(fragment) == Size || len(fragment) >= lead+len(dst) {
			dst = dst[copy(dst, fragment[min(lead, len(fragment)):]):]
			fragment, lead = fragment[:0], 0
		}
	}
	return nil
}

// scratch are fragments that nobody unpacks to.
var scratch = sync.Pool{New: func() any { return new([Size]byte) }}

// element is a literal or a copy.
type element struct {
	length int // bytes that it stands for
	back   int // how far before them they are copied from, 0: a literal
	stored int // bytes that it takes; a literal's are its last
}

// next reads the element that begins src.
func next(src []byte) (e element, ok bool) {
	if len(src) == 0 {
		return e, false
	}
	tag, high := src[0]&3, int(src[0]>>2)
	number := func(bytes int) int {
		if len(src) <= bytes {
			return -1
		}
		var window [8]byte
		copy(window[:bytes], src[1:])
		return int(binary.LittleEndian.Uint64(window[:]))
	}
	switch {
	case tag == 0 && high < 60:
		e = element{length: high + 1, stored: 1 + high + 1}
	case tag == 0:
		bytes := high - 59
		e.length = number(bytes) + 1
		e.stored = 1 + bytes + e.length
	case tag == 1:
		low := number(1)
		e = element{length: high&7 + 4, back: high>>3<<8 | low, stored: 2}
		ok = low >= 0
	default:
		bytes := 2 * int(tag-1)
		e = element{length: high + 1, back: number(bytes), stored: 1 + bytes}
	}
	if tag == 0 {
		return e, e.length > 0 && e.stored <= len(src)
	}
	return e, e.back > 0 && (tag != 1 || ok)
}
