package encoder_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// views is a stream of records of rows of the given shape, made as they are read.
type views struct {
	schema *arrow.Schema
	mem    memory.Allocator
	rows   int
	record []int
	next   int
}

func newViews(mem memory.Allocator, shape []int, rows int, record ...int) *views {
	return &views{schema: batch.PairsSchema(batch.Metadata{batch.KeySource: "photos"}, 1, shape...), mem: mem, rows: rows, record: record}
}

func (v *views) Schema(context.Context) (*arrow.Schema, error) { return v.schema, nil }

func (v *views) Read(context.Context) (arrow.Record, error) {
	if v.next == v.rows {
		return nil, io.EOF
	}
	n := min(v.record[0], v.rows-v.next)
	v.record = append(v.record[1:], v.record[0])
	b := batch.NewPairsBuilder(v.mem, v.schema, n)
	for i := range n {
		row := v.next + i
		b.SetRow(i, rowOf(row))
		for p := range b.View(0, i) {
			b.View(0, i)[p] = byte(row*131 + p*p*7)
		}
	}
	v.next += n
	return b.NewRecord(nil), nil
}

// rowOf is what the stream says of a row: every third has no label.
func rowOf(i int) batch.Row {
	return batch.Row{ID: fmt.Sprint("photo-", i), Index: uint64(i), Label: int64(i % 4), HasLabel: i%3 != 0}
}

// embeddings gathers what an Embedder writes.
type embeddings struct {
	schema *arrow.Schema
	rows   []batch.Row
	values []float32
	err    error // of every Write
}

func (e *embeddings) Open(_ context.Context, s *arrow.Schema) error { e.schema = s; return nil }

func (e *embeddings) Write(_ context.Context, rec arrow.Record) error {
	defer rec.Release()
	if e.err != nil {
		return e.err
	}
	labels := rec.Column(1).(*array.Int64)
	for i := range int(rec.NumRows()) {
		row := batch.Row{ID: rec.Column(0).(*array.String).Value(i), Index: uint64(len(e.rows)), HasLabel: labels.IsValid(i)}
		if row.HasLabel {
			row.Label = labels.Value(i)
		}
		e.rows = append(e.rows, row)
	}
	e.values = append(e.values, rec.Column(2).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()...)
	return nil
}

// embedder returns an Embedder of a small network for views of 8 pixels.
func embedder(t *testing.T, mem memory.Allocator, output string, n, workers int) (*encoder.Embedder, *encoder.Params) {
	t.Helper()
	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 8, Width: 0.1, Normalize: encoder.Normalize{Std: [3]float32{1, 1, 1}}})
	g.AddHead(encoder.Head{Kind: encoder.LinearHead, Dim: 5})
	features, _ := g.Find("features")
	g.Output("map", g.Add("repeat", encoder.Repeat{H: 2, W: 3}, features))
	params := encoder.NewParams(g, 3)
	e, err := encoder.NewEmbedder(encoder.EmbedConfig{Graph: g, Params: params, Output: output, Batch: n, Workers: workers, Mem: mem})
	if err != nil {
		t.Fatal(err)
	}
	return e, params
}

// Embeddings keep the order, the ids and the labels of their views; they depend
// on nothing but the view: not on the record, the place in the batch, or whether
// the batch is full.
func TestEmbeddingsDependOnTheViewAlone(t *testing.T) {
	const rows = 11
	for _, c := range []struct {
		output string
		dim    int
	}{{"embedding", 5}, {"features", 51}, {"map", 2 * 3 * 51}} {
		var want []float32 // of each view alone
		for i := range rows {
			e, _ := embedder(t, memory.DefaultAllocator, c.output, 1, 1)
			in := newViews(memory.DefaultAllocator, []int{8, 8, 3}, i+1, 1)
			in.next = i
			var out embeddings
			if err := e.Stage(t.Context(), in, &out); err != nil {
				t.Fatal(err)
			}
			want = append(want, out.values...)
		}
		for _, v := range []struct {
			batch, workers int
			record         []int
		}{{4, 1, []int{4}}, {4, 2, []int{11}}, {4, 5, []int{3, 1}}, {16, 2, []int{6}}} {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			e, params := embedder(t, mem, c.output, v.batch, v.workers)
			before := params.State().Digest()
			var out embeddings
			if err := e.Stage(t.Context(), newViews(mem, []int{8, 8, 3}, rows, v.record...), &out); err != nil {
				t.Fatal(err)
			}
			mem.AssertSize(t, 0)
			if params.State().Digest() != before {
				t.Errorf("%s, %+v: the parameters changed", c.output, v)
			}
			for i, row := range out.rows {
				wantRow := rowOf(i)
				if !wantRow.HasLabel {
					wantRow.Label = 0
				}
				if row != wantRow {
					t.Errorf("%s, %+v: row %d is %+v, want %+v", c.output, v, i, row, wantRow)
				}
			}
			if c.output == "map" && !slices.Equal(out.values[:51], out.values[5*51:6*51]) {
				t.Errorf("%+v: the pixels of a map of one vector differ", v)
			}
			if len(out.rows) != rows || !slices.Equal(out.values, want) {
				t.Errorf("%s, %+v: %d rows with other values than those of each view alone", c.output, v, len(out.rows))
			}
			dim := int(out.schema.Field(2).Type.(*arrow.FixedSizeListType).Len())
			if meta := batch.MetadataOf(out.schema); batch.KindOf(out.schema) != batch.EmbeddingsKind || dim != c.dim || meta[batch.KeySource] != "photos" {
				t.Errorf("%s: schema %v, want %d numbers and the source", c.output, out.schema, c.dim)
			}
		}
	}
}

func TestEmbedderRefuses(t *testing.T) {
	errFull := errors.New("no space left")
	for _, c := range []struct {
		name  string
		shape []int
		err   error // of the writer
		want  string
	}{
		{"other size", []int{6, 6, 3}, nil, "the stream holds views of [6 6 3], the network takes [8 8 3]"},
		{"patches of as many bytes", []int{2, 2, 4, 4, 3}, nil, "the stream holds views of [2 2 4 4 3], the network takes [8 8 3]"},
		{"a writer that fails", []int{8, 8, 3}, errFull, "no space left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			e, _ := embedder(t, mem, "embedding", 4, 2)
			if err := e.Stage(t.Context(), newViews(mem, c.shape, 9, 9), &embeddings{err: c.err}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	e, _ := embedder(t, memory.DefaultAllocator, "embedding", 4, 1)
	if err := e.Stage(t.Context(), &views{schema: batch.ImagesSchema(nil)}, &embeddings{}); err == nil || !strings.Contains(err.Error(), "want pairs/1") {
		t.Errorf("error %v for images", err)
	}
	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 8, Width: 0.1})
	for output, n := range map[string]int{"prediction": 4, "features": 0} {
		if e, err := encoder.NewEmbedder(encoder.EmbedConfig{Graph: g, Params: encoder.NewParams(g, 1), Output: output, Batch: n}); err == nil || e != nil {
			t.Errorf("output %q in batches of %d: %v and error %v", output, n, e, err)
		}
	}
}
