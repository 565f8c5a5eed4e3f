package parquetshard

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The types of Thrift's compact protocol
// (thrift/doc/specs/thrift-compact-protocol.md).
const (
	compactStop   = 0
	compactTrue   = 1
	compactFalse  = 2
	compactByte   = 3
	compactI16    = 4
	compactI32    = 5
	compactI64    = 6
	compactDouble = 7
	compactBinary = 8
	compactList   = 9
	compactSet    = 10
	compactMap    = 11
	compactStruct = 12
)

// maxNesting is the depth of Thrift values: a footer has 7.
const maxNesting = 32

var (
	errShort = errors.New("it ends inside a value")
	errForm  = errors.New("it is not in Thrift's compact form")
)

// compact walks through bytes in Thrift's compact protocol. The first error
// stays and ends the walk: values are 0 from then on.
type compact struct {
	src []byte
	at  int
	err error
}

func (c *compact) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.at = len(c.src)
}

func (c *compact) byte() byte {
	if c.at >= len(c.src) {
		c.fail(errShort)
		return 0
	}
	c.at++
	return c.src[c.at-1]
}

func (c *compact) uvarint() uint64 {
	v, n := binary.Uvarint(c.src[c.at:])
	if n <= 0 {
		c.fail(errShort)
		return 0
	}
	c.at += n
	return v
}

// int reads a zigzag number.
func (c *compact) int() int64 {
	v := c.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// fields calls f with each field of a struct; f reads its value.
func (c *compact) fields(f func(id int, kind byte)) {
	id := 0
	for c.err == nil {
		head := c.byte()
		kind := head & 15
		if kind == compactStop {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(int16(c.int()))
		}
		f(id, kind)
	}
}

// skip passes over a value.
func (c *compact) skip(kind byte, depth int) {
	if depth > maxNesting {
		c.fail(fmt.Errorf("values are nested more than %d deep", maxNesting))
		return
	}
	switch kind {
	case compactTrue, compactFalse: // the type is the value
	case compactByte:
		c.byte()
	case compactI16, compactI32, compactI64:
		c.uvarint()
	case compactDouble:
		c.pass(8)
	case compactBinary:
		c.pass(c.uvarint())
	case compactList, compactSet:
		head := c.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = c.uvarint()
		}
		c.elements(n, depth, head&15)
	case compactMap:
		if n := c.uvarint(); n > 0 {
			head := c.byte()
			c.elements(n, depth, head>>4, head&15)
		}
	case compactStruct:
		c.fields(func(_ int, kind byte) { c.skip(kind, depth+1) })
	default:
		c.fail(errForm)
	}
}

// elements passes over n elements, each a value of every kind given. Each takes
// a byte at least: a number that the bytes cannot hold is a lie, and it is what
// readers allocate by.
func (c *compact) elements(n uint64, depth int, kinds ...byte) {
	if n > uint64(len(c.src)-c.at) {
		c.fail(fmt.Errorf("a list of %d elements in %d bytes", n, len(c.src)-c.at))
		return
	}
	for ; n > 0 && c.err == nil; n-- {
		for _, kind := range kinds {
			if kind == compactTrue || kind == compactFalse {
				c.byte() // in lists the value follows
				continue
			}
			c.skip(kind, depth+1)
		}
	}
}

func (c *compact) pass(n uint64) {
	if n > uint64(len(c.src)-c.at) {
		c.fail(errShort)
		return
	}
	c.at += int(n)
}
