package probe

import (
	"context"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embeddings is a stream of records made beforehand.
type embeddings struct {
	schema  *arrow.Schema
	records []arrow.Record
}

func (e *embeddings) Schema(context.Context) (*arrow.Schema, error) { return e.schema, nil }

func (e *embeddings) Read(context.Context) (arrow.Record, error) {
	if len(e.records) == 0 {
		return nil, io.EOF
	}
	rec := e.records[0]
	e.records = e.records[1:]
	return rec, nil
}

const unlabelled = math.MinInt64 // marks a row without a label

// embedded is a stream of rows of dim numbers that count up, in records of so
// many rows.
func embedded(mem memory.Allocator, dim int, labels []int64, sizes ...int) *embeddings {
	out := &embeddings{schema: batch.EmbeddingsSchema(nil, dim)}
	row := 0
	for _, n := range sizes {
		b := array.NewRecordBuilder(mem, out.schema)
		vectors := b.Field(2).(*array.FixedSizeListBuilder)
		for range n {
			b.Field(0).(*array.StringBuilder).Append("id")
			if labels[row] == unlabelled {
				b.Field(1).AppendNull()
			} else {
				b.Field(1).(*array.Int64Builder).Append(labels[row])
			}
			vectors.Append(true)
			for j := range dim {
				vectors.ValueBuilder().(*array.Float32Builder).Append(float32(row*dim + j))
			}
			row++
		}
		out.records = append(out.records, b.NewRecord())
		b.Release()
	}
	return out
}

func TestCollectTakesLabelledRows(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	in := embedded(mem, 2, []int64{3, unlabelled, 0, 1, unlabelled, 1}, 4, 0, 2)
	// A slice of a record begins inside its columns.
	whole := in.records[0]
	in.records[0] = whole.NewSlice(1, 4)
	whole.Release()
	var f Features
	if err := Collect(&f)(t.Context(), in, nil); err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 1}; !slices.Equal(f.Labels, want) || f.N() != 3 || f.D != 2 {
		t.Errorf("labels %v in %d dimensions, want %v in 2", f.Labels, f.D, want)
	}
	if want := []float32{4, 5, 6, 7, 10, 11}; !slices.Equal(f.Data, want) {
		t.Errorf("rows %v, want %v", f.Data, want)
	}
}

func TestCollectRefuses(t *testing.T) {
	// retyped replaces the columns of an empty stream by one of another type.
	retyped := func(mem memory.Allocator, fields ...arrow.Field) *embeddings {
		meta := batch.EmbeddingsSchema(nil, 2).Metadata()
		schema := arrow.NewSchema(fields, &meta)
		b := array.NewRecordBuilder(mem, schema)
		defer b.Release()
		for _, f := range b.Fields() {
			f.AppendNull()
		}
		return &embeddings{schema: schema, records: []arrow.Record{b.NewRecord()}}
	}
	label := arrow.Field{Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true}
	for _, c := range []struct {
		name string
		in   func(memory.Allocator) *embeddings
		want string
	}{
		{"other kind", func(memory.Allocator) *embeddings { return &embeddings{schema: batch.PairsSchema(nil, 2, 8, 8, 3)} }, "want embeddings/1"},
		{"no rows", func(memory.Allocator) *embeddings { return &embeddings{schema: batch.EmbeddingsSchema(nil, 2)} }, "no sample has a label"},
		{"no label", func(mem memory.Allocator) *embeddings { return embedded(mem, 2, []int64{unlabelled}, 1) }, "no sample has a label"},
		{"negative label", func(mem memory.Allocator) *embeddings { return embedded(mem, 2, []int64{0, -1}, 2) }, "label -1 of a row is no class"},
		{"huge label", func(mem memory.Allocator) *embeddings { return embedded(mem, 2, []int64{1 << 20}, 1) }, "label 1048576 of a row is no class, want one in [0,1048576)"},
		{"two lengths", func(mem memory.Allocator) *embeddings {
			a, b := embedded(mem, 2, []int64{0}, 1), embedded(mem, 3, []int64{0}, 1)
			a.records = append(a.records, b.records...)
			return a
		}, "float32 of one length in all records"},
		{"no label column", func(mem memory.Allocator) *embeddings { return retyped(mem) }, `0 columns "label", want one`},
		{"other label", func(mem memory.Allocator) *embeddings {
			return retyped(mem, arrow.Field{Name: "label", Type: arrow.BinaryTypes.String, Nullable: true})
		}, `column "label" is utf8`},
		{"other embedding", func(mem memory.Allocator) *embeddings {
			return retyped(mem, label, arrow.Field{Name: "embedding", Type: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float64), Nullable: true})
		}, "want float32 of one length"},
		{"null embedding", func(mem memory.Allocator) *embeddings {
			return retyped(mem, label, arrow.Field{Name: "embedding", Type: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), Nullable: true})
		}, "values are null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			in := c.in(mem)
			err := Collect(&Features{})(t.Context(), in, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			for _, rec := range in.records { // not read after the error
				rec.Release()
			}
		})
	}
	silent := func(context.Context, batch.Reader, batch.Writer) error { return nil }
	if err := batch.Run(t.Context(), 1, nil, nil, silent, Collect(&Features{})); err == nil || !strings.Contains(err.Error(), "ended before it said what it holds") {
		t.Errorf("error %v of a stream without a schema", err)
	}
}

// The ends of Wilson's interval are the roots x of (p-x)² = z² x(1-x)/n, solved
// here by the formula for quadratics.
func TestWilsonInterval(t *testing.T) {
	for _, c := range []struct {
		correct, n int
		low, high  float64
	}{
		{8, 10, 0.4901625, 0.9433178}, {0, 10, 0, 0.2775328}, {10, 10, 0.7224672, 1}, {5, 10, 0.2365931, 0.7634069}, {1, 1, 0.2065493, 1},
	} {
		s := score(c.correct, c.n)
		if s.Top1 != float64(c.correct)/float64(c.n) || math.Abs(s.CI[0]-c.low) > 1e-6 || math.Abs(s.CI[1]-c.high) > 1e-6 {
			t.Errorf("%d of %d: %v, want [%v,%v]", c.correct, c.n, s, c.low, c.high)
		}
	}
}

// Balanced accuracy is the mean recall of the test set's classes, whatever their
// sizes; the majority's answer is right for its share and for one class of them.
func TestBalancedAccuracy(t *testing.T) {
	labels := []int{3, 3, 3, 3, 3, 3, 8, 8, 5, 5}
	s := judge([]int{3, 3, 3, 3, 3, 8, 8, 3, 3, 9}, labels)
	if want := (5./6 + 1./2 + 0) / 3; s.Top1 != 0.6 || math.Abs(s.Balanced-want) > 1e-15 {
		t.Errorf("top-1 %v and balanced %v, want 0.6 and %v", s.Top1, s.Balanced, want)
	}
	train := &Features{Labels: []int{5, 5, 3, 3, 8}}
	s = Majority(train, &Features{Labels: labels})
	if s.Top1 != 0.6 || math.Abs(s.Balanced-1./3) > 1e-15 || s.CI != score(6, 10).CI {
		t.Errorf("the majority scores %+v, want 0.6 and a third: the lower of two classes as frequent", s)
	}
}
