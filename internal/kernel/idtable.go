package kernel

import "math/bits"

// idTable finds the queries of an id. Queries of one id form a chain.
type idTable struct {
	ids   []uint64
	slots []int32 // open addressing: first query of the id, or -1
	next  []int32 // [N]: next query of the same id, or -1
	shift int
}

func newIDTable(n int) idTable {
	size := 2 << bits.Len(uint(n)) // at most half full
	t := idTable{slots: make([]int32, size), next: make([]int32, n), shift: 64 - bits.Len(uint(size-1))}
	for i := range t.slots {
		t.slots[i] = -1
	}
	return t
}

// fill replaces the table's content. Ids of 0 are left out.
func (t *idTable) fill(ids []uint64) {
	t.ids = ids
	for i := range t.slots {
		t.slots[i] = -1
	}
	for i, id := range ids {
		if id == 0 {
			continue
		}
		slot := t.find(id)
		t.next[i] = t.slots[slot]
		t.slots[slot] = int32(i)
	}
}

// find returns the slot of an id, an empty one where it has none.
func (t *idTable) find(id uint64) int {
	slot := int(id * 0x9e3779b97f4a7c15 >> t.shift)
	for t.slots[slot] >= 0 && t.ids[t.slots[slot]] != id {
		slot = (slot + 1) & (len(t.slots) - 1)
	}
	return slot
}

// lookup sets first to the head of each id's chain, -1 where there is none,
// and reports whether there is one at all.
func (t *idTable) lookup(first []int32, ids []uint64) bool {
	found := false
	for i, id := range ids {
		first[i] = -1
		if id == 0 {
			continue
		}
		first[i] = t.slots[t.find(id)]
		found = found || first[i] >= 0
	}
	return found
}
