package batch

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a run's stream of samples: the first row that has not
// been trained yet.
type Position struct {
	Epoch uint32 `json:"epoch"`
	Index uint64 `json:"index"` // place in that epoch's order
}

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Index < q.Index
}

// String returns EPOCH:INDEX, the form ParsePosition reads.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Epoch, p.Index) }

// ParsePosition reads EPOCH:INDEX, two unsigned decimal numbers.
func ParsePosition(s string) (Position, error) {
	e, i, ok := strings.Cut(s, ":")
	epoch, err1 := strconv.ParseUint(e, 10, 32)
	index, err2 := strconv.ParseUint(i, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Position{}, fmt.Errorf("batch: position %.40q: want EPOCH:INDEX, as in 3:4096", s)
	}
	return Position{uint32(epoch), index}, nil
}
