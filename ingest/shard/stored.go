package shard

import "unsafe"

// Stored is a run of an object's bytes, held in memory as they stand there.
type Stored struct {
	Bytes []byte
	At    int64 // byte of the object at which they begin
}

// Place returns the byte of the object at which part begins, -1 if part is no
// slice of the run, as after it was unpacked or copied.
func (s Stored) Place(part []byte) int64 {
	from, at := address(s.Bytes), address(part)
	if len(part) == 0 || at < from || at-from > uintptr(len(s.Bytes)) || len(part) > len(s.Bytes)-int(at-from) {
		return -1
	}
	return s.At + int64(at-from)
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
