package contrast

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/rng"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"
)

// stream is a Reader of records made beforehand.
type stream struct {
	schema  *arrow.Schema
	records []arrow.Record
}

func (s *stream) Schema(context.Context) (*arrow.Schema, error) { return s.schema, nil }

func (s *stream) Read(context.Context) (arrow.Record, error) {
	if len(s.records) == 0 {
		return nil, io.EOF
	}
	rec := s.records[0]
	s.records = s.records[1:]
	return rec, nil
}

// release lets go of what was not read.
func (s *stream) release() {
	for _, rec := range s.records {
		rec.Release()
	}
	s.records = nil
}

// pairsOf returns a stream of rows cut into records of the given sizes, without
// the columns left out. The views, [1,1,3], tell the row's number and the view.
func pairsOf(mem memory.Allocator, meta batch.Metadata, rows []batch.Row, sizes []int, without ...string) *stream {
	schema := batch.PairsSchema(meta, 2, 1, 1, 3)
	out := &stream{}
	number := 0
	for _, n := range sizes {
		b := batch.NewPairsBuilder(mem, schema, n)
		for i := range n {
			b.SetRow(i, rows[number])
			for view := range 2 {
				copy(b.View(view, i), []byte{byte(number), byte(number >> 8), byte(view)})
			}
			number++
		}
		whole := b.NewRecord(nil)
		var fields []arrow.Field
		var columns []arrow.Array
		for i, f := range schema.Fields() {
			if !slices.Contains(without, f.Name) {
				fields, columns = append(fields, f), append(columns, whole.Column(i))
			}
		}
		kept := schema.Metadata()
		out.schema = arrow.NewSchema(fields, &kept)
		out.records = append(out.records, array.NewRecord(out.schema, columns, int64(n)))
		whole.Release()
	}
	return out
}

// batcherOf opens a batcher of n rows on a stream.
func batcherOf(t interface{ Fatal(...any) }, s *stream, n int, from batch.Position) *batcher {
	b := newBatcher(s, Config{Method: "moco-cifar", Batch: n, Encoder: encoder.ResNetConfig{Size: 1}}, from, orderHash{})
	if err := b.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b
}

// gathered is a batch, copied.
type gathered struct {
	views [2]string
	ids   []uint64
	epoch uint32
	next  batch.Position
}

// gather reads all batches as if they were trained. Its error is nil at the end
// of the stream.
func gather(b *batcher) ([]gathered, error) {
	var out []gathered
	for {
		got, err := b.next(context.Background())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, gathered{[2]string{string(got.Anchor), string(got.Positive)}, slices.Clone(got.IDs), got.Epoch, got.Next})
		b.trained()
	}
}

// modelBatches is what a batcher is to make of rows that stand at places: its
// batches, the hash of their order, and whether an epoch was too small.
func modelBatches(rows []batch.Row, places []batch.Position, n int, from batch.Position) (out []gathered, order [32]byte, short bool) {
	for first := 0; first < len(rows); {
		epoch, end := places[first].Epoch, first
		for end < len(rows) && places[end].Epoch == epoch {
			end++
		}
		for first < end && places[first].Before(from) {
			first++
		}
		if first < end && end-first < n && end < len(rows) && (epoch > from.Epoch || from.Index == 0) {
			return out, order, true
		}
		for ; first+n <= end; first += n {
			g := gathered{epoch: epoch, next: batch.Position{Epoch: epoch, Index: places[first+n-1].Index + 1}}
			for i := first; i < first+n; i++ {
				for view := range 2 {
					g.views[view] += string([]byte{byte(i), byte(i >> 8), byte(view)})
				}
				var id uint64
				if rows[i].ID != "" {
					id = rng.HashID(rows[i].ID)
				}
				g.ids = append(g.ids, id)
				order = sha256.Sum256(slices.Concat(order[:], []byte(rows[i].ID), []byte{0}))
			}
			out = append(out, g)
		}
		first = end
	}
	return out, order, len(out) == 0 && from == batch.Position{}
}

// Records of any size, epochs with gaps torn by rejects, missing columns and any
// position to go on from give the batches of a plain model.
func TestBatchesDoNotDependOnRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		n := rapid.IntRange(1, 6).Draw(t, "batch")
		var without []string
		for _, name := range []string{"id", "epoch", "index", "label"} {
			if rapid.Bool().Draw(t, "without "+name) {
				without = append(without, name)
			}
		}
		epochs := 1
		if !slices.Contains(without, "epoch") {
			epochs = rapid.IntRange(1, 4).Draw(t, "epochs")
		}
		var rows []batch.Row
		var places []batch.Position
		for epoch := range epochs {
			index := uint64(0)
			for i := range rapid.IntRange(0, 4*n).Draw(t, "rows") {
				if !slices.Contains(without, "index") {
					index += rapid.Uint64Range(0, 2).Draw(t, "rejected")
				}
				at := batch.Position{Epoch: uint32(epoch), Index: index}
				row := batch.Row{Epoch: at.Epoch, Index: at.Index}
				if id := rapid.IntRange(0, 5).Draw(t, "id"); id > 0 && !slices.Contains(without, "id") {
					row.ID = fmt.Sprintf("shard/%d-%d", id, i)
				}
				rows, places = append(rows, row), append(places, at)
				index++
			}
		}
		var sizes []int
		for left := len(rows); left > 0; {
			size := min(left, rapid.OneOf(rapid.IntRange(1, 3*n), rapid.Just(n)).Draw(t, "record"))
			sizes, left = append(sizes, size), left-size
		}
		sizes = append(sizes, 0) // an empty record says nothing
		from := batch.Position{Epoch: uint32(rapid.IntRange(0, epochs-1).Draw(t, "from")), Index: uint64(rapid.IntRange(0, 4*n).Draw(t, "from"))}
		s := pairsOf(mem, batch.Metadata{batch.KeyFrom: "0:0"}, rows, sizes, without...)
		defer s.release()

		b := batcherOf(t, s, n, from)
		got, err := gather(b)
		b.release()
		want, order, short := modelBatches(rows, places, n, from)
		var tooFew *EpochError
		if errors.As(err, &tooFew) != short || err != nil && !short {
			t.Fatalf("error %v, want an EpochError: %v", err, short)
		}
		if !slices.EqualFunc(got, want, func(a, b gathered) bool {
			return a.views == b.views && slices.Equal(a.ids, b.ids) && a.epoch == b.epoch && a.next == b.next
		}) {
			t.Fatalf("batches of %d from %v:\ngot  %v\nwant %v", n, from, got, want)
		}
		if b.order != order {
			t.Fatalf("order %x, want %x", b.order, order)
		}
	})
}

// numbered returns n rows of an epoch, the first at an index.
func numbered(epoch uint32, first uint64, n int) []batch.Row {
	rows := make([]batch.Row, n)
	for i := range rows {
		rows[i] = batch.Row{ID: fmt.Sprintf("%d:%d", epoch, i), Epoch: epoch, Index: first + uint64(i)}
	}
	return rows
}

func TestRecordOfOneBatchIsNotCopied(t *testing.T) {
	s := pairsOf(memory.DefaultAllocator, nil, numbered(0, 0, 12), []int{4, 4, 3, 1})
	pixels := func(rec arrow.Record) *byte {
		p, err := batch.NewPairs(rec)
		if err != nil {
			t.Fatal(err)
		}
		return unsafe.SliceData(p.Anchor)
	}
	want := []*byte{pixels(s.records[0]), pixels(s.records[1]), pixels(s.records[2])}
	b := batcherOf(t, s, 4, batch.Position{})
	defer b.release()
	for i, inPlace := range []bool{true, true, false} {
		got, err := b.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (unsafe.SliceData(got.Anchor) == want[i]) != inPlace {
			t.Errorf("batch %d is read in place: %v, want %v", i, !inPlace, inPlace)
		}
	}
}

func TestStreamMustReachThePosition(t *testing.T) {
	for _, c := range []struct {
		name  string
		meta  batch.Metadata
		first batch.Position
		from  batch.Position
		want  string // in the error; empty: none
	}{
		{"before the position", nil, batch.Position{Index: 0}, batch.Position{Index: 8}, ""},
		{"at the position", nil, batch.Position{Epoch: 1, Index: 8}, batch.Position{Epoch: 1, Index: 8}, ""},
		{"first samples rejected", nil, batch.Position{Index: 3}, batch.Position{}, ""},
		{"behind the position", nil, batch.Position{Index: 9}, batch.Position{Index: 8}, "begins at 0:9, the run goes on at 0:8: start the producer with `clpipe ingest --from 0:8 --epochs 0`"},
		{"a later epoch", nil, batch.Position{Epoch: 1}, batch.Position{}, "begins at 1:0, the run goes on at 0:0"},
		{"stated, rejected since", batch.Metadata{batch.KeyFrom: "0:8"}, batch.Position{Index: 10}, batch.Position{Index: 8}, ""},
		{"stated, epoch at its end", batch.Metadata{batch.KeyFrom: "0:8"}, batch.Position{Epoch: 1}, batch.Position{Index: 8}, ""},
		{"stated, behind", batch.Metadata{batch.KeyFrom: "0:9"}, batch.Position{Index: 9}, batch.Position{Index: 8}, "begins at 0:9, the run goes on at 0:8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := pairsOf(memory.DefaultAllocator, c.meta, numbered(c.first.Epoch, c.first.Index, 16), []int{16})
			b := newBatcher(s, Config{Method: "moco-cifar", Batch: 4, Encoder: encoder.ResNetConfig{Size: 1}}, c.from, orderHash{})
			defer b.release()
			err := b.open(t.Context())
			if err == nil {
				_, err = b.next(t.Context())
			}
			if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestStreamMustGoForward(t *testing.T) {
	rows := slices.Concat(numbered(0, 0, 6), numbered(0, 5, 2))
	for _, sizes := range [][]int{{8}, {2, 2, 2, 2}, {4, 4}} {
		s := pairsOf(memory.DefaultAllocator, nil, rows, sizes)
		b := batcherOf(t, s, 4, batch.Position{})
		got, err := gather(b)
		if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "row 0:5 of the stream comes after 0:5") {
			t.Errorf("records of %v: %d batches and error %v, want 1 and that row 0:5 comes twice", sizes, len(got), err)
		}
		b.release()
		s.release()
	}
}

func TestStreamsThatTrainNothingSayWhy(t *testing.T) {
	twoViews := batch.PairsSchema(nil, 2, 1, 1, 3)
	oneView := pairsOf(memory.DefaultAllocator, nil, numbered(0, 0, 4), []int{4}, "positive")
	for _, c := range []struct {
		name string
		in   *stream
		side int
		want string
	}{
		{"no rows", &stream{schema: twoViews}, 1, "an epoch has 0 readable samples, a batch 4"},
		{"few rows", pairsOf(memory.DefaultAllocator, nil, numbered(0, 0, 3), []int{3}), 1, "an epoch has 3 readable samples, a batch 4"},
		{"few rows an epoch", pairsOf(memory.DefaultAllocator, nil, slices.Concat(numbered(0, 0, 3), numbered(1, 0, 3)), []int{6}), 1, "an epoch has 3 readable samples, a batch 4"},
		{"other size", pairsOf(memory.DefaultAllocator, nil, numbered(0, 0, 4), []int{4}), 8, "views of [1 1 3], the method takes [8 8 3]"},
		{"one view", oneView, 1, "no column \"positive\""},
		{"other kind", &stream{schema: batch.ImagesSchema(nil)}, 1, "want pairs/1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBatcher(c.in, Config{Method: "moco-cifar", Batch: 4, Encoder: encoder.ResNetConfig{Size: c.side}}, batch.Position{}, orderHash{})
			defer b.release()
			err := b.open(t.Context())
			if err == nil {
				_, err = b.next(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestOrderHashIsAChain(t *testing.T) {
	long := strings.Repeat("x", 300) // longer than the buffer on the stack
	var got orderHash
	var want [32]byte
	for _, id := range []string{"a", "", "train-0.tar/000001", long} {
		got.add([]byte(id))
		want = sha256.Sum256(bytes.Join([][]byte{want[:], []byte(id), {0}}, nil))
	}
	if got != want {
		t.Errorf("hash %x, want %x", got, want)
	}
}
