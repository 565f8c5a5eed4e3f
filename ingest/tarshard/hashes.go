package tarshard

// hashes is a set of hashes, none of which is 0: a table of a power of two, at most
// half full, in which a hash lies at the first free place from that of its lowest
// bits on. Go's map takes three times as long.
type hashes struct {
	table []uint64
	n     int
}

// add tells whether a hash was in the set already, and puts it there.
func (h *hashes) add(hash uint64) (again bool) {
	if 2*h.n >= len(h.table) {
		old := h.table
		h.table = make([]uint64, max(2*len(old), 1024))
		h.n = 0
		for _, v := range old {
			if v != 0 {
				h.add(v)
			}
		}
	}
	mask := uint64(len(h.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		switch h.table[at] {
		case hash:
			return true
		case 0:
			h.table[at] = hash
			h.n++
			return false
		}
	}
}
