package shard

import (
	"math/bits"
	"sync"
	"unsafe"
)

// pools keep the memory of images that nobody needs any more for those that are
// read next, by size; the collector empties them when nobody asks for it. Fresh
// memory has to be zeroed by the system page by page, which takes as long as
// receiving the images from a fast network. A pool's elements are *byte, the
// first of so many: slices would have to be boxed.
var pools [8 * 64]sync.Pool

// smallestPooled is the size from which Go's allocator is slower than the pools.
const smallestPooled = 16 << 10

// pooledSize rounds n up to one of eight sizes an octave, so that an image fits
// in the memory of others and wastes at most an eighth, and returns its pool.
func pooledSize(n int) (size int, p *sync.Pool) {
	shift := bits.Len(uint(n-1)) - 4 // sizes of four significant bits, the first of which is set
	eighths := (n-1)>>shift + 1      // 9 to 16
	return eighths << shift, &pools[8*shift+eighths-9]
}

// NewImage gives the sample an Image of Size bytes, which hold anything.
func (s *Sample) NewImage() {
	n := int(s.Size)
	if n < smallestPooled {
		s.Image = make([]byte, n)
		return
	}
	size, p := pooledSize(n)
	s.pooled = true
	if first, ok := p.Get().(*byte); ok {
		s.Image = unsafe.Slice(first, size)[:n]
	} else {
		s.Image = make([]byte, n, size)
	}
}

// Recycle lets go of the Image. Whoever calls it makes sure that nobody looks at
// the Image any more; without the call it is left to the collector.
func (s *Sample) Recycle() {
	if s.pooled {
		_, p := pooledSize(cap(s.Image))
		p.Put(unsafe.SliceData(s.Image))
	}
	s.Image, s.pooled = nil, false
}
