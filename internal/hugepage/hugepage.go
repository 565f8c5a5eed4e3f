// Package hugepage asks the system for large pages behind large blocks of
// memory: a pass over a hundred megabytes in pages of 4 KiB spends a few per
// cent of its time on looking up addresses.
package hugepage

import "unsafe"

// Size is that of a huge page in bytes, on the systems where Advise does
// anything.
const Size = 2 << 20

// worth is the shortest block that is sure to hold a whole huge page.
const worth = 2*Size - 1

// Make returns n bytes, a multiple of Size, that begin at a huge page, so that all
// of them are in such where the system has any.
func Make(n int) []byte {
	block := make([]byte, n+Size)
	over := int(uintptr(unsafe.Pointer(unsafe.SliceData(block))) % Size)
	block = block[(Size-over)%Size:][:n:n]
	Advise(block)
	return block
}
