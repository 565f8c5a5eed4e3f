package contrast

import (
	"fmt"
	"math"
	"slices"

	"clpipe/batch"
	"clpipe/internal/rng"

	"gorgonia.org/tensor"
)

// Queue is a ring buffer of the last K keys, rows of D floats of unit length,
// with the 64-bit hash of the sample each came from (0: none). Enqueue writes
// over the oldest rows in place; nothing is ever moved.
type Queue struct {
	keys   []float32 // [K,D]
	ids    []uint64  // [K]
	dim    int
	next   int // row the next key goes to
	filled int // rows that hold keys: the first ones; next, until all do
}

// NewQueue returns an empty queue of rows keys of dim floats.
func NewQueue(rows, dim int) *Queue {
	return &Queue{keys: make([]float32, rows*dim), ids: make([]uint64, rows), dim: dim}
}

// FillRandom fills the queue with random unit vectors, as the reference does
// before the first step: easy negatives that the first K keys replace.
func (q *Queue) FillRandom(seed uint64) {
	for r := range q.ids {
		draw := rng.New(seed, rng.Queue, uint64(r))
		row := q.keys[r*q.dim : (r+1)*q.dim]
		sum := 0.0
		for i := range row {
			v := draw.Normal()
			row[i] = float32(v)
			sum += v * v
		}
		for i := range row {
			row[i] = float32(float64(row[i]) / math.Sqrt(sum))
		}
	}
	q.filled = q.Cap()
}

// Len returns the number of keys held.
func (q *Queue) Len() int { return q.filled }

// Cap returns the number of keys there is room for.
func (q *Queue) Cap() int { return len(q.ids) }

// Enqueue appends rows [len(ids),D], writing over the oldest. At most Cap rows
// are taken at once.
func (q *Queue) Enqueue(rows []float32, ids []uint64) {
	if len(ids) > q.Cap() || len(rows) != len(ids)*q.dim {
		panic(fmt.Sprintf("contrast: Enqueue: %d ids and %d floats into a queue of %d×%d", len(ids), len(rows), q.Cap(), q.dim))
	}
	first := min(len(ids), q.Cap()-q.next) // up to the end, the rest at the beginning
	copy(q.keys[q.next*q.dim:], rows[:first*q.dim])
	copy(q.keys, rows[first*q.dim:])
	copy(q.ids[q.next:], ids[:first])
	copy(q.ids, ids[first:])
	q.filled = min(q.Cap(), max(q.filled, q.next+len(ids)))
	q.next = (q.next + len(ids)) % q.Cap()
}

// State returns a copy of keys [K,D], ids [K], next and filled.
func (q *Queue) State() batch.State {
	return batch.State{Tensors: map[string]*tensor.Dense{
		"keys":   batch.NewTensor(slices.Clone(q.keys), q.Cap(), q.dim),
		"ids":    batch.NewTensor(slices.Clone(q.ids), q.Cap()),
		"next":   batch.NewTensor([]int64{int64(q.next)}),
		"filled": batch.NewTensor([]int64{int64(q.filled)}),
	}}
}

// Load takes over what State returned of a queue of the same size. After an
// error nothing is changed.
func (q *Queue) Load(s batch.State) error {
	keys, err1 := tensorOf[float32](s, "keys", q.Cap(), q.dim)
	ids, err2 := tensorOf[uint64](s, "ids", q.Cap())
	next, err3 := tensorOf[int64](s, "next")
	filled, err4 := tensorOf[int64](s, "filled")
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return fmt.Errorf("contrast: queue: %w", err)
		}
	}
	rows := int64(q.Cap())
	if next[0] < 0 || next[0] >= rows || filled[0] != rows && filled[0] != next[0] {
		return fmt.Errorf("contrast: queue: next is %d and filled %d of %d rows, want next below %[3]d and filled equal to one of the two", next[0], filled[0], rows)
	}
	copy(q.keys, keys)
	copy(q.ids, ids)
	q.next, q.filled = int(next[0]), int(filled[0])
	return nil
}

// tensorOf returns the elements of a state's tensor of the given shape.
func tensorOf[T batch.Number](s batch.State, name string, shape ...int) ([]T, error) {
	t, ok := s.Tensors[name]
	if !ok {
		return nil, fmt.Errorf("%s is missing", name)
	}
	v, err := batch.Values[T](t, shape...)
	if err == nil && len(shape) == 0 && len(v) != 1 {
		err = fmt.Errorf("has shape %v, want one number", t.Shape())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}
