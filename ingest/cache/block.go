package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"
)

// A block's file holds
//
//	blockBytes bytes of the remote file, fewer in its last block
//	4 bytes    for each sumBytes of them, fewer in the last: CRC-32C, little endian
//	16 bytes   "clpblk01", the length of the data, CRC-32C of the sums and of the 12 bytes before
//
// so that a part is read and checked without the rest.
const (
	blockBytes  = 4 << 20
	sumBytes    = 64 << 10
	sumSize     = 4
	trailerSize = 16
	magic       = "clpblk01"
)

// touchAfter is how old a block's time may be when it is used: renewing it more
// often would only cost writes.
const touchAfter = time.Minute

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a block is not what was written.
var errDamaged = errors.New("damaged")

// encode returns what a block's file holds, in parts.
func encode(data []byte) [][]byte {
	sums := make([]byte, 0, (len(data)+sumBytes-1)/sumBytes*sumSize)
	for at := 0; at < len(data); at += sumBytes {
		sums = binary.LittleEndian.AppendUint32(sums, crc32.Checksum(data[at:min(at+sumBytes, len(data))], castagnoli))
	}
	trailer := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(data)))
	sum := crc32.Update(crc32.Checksum(sums, castagnoli), castagnoli, trailer)
	return [][]byte{data, sums, binary.LittleEndian.AppendUint32(trailer, sum)}
}

// block is one that is read.
type block struct {
	file *os.File
	size int // bytes of data
	sums []byte
	buf  []byte // one part of sumBytes
	part int    // which one; -1: none
}

// openBlock opens a block that should hold size bytes. The error is
// fs.ErrNotExist, errDamaged or the system's.
func (c *Cache) openBlock(path string, size int) (*block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &block{file: f, size: size, part: -1}
	if err := b.readSums(); err != nil {
		f.Close()
		return nil, err
	}
	if info, err := f.Stat(); err == nil && c.now().Sub(info.ModTime()) > touchAfter {
		os.Chtimes(path, c.now(), c.now()) // in vain in a folder that may only be read
	}
	return b, nil
}

func (b *block) readSums() error {
	parts := (b.size + sumBytes - 1) / sumBytes
	end := make([]byte, parts*sumSize+trailerSize)
	if n, err := b.file.ReadAt(end, int64(b.size)); n < len(end) {
		return short(err)
	}
	b.sums = end[:parts*sumSize]
	trailer := end[len(b.sums):]
	checked := len(end) - sumSize
	if string(trailer[:len(magic)]) != magic || binary.LittleEndian.Uint32(trailer[len(magic):]) != uint32(b.size) ||
		binary.LittleEndian.Uint32(end[checked:]) != crc32.Checksum(end[:checked], castagnoli) {
		return fmt.Errorf("%w: no block of %d bytes", errDamaged, b.size)
	}
	return nil
}

// short is the error for a file that ends too early.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: cut off", errDamaged)
	}
	return err
}

// read copies bytes from offset on to p, up to the end of a part.
func (b *block) read(p []byte, offset int) (int, error) {
	part := offset / sumBytes
	if part != b.part {
		if b.buf == nil {
			b.buf = make([]byte, sumBytes)
		}
		b.part = -1
		from := part * sumBytes
		b.buf = b.buf[:min(sumBytes, b.size-from)]
		if n, err := b.file.ReadAt(b.buf, int64(from)); n < len(b.buf) {
			return 0, short(err)
		}
		if crc32.Checksum(b.buf, castagnoli) != binary.LittleEndian.Uint32(b.sums[part*sumSize:]) {
			return 0, fmt.Errorf("%w: wrong checksum at byte %d", errDamaged, from)
		}
		b.part = part
	}
	return copy(p, b.buf[offset-part*sumBytes:]), nil
}

func (b *block) close() { b.file.Close() }
