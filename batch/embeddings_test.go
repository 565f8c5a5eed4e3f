package batch_test

import (
	"slices"
	"strings"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestEmbeddingsOfASlice views rows of a record that begins further on.
func TestEmbeddingsOfASlice(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b := array.NewRecordBuilder(mem, batch.EmbeddingsSchema(nil, 2))
	defer b.Release()
	b.Field(0).(*array.StringBuilder).AppendValues([]string{"a", "b", "c"}, nil)
	b.Field(1).(*array.Int64Builder).AppendValues([]int64{4, 5, 6}, []bool{true, false, true})
	list := b.Field(2).(*array.FixedSizeListBuilder)
	list.AppendValues([]bool{true, true, true})
	list.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{1, 2, 3, 4, 5, 6}, nil)
	rec := b.NewRecord()
	defer rec.Release()
	tail := rec.NewSlice(1, 3)
	defer tail.Release()

	e, err := batch.NewEmbeddings(tail)
	if err != nil {
		t.Fatal(err)
	}
	if e.Len() != 2 || e.Dim != 2 || e.ID(0) != "b" || !slices.Equal(e.Embedding(0), []float32{3, 4}) || !slices.Equal(e.Embedding(1), []float32{5, 6}) {
		t.Errorf("got %d rows of %d, %q %v %v, want b [3 4] [5 6]", e.Len(), e.Dim, e.ID(0), e.Embedding(0), e.Embedding(1))
	}
	if _, ok := e.Label(0); ok {
		t.Error("row b has a label, want none")
	}
}

func TestWrongEmbeddings(t *testing.T) {
	field := func(t arrow.DataType) arrow.Field { return arrow.Field{Name: "embedding", Type: t, Nullable: true} }
	for _, c := range []struct {
		field arrow.Field
		want  string
	}{
		{arrow.Field{Name: "vector", Type: arrow.PrimitiveTypes.Float32, Nullable: true}, `column "embedding" is missing`},
		{field(arrow.PrimitiveTypes.Float32), `column "embedding" is float32, want fixed_size_list<float32>`},
		{field(arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float64)), `want fixed_size_list<float32>`},
		{field(arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32)), `2 of 2 values are null`},
	} {
		rec := nulls(c.field)
		if _, err := batch.NewEmbeddings(rec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.field, err, c.want)
		}
		rec.Release()
	}
}
