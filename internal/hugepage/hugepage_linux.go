package hugepage

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Advise lets the system back the whole huge pages inside block by such. Its
// contents stay. Where the system has none to give, or gives them to all or to
// nobody (/sys/kernel/mm/transparent_hugepage/enabled), nothing changes.
func Advise(block []byte) {
	if len(block) < worth {
		return
	}
	over := int(uintptr(unsafe.Pointer(unsafe.SliceData(block))) % Size)
	from := (Size - over) % Size
	whole := (len(block) - from) / Size * Size
	_ = unix.Madvise(block[from:from+whole], unix.MADV_HUGEPAGE) // a wish
}
