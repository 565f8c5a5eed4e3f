package shard

import (
	"math/bits"
	"sync"
	"unsafe"

	"clpipe/internal/hugepage"
)

// The memory of images that nobody needs any more is kept for those that are read
// next, by size. Fresh memory has to be zeroed by the system page by page, which
// takes as long as receiving the images from a fast network, and the images of a
// shuffle buffer lie so far apart that in pages of 4 KiB looking up their addresses
// costs as much again: blocks are cut from slabs of huge pages.

const (
	slabBytes     = 8 << 20
	largestCut    = slabBytes / 8 // longer blocks are slabs by themselves
	cutAtOnce     = 256 << 10     // so many bytes of small blocks at a time
	smallestBlock = 64
	spareBytes    = 32 << 20 // may wait for images of sizes that do not come
)

// class is the memory of one size.
type class struct {
	mu   sync.Mutex
	free []*byte // the first of so many: slices would take three times the room
}

// classes are eight an octave.
var classes [8 * 64]class

// slabs is where blocks come from that no image before has left.
var slabs struct {
	mu   sync.Mutex
	rest []byte // of the newest slab
	cut  int    // bytes of all blocks, used or free
	peak int    // the most that were used at a time
}

// classOf rounds n up to one of eight sizes an octave, so that an image fits in the
// memory of others and wastes at most an eighth.
func classOf(n int) (size int, c *class) {
	shift := bits.Len(uint(max(n, smallestBlock)-1)) - 4 // sizes of four significant bits, the first of which is set
	eighths := (max(n, smallestBlock)-1)>>shift + 1      // 9 to 16
	return eighths << shift, &classes[8*shift+eighths-9]
}

// BlockBytes is what images of so many bytes together take, at most: the blocks are
// up to an eighth longer, and as many and some more wait for images of other sizes.
func BlockBytes(images int64) int64 {
	blocks := images + images/8
	return blocks + blocks/8 + spareBytes + slabBytes
}

// HeldBytes is what images and the blocks that wait for others take.
func HeldBytes() int64 {
	slabs.mu.Lock()
	defer slabs.mu.Unlock()
	return int64(slabs.cut)
}

// NewImage gives the sample an Image of Size bytes, which hold anything, and has
// room for so many behind it.
func (s *Sample) NewImage(room int) {
	size, c := classOf(int(s.Size) + room)
	s.Image = unsafe.Slice(c.take(size), size)[:s.Size]
	s.pooled = true
}

// Recycle lets go of the Image. Whoever calls it makes sure that nobody looks at
// the Image any more; without the call it is left to the collector.
func (s *Sample) Recycle() {
	if s.pooled {
		_, c := classOf(cap(s.Image))
		c.mu.Lock()
		c.free = append(c.free, unsafe.SliceData(s.Image))
		c.mu.Unlock()
	}
	s.Image, s.pooled = nil, false
}

// take returns a block of the class, whose size it is told.
func (c *class) take(size int) *byte {
	c.mu.Lock()
	if last := len(c.free) - 1; last >= 0 {
		block := c.free[last]
		c.free[last] = nil
		c.free = c.free[:last]
		c.mu.Unlock()
		return block
	}
	c.mu.Unlock()
	return c.cut(size)
}

// cut makes blocks and returns one of them.
func (c *class) cut(size int) *byte {
	slabs.mu.Lock()
	defer slabs.mu.Unlock()
	n := max(cutAtOnce/size, 1)
	if used := slabs.cut - freeBytes(); used+n*size > slabs.peak {
		slabs.peak = used + n*size
	}
	// Images of other sizes come than those that went: what they left is no use.
	if slabs.cut+n*size > slabs.peak+slabs.peak/8+spareBytes {
		dropFree()
	}
	slabs.cut += n * size
	if size > largestCut {
		block := make([]byte, size)
		hugepage.Advise(block)
		return unsafe.SliceData(block)
	}
	if len(slabs.rest) < n*size {
		slabs.rest = hugepage.Make(slabBytes)
	}
	run := slabs.rest[:n*size]
	slabs.rest = slabs.rest[n*size:]
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := size; at < len(run); at += size {
		c.free = append(c.free, &run[at])
	}
	return unsafe.SliceData(run)
}

// sizeOf is the inverse of classOf.
func sizeOf(class int) int { return (class%8 + 9) << (class / 8) }

// freeBytes is what waits for images. slabs.mu is held.
func freeBytes() int {
	total := 0
	for i := range classes {
		c := &classes[i]
		c.mu.Lock()
		total += len(c.free) * sizeOf(i)
		c.mu.Unlock()
	}
	return total
}

// dropFree leaves what waits for images to the collector, which frees a slab once
// nobody has a part of it. slabs.mu is held.
func dropFree() {
	for i := range classes {
		c := &classes[i]
		c.mu.Lock()
		slabs.cut -= len(c.free) * sizeOf(i)
		c.free = nil
		c.mu.Unlock()
	}
}

// DropFree leaves the memory that waits for images to the collector: nobody is
// going to read many for a while.
func DropFree() {
	slabs.mu.Lock()
	defer slabs.mu.Unlock()
	dropFree()
	slabs.rest, slabs.peak = nil, slabs.cut
}
