package contrast_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

// queueState is a queue's State, opened.
type queueState struct {
	keys         []float32
	ids          []uint64
	next, filled int64
}

func openQueue(t interface{ Fatal(...any) }, s batch.State) queueState {
	keys, err1 := batch.Values[float32](s.Tensors["keys"])
	ids, err2 := batch.Values[uint64](s.Tensors["ids"])
	next, err3 := batch.Values[int64](s.Tensors["next"])
	filled, err4 := batch.Values[int64](s.Tensors["filled"])
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return queueState{keys, ids, next[0], filled[0]}
}

// modelQueue is the queue as a plain slice: the last keys, oldest first.
type modelQueue struct {
	rows [][]float32
	ids  []uint64
}

func (m *modelQueue) enqueue(rows []float32, ids []uint64, dim, limit int) {
	for i, id := range ids {
		m.rows, m.ids = append(m.rows, rows[i*dim:(i+1)*dim]), append(m.ids, id)
	}
	if over := len(m.rows) - limit; over > 0 {
		m.rows, m.ids = m.rows[over:], m.ids[over:]
	}
}

// inOrder returns the keys a queue holds, oldest first.
func (q queueState) inOrder(dim int) *modelQueue {
	m := &modelQueue{}
	n := int(q.filled)
	oldest := 0
	if n == len(q.ids) {
		oldest = int(q.next)
	}
	for i := range n {
		row := (oldest + i) % n
		m.enqueue(q.keys[row*dim:(row+1)*dim], q.ids[row:row+1], dim, n)
	}
	return m
}

func (m *modelQueue) equal(o *modelQueue) bool {
	return slices.EqualFunc(m.rows, o.rows, slices.Equal[[]float32]) && slices.Equal(m.ids, o.ids)
}

// A queue holds the last keys in order, with their ids, whatever the sizes that
// come and wherever it is saved and loaded.
func TestQueueHoldsTheLastKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, dim := rapid.IntRange(1, 40).Draw(t, "K"), rapid.IntRange(1, 4).Draw(t, "D")
		q := contrast.NewQueue(limit, dim)
		var want modelQueue
		number := 0
		for range rapid.IntRange(0, 12).Draw(t, "enqueues") {
			n := rapid.IntRange(0, limit).Draw(t, "N")
			rows, ids := make([]float32, n*dim), make([]uint64, n)
			for i := range ids {
				ids[i] = uint64(rapid.IntRange(0, 3).Draw(t, "id"))
			}
			for i := range rows {
				number++
				rows[i] = float32(number)
			}
			q.Enqueue(rows, ids)
			want.enqueue(rows, ids, dim, limit)
			if rapid.IntRange(0, 3).Draw(t, "save") == 0 {
				saved := q.State()
				q.Enqueue(make([]float32, dim), make([]uint64, 1)) // must not reach what was saved
				q = contrast.NewQueue(limit, dim)
				if err := q.Load(saved); err != nil {
					t.Fatal(err)
				}
				if got := q.State().Digest(); got != saved.Digest() {
					t.Fatalf("loaded state is %s, want %s", got, saved.Digest())
				}
			}
			if q.Len() != len(want.ids) || q.Cap() != limit {
				t.Fatalf("%d of %d keys, want %d of %d", q.Len(), q.Cap(), len(want.ids), limit)
			}
			if got := openQueue(t, q.State()).inOrder(dim); !got.equal(&want) {
				t.Fatalf("keys, oldest first:\ngot  %v %v\nwant %v %v", got.rows, got.ids, want.rows, want.ids)
			}
		}
	})
}

func TestRandomQueueIsAFunctionOfTheSeed(t *testing.T) {
	const rows, dim = 200, 64
	fill := func(seed uint64) *contrast.Queue {
		q := contrast.NewQueue(rows, dim)
		q.FillRandom(seed)
		return q
	}
	s := openQueue(t, fill(1).State())
	mean := make([]float64, dim)
	for r := range rows {
		norm := 0.0
		for i, v := range s.keys[r*dim : (r+1)*dim] {
			norm += float64(v) * float64(v)
			mean[i] += float64(v) / rows
		}
		if math.Abs(norm-1) > 1e-6 {
			t.Errorf("row %d has squared length %v, want 1", r, norm)
		}
	}
	// A uniform direction: each mean is about normal with deviation 1/√(rows·dim).
	for i, m := range mean {
		if bound := 4.5 / math.Sqrt(rows*dim); math.Abs(m) > bound {
			t.Errorf("dimension %d has mean %v, want within %v", i, m, bound)
		}
	}
	if s.filled != rows || s.next != 0 || slices.ContainsFunc(s.ids, func(id uint64) bool { return id != 0 }) {
		t.Errorf("filled %d, next %d, ids %v; want %d, 0 and no ids", s.filled, s.next, s.ids, rows)
	}
	if again := fill(1); again.State().Digest() != fill(1).State().Digest() {
		t.Error("two fills from one seed differ")
	}
	if fill(1).State().Digest() == fill(2).State().Digest() {
		t.Error("fills from two seeds are equal")
	}
}

func TestQueueRefusesAnotherState(t *testing.T) {
	good := func() batch.State {
		q := contrast.NewQueue(6, 2)
		q.Enqueue([]float32{1, 2, 3, 4, 5, 6, 7, 8}, []uint64{1, 2, 3, 4})
		return q.State()
	}
	for _, c := range []struct {
		name   string
		tensor *tensor.Dense // nil: missing
		want   string
	}{
		{"keys", nil, "keys is missing"},
		{"keys", batch.NewTensor(make([]float32, 14), 7, 2), "keys: batch: tensor has shape (7, 2), want [6 2]"},
		{"keys", batch.NewTensor(make([]float64, 12), 6, 2), "keys: batch: tensor holds float64, want float32"},
		{"ids", nil, "ids is missing"},
		{"ids", batch.NewTensor(make([]uint64, 5), 5), "ids: batch: tensor has shape (5), want [6]"},
		{"next", nil, "next is missing"},
		{"next", batch.NewTensor([]int64{1, 2}, 2), "next: has shape (2), want one number"},
		{"next", batch.NewTensor([]float32{4}), "next: batch: tensor holds float32, want int64"},
		{"next", batch.NewTensor([]int64{-1}), "next is -1 and filled 4 of 6 rows"},
		{"next", batch.NewTensor([]int64{6}), "next is 6 and filled 4 of 6 rows"},
		{"filled", nil, "filled is missing"},
		{"filled", batch.NewTensor([]int64{7}), "next is 4 and filled 7 of 6 rows"},
		{"filled", batch.NewTensor([]int64{-1}), "next is 4 and filled -1 of 6 rows"},
		{"filled", batch.NewTensor([]int64{3}), "next is 4 and filled 3 of 6 rows"},
	} {
		t.Run(fmt.Sprint(c.name, " ", c.want), func(t *testing.T) {
			s := good()
			if s.Tensors[c.name] = c.tensor; c.tensor == nil {
				delete(s.Tensors, c.name)
			}
			q := contrast.NewQueue(6, 2)
			q.FillRandom(3)
			before := q.State().Digest()
			if err := q.Load(s); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "contrast: queue: ") {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if q.State().Digest() != before {
				t.Error("the refused state changed the queue")
			}
		})
	}
	if err := contrast.NewQueue(6, 2).Load(good()); err != nil {
		t.Error(err)
	}
}

func TestEnqueueOfTheWrongSizePanics(t *testing.T) {
	for _, c := range []struct{ floats, ids int }{{8, 4}, {5, 2}, {2, 2}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d floats and %d ids into a queue of 3×2 did not panic", c.floats, c.ids)
				}
			}()
			contrast.NewQueue(3, 2).Enqueue(make([]float32, c.floats), make([]uint64, c.ids))
		}()
	}
}

// A queue longer than the data set holds the queries' own samples several times
// over, which is said once; one that is shorter is nothing to speak of.
func TestQueueLongerThanTheDataIsWarnedOf(t *testing.T) {
	for _, c := range []struct{ samples, warnings int }{{4, 1}, {12, 0}} {
		var said []string
		train(t, small(t, 12), newSource(8, 12, c.samples, 4), nil, contrast.Hooks{Warn: func(text string) { said = append(said, text) }})
		if len(said) != c.warnings || c.warnings > 0 && !strings.Contains(said[0], "the data set is small for --queue 10") {
			t.Errorf("a queue of 10 keys of %d samples: warnings %q, want %d", c.samples, said, c.warnings)
		}
	}
}
