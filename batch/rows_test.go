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

// nulls is a record of two rows of null in columns of the given types.
func nulls(fields ...arrow.Field) arrow.Record {
	cols := make([]arrow.Array, len(fields))
	for i, f := range fields {
		cols[i] = array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, 2)
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), cols, 2)
}

// TestWrongColumns gives each view records with a column of a wrong type, with
// nulls where there may be none, or that contradict each other.
func TestWrongColumns(t *testing.T) {
	text, file := arrow.BinaryTypes.String, arrow.BinaryTypes.Binary
	field := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	image := field("image", file)
	tensor := func(values, dims arrow.DataType) arrow.Field {
		t := batch.NewVariableShapeTensor(3)
		t.Storage = arrow.StructOf(field("data", values), field("shape", dims))
		return field("image", t)
	}
	bytes, dims := arrow.ListOf(arrow.PrimitiveTypes.Uint8), arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Int32)
	encoded := func(r arrow.Record) error { _, err := batch.NewEncoded(r); return err }
	images := func(r arrow.Record) error { _, err := batch.NewImages(r); return err }
	for _, c := range []struct {
		of   func(arrow.Record) error
		rec  arrow.Record
		want string // "" is no error
	}{
		{encoded, nulls(image, field("id", text), field("label", arrow.PrimitiveTypes.Int64)), ""},
		{encoded, nulls(image, field("id", file)), `column "id" is binary, want utf8`},
		{encoded, nulls(image, field("epoch", arrow.PrimitiveTypes.Int32)), `column "epoch" is int32, want uint32`},
		{encoded, nulls(image, field("epoch", arrow.PrimitiveTypes.Uint32)), `column "epoch": 2 of 2 values are null`},
		{encoded, nulls(image, field("index", arrow.PrimitiveTypes.Int64)), `column "index" is int64, want uint64`},
		{encoded, nulls(image, field("index", arrow.PrimitiveTypes.Uint64)), `column "index": 2 of 2 values are null`},
		{encoded, nulls(image, field("label", text)), `column "label" is utf8, want int64`},
		{encoded, nulls(field("id", text)), `column "image" is missing, want binary`},
		{encoded, nulls(field("image", text)), `column "image" is utf8, want binary`},
		{images, nulls(image), `column "image" is binary, want arrow.variable_shape_tensor`},
		{images, nulls(tensor(bytes, dims)), `column "image": `},
		{images, nulls(tensor(arrow.PrimitiveTypes.Uint8, dims)), `column "image.data" is uint8, want list<uint8>`},
		{images, nulls(tensor(arrow.ListOf(text), dims)), `column "image.data" is utf8, want list<uint8>`},
		{images, nulls(tensor(bytes, arrow.PrimitiveTypes.Int32)), `column "image.shape" is int32, want fixed_size_list<int32>[3]`},
		{images, nulls(tensor(bytes, arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Int64))), `column "image.shape" is int64, want int32`},
	} {
		err := c.of(c.rec)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got error %v, want %q", c.rec.Schema().Fields(), err, c.want)
		}
	}
}

// TestLocalViews: a column of their own, of rows that are kept; without it pairs
// are as before.
func TestLocalViews(t *testing.T) {
	plain := batch.PairsSchema(batch.Metadata{batch.KeySeed: "7"}, 2, 2, 2, 3)
	s := batch.WithLocal(plain, 3, 1)
	if got := batch.LocalShape(s); !slices.Equal(got, []int{3, 1, 1, 3}) || batch.LocalShape(plain) != nil || batch.MetadataOf(s)[batch.KeySeed] != "7" {
		t.Errorf("got shape %v, without local views %v, metadata %v", got, batch.LocalShape(plain), batch.MetadataOf(s))
	}
	views := batch.NewViewMemory(memory.DefaultAllocator)
	defer views.Close()
	b := views.NewPairsBuilder(s, 3)
	if b.Views() != 2 {
		t.Errorf("got %d views, want 2 beside the local ones", b.Views())
	}
	for i := range 3 {
		for v := range 2 {
			for j := range b.View(v, i) {
				b.View(v, i)[j] = byte(100*v + 10*i + j)
			}
		}
		for j := range b.Local(i) {
			b.Local(i)[j] = byte(200 + 10*i + j)
		}
	}
	rec := b.NewRecord([]bool{true, false, true})
	defer rec.Release()
	p, err := batch.NewPairs(rec)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte{200, 201, 202, 203, 204, 205, 206, 207, 208, 220, 221, 222, 223, 224, 225, 226, 227, 228}
	if !slices.Equal(p.Local, want) || !slices.Equal(p.LocalShape, []int{3, 1, 1, 3}) || p.Positive[12] != 120 {
		t.Errorf("got %v of %v, positives %v", p.Local, p.LocalShape, p.Positive)
	}
	b = batch.NewPairsBuilder(memory.DefaultAllocator, plain, 1)
	if b.Local(0) != nil {
		t.Error("a schema without local views has some")
	}
	rec = b.NewRecord(nil)
	defer rec.Release()
	if p, err = batch.NewPairs(rec); err != nil || p.Local != nil || p.LocalShape != nil {
		t.Errorf("a record without local views: got %v, %v", p.Local, err)
	}
	anchor := rec.Column(int(rec.NumCols()) - 1)
	wrong := arrow.NewSchema([]arrow.Field{{Name: "anchor", Type: anchor.DataType()}, {Name: "local", Type: anchor.DataType()}}, nil)
	_, err = batch.NewPairs(array.NewRecord(wrong, []arrow.Array{anchor, anchor}, 1))
	if err == nil || !strings.Contains(err.Error(), `column "local" has shape [2 2 3], want [V,s,s,3]`) {
		t.Errorf("local views without a number: got %v", err)
	}
}

// TestPairsOfOneShape wants both views alike.
func TestPairsOfOneShape(t *testing.T) {
	column := func(side int) arrow.Array {
		b := batch.NewPairsBuilder(memory.DefaultAllocator, batch.PairsSchema(nil, 1, side, side, 3), 1)
		rec := b.NewRecord(nil)
		return rec.Column(int(rec.NumCols()) - 1)
	}
	anchor, positive := column(2), column(4)
	s := arrow.NewSchema([]arrow.Field{{Name: "anchor", Type: anchor.DataType()}, {Name: "positive", Type: positive.DataType()}}, nil)
	_, err := batch.NewPairs(array.NewRecord(s, []arrow.Array{anchor, positive}, 1))
	if want := "positive has shape [4 4 3], anchor [2 2 3]"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one with %q", err, want)
	}
}
