package batch

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Samples are the columns that records of images, encoded images and pairs
// share. It borrows the record: no longer than that is held.
type Samples struct {
	rec   arrow.Record
	id    interface{ Value(int) string } // nil: rows have no id
	epoch *array.Uint32                  // nil: one epoch
	index *array.Uint64                  // nil: rows are not numbered
	label *array.Int64                   // nil: no labels
}

// Len returns the number of rows.
func (s *Samples) Len() int { return int(s.rec.NumRows()) }

// ID returns the row's id, "" if it has none.
func (s *Samples) ID(i int) string {
	if s.id == nil {
		return ""
	}
	return s.id.Value(i)
}

// Epoch returns the epoch the row belongs to, 0 if the stream does not say.
func (s *Samples) Epoch(i int) uint32 {
	if s.epoch == nil {
		return 0
	}
	return s.epoch.Value(i)
}

// Index returns the row's place in its epoch; ok is false if the stream does
// not say.
func (s *Samples) Index(i int) (index uint64, ok bool) {
	if s.index == nil {
		return 0, false
	}
	return s.index.Value(i), true
}

// Label returns the row's label; ok is false if it has none.
func (s *Samples) Label(i int) (label int64, ok bool) {
	if s.label == nil || s.label.IsNull(i) {
		return 0, false
	}
	return s.label.Value(i), true
}

// column returns the named column, nil if the record has none.
func column(rec arrow.Record, name string) arrow.Array {
	if at := rec.Schema().FieldIndices(name); len(at) == 1 {
		return rec.Column(at[0])
	}
	return nil
}

func wrongType(name string, got arrow.Array, want string) error {
	if got == nil {
		return fmt.Errorf("batch: record: column %q is missing, want %s", name, want)
	}
	return fmt.Errorf("batch: record: column %q is %s, want %s", name, got.DataType(), want)
}

// newSamples views the common columns. Records may come from other people's
// programs: every offset is checked here, once, so that reading a row cannot fail.
func newSamples(rec arrow.Record) (Samples, error) {
	s := Samples{rec: rec}
	for _, name := range []string{"id", "epoch", "index", "label", "image", "anchor", "positive", offsetColumn} {
		if n := len(rec.Schema().FieldIndices(name)); n > 1 {
			return s, fmt.Errorf("batch: record: column %q occurs %d times", name, n)
		}
	}
	switch col := column(rec, "id").(type) {
	case nil:
	case *array.String:
		if err := checkValues("id", col, col.ValueOffsets); err != nil {
			return s, err
		}
		s.id = col
	case *array.LargeString:
		if err := checkValues("id", col, col.ValueOffsets); err != nil {
			return s, err
		}
		s.id = col
	default:
		return s, wrongType("id", col, "utf8")
	}
	var ok bool
	if col := column(rec, "epoch"); col != nil {
		if s.epoch, ok = col.(*array.Uint32); !ok {
			return s, wrongType("epoch", col, "uint32")
		}
		if err := checkNoNulls("epoch", col); err != nil {
			return s, err
		}
	}
	if col := column(rec, "index"); col != nil {
		if s.index, ok = col.(*array.Uint64); !ok {
			return s, wrongType("index", col, "uint64")
		}
		if err := checkNoNulls("index", col); err != nil {
			return s, err
		}
	}
	if col := column(rec, "label"); col != nil {
		if s.label, ok = col.(*array.Int64); !ok {
			return s, wrongType("label", col, "int64")
		}
	}
	return s, nil
}

// checkNoNulls wants a value in every row, and in every item of a row.
func checkNoNulls(name string, cols ...arrow.Array) error {
	for _, col := range cols {
		if n := col.NullN(); n > 0 {
			return fmt.Errorf("batch: record: column %q: %d of %d values are null", name, n, col.Len())
		}
	}
	return nil
}

// checkValues checks the offsets of a string or binary column.
func checkValues[T int32 | int64](name string, col arrow.Array, offsets func() []T) error {
	if col.Len() == 0 {
		return nil // may have no offsets
	}
	if err := checkOffsets(offsets(), col.Len(), valuesLen(col)); err != nil {
		return fmt.Errorf("batch: record: column %q: %w", name, err)
	}
	return nil
}

// valuesLen returns the length of what a string or binary column points into.
func valuesLen(col arrow.Array) int {
	if b := col.Data().Buffers()[2]; b != nil {
		return b.Len()
	}
	return 0
}

// checkOffsets checks the n+1 offsets of n list-like rows against the end of
// what they point into.
func checkOffsets[T int32 | int64](offsets []T, n, end int) error {
	if n == 0 {
		return nil
	}
	if len(offsets) <= n {
		return fmt.Errorf("%d offsets for %d rows", len(offsets), n)
	}
	last := offsets[0]
	if last < 0 {
		return fmt.Errorf("row 0 begins at %d", last)
	}
	for i, next := range offsets[1 : n+1] {
		if next < last || int64(next) > int64(end) {
			return fmt.Errorf("row %d spans [%d,%d) of %d", i, last, next, end)
		}
		last = next
	}
	return nil
}

// Images views a record of images/1.
type Images struct {
	Samples
	data  *array.List
	bytes []byte
	shape []int32 // [rows*3]
}

// NewImages views rec, which the caller keeps holding while the view is used.
func NewImages(rec arrow.Record) (*Images, error) {
	s, err := newSamples(rec)
	if err != nil {
		return nil, err
	}
	ext, ok := column(rec, "image").(array.ExtensionArray)
	if !ok {
		return nil, wrongType("image", column(rec, "image"), "arrow.variable_shape_tensor of uint8")
	}
	t, ok := ext.DataType().(*VariableShapeTensor)
	if !ok || t.Rank != 3 {
		return nil, wrongType("image", ext, "arrow.variable_shape_tensor of uint8 [H,W,3]")
	}
	st := ext.Storage().(*array.Struct)
	im := &Images{Samples: s}
	if im.data, ok = st.Field(0).(*array.List); !ok {
		return nil, wrongType("image.data", st.Field(0), "list<uint8>")
	}
	values, ok := im.data.ListValues().(*array.Uint8)
	if !ok {
		return nil, wrongType("image.data", im.data.ListValues(), "list<uint8>")
	}
	shapes, ok := st.Field(1).(*array.FixedSizeList)
	if !ok {
		return nil, wrongType("image.shape", st.Field(1), "fixed_size_list<int32>[3]")
	}
	dims, ok := shapes.ListValues().(*array.Int32)
	if !ok {
		return nil, wrongType("image.shape", shapes.ListValues(), "int32")
	}
	im.bytes = values.Uint8Values()
	from := shapes.Offset() * 3
	if dims.Len() < from+3*s.Len() || im.data.Len() < s.Len() {
		return nil, fmt.Errorf("batch: record: column %q: %d shapes and %d images, want %d", "image", dims.Len()/3, im.data.Len(), s.Len())
	}
	im.shape = dims.Int32Values()[from:]
	if err := checkNoNulls("image", ext, im.data, values, shapes, dims); err != nil {
		return nil, err
	}
	if s.Len() > 0 {
		if err := checkOffsets(im.data.Offsets()[im.data.Offset():], s.Len(), len(im.bytes)); err != nil {
			return nil, fmt.Errorf("batch: record: column %q: %w", "image", err)
		}
	}
	for i := range s.Len() {
		h, w, c := im.shape[3*i], im.shape[3*i+1], im.shape[3*i+2]
		from, to := im.data.ValueOffsets(i)
		if h < 1 || w < 1 || c != 3 || int64(h)*int64(w) != (to-from)/3 || (to-from)%3 != 0 {
			return nil, fmt.Errorf("batch: record: column %q: row %d (id %.80q): shape [%d,%d,%d] over %d bytes, want [H,W,3] over H*W*3",
				"image", i, s.ID(i), h, w, c, to-from)
		}
	}
	return im, nil
}

// Image returns the row's pixels, RGB rows packed, with height and width.
func (im *Images) Image(i int) (pix []byte, h, w int) {
	from, to := im.data.ValueOffsets(i)
	return im.bytes[from:to], int(im.shape[3*i]), int(im.shape[3*i+1])
}

// Encoded views a record of encoded/1.
type Encoded struct {
	Samples
	image  interface{ Value(int) []byte }
	offset *array.Int64 // nil: not told
}

// NewEncoded views rec, which the caller keeps holding while the view is used.
func NewEncoded(rec arrow.Record) (*Encoded, error) {
	s, err := newSamples(rec)
	if err != nil {
		return nil, err
	}
	e := &Encoded{Samples: s}
	switch col := column(rec, "image").(type) {
	case *array.Binary:
		if err := checkValues("image", col, col.ValueOffsets); err != nil {
			return nil, err
		}
		e.image = col
	case *array.LargeBinary:
		if err := checkValues("image", col, col.ValueOffsets); err != nil {
			return nil, err
		}
		e.image = col
	default:
		return nil, wrongType("image", col, "binary")
	}
	if col := column(rec, offsetColumn); col != nil {
		offset, ok := col.(*array.Int64)
		if !ok {
			return nil, wrongType(offsetColumn, col, "int64")
		}
		e.offset = offset
	}
	return e, nil
}

// Offset returns the row's offset in its shard, 0 if the stream does not say.
func (e *Encoded) Offset(i int) int64 {
	if e.offset == nil {
		return 0
	}
	return e.offset.Value(i)
}

// Bytes returns the row's file, as it stood in the shard; empty if the row has
// none.
func (e *Encoded) Bytes(i int) []byte { return e.image.Value(i) }

// Pairs views a record of pairs/1.
type Pairs struct {
	Samples
	// Shape is that of a view: [S,S,3], or [G,G,P,P,3] for a grid of patches.
	Shape []int
	// Anchor and Positive are the views of all rows, one after the other,
	// len = rows * product(Shape). Positive is nil for one-view streams.
	Anchor, Positive []byte
	// Local holds the local views of all rows, LocalShape, [V,s,s,3], each; both are
	// nil for streams without them.
	Local      []byte
	LocalShape []int
}

// NewPairs views rec, which the caller keeps holding while the view is used.
func NewPairs(rec arrow.Record) (*Pairs, error) {
	s, err := newSamples(rec)
	if err != nil {
		return nil, err
	}
	p := &Pairs{Samples: s}
	if p.Anchor, p.Shape, err = fixedRows(rec, "anchor", isView); err != nil {
		return nil, err
	}
	if column(rec, "positive") != nil {
		positive, shape, err := fixedRows(rec, "positive", isView)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(shape, p.Shape) {
			return nil, fmt.Errorf("batch: record: positive has shape %v, anchor %v: the two must be equal", shape, p.Shape)
		}
		p.Positive = positive
	}
	if column(rec, localColumn) != nil {
		if p.Local, p.LocalShape, err = fixedRows(rec, localColumn, isLocal); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// fixedRows returns the bytes of all rows of a fixed-shape tensor column whose
// shape is as allowed says.
func fixedRows(rec arrow.Record, name string, allowed func(shape []int) bool) ([]byte, []int, error) {
	const want = "arrow.fixed_shape_tensor of uint8"
	ext, ok := column(rec, name).(array.ExtensionArray)
	if !ok {
		return nil, nil, wrongType(name, column(rec, name), want)
	}
	t, ok := ext.DataType().(*FixedShapeTensor)
	if !ok {
		return nil, nil, wrongType(name, ext, want)
	}
	list := ext.Storage().(*array.FixedSizeList)
	values, ok := list.ListValues().(*array.Uint8)
	if !ok {
		return nil, nil, wrongType(name, list.ListValues(), want)
	}
	if !allowed(t.Shape) {
		want := "[S,S,3] or [G,G,P,P,3]"
		if name == localColumn {
			want = "[V,s,s,3]"
		}
		return nil, nil, fmt.Errorf("batch: record: column %q has shape %v, want %s", name, t.Shape, want)
	}
	if err := checkNoNulls(name, ext, values); err != nil {
		return nil, nil, err
	}
	width := product(t.Shape)
	from, to := list.Offset()*width, (list.Offset()+list.Len())*width
	if to > values.Len() {
		return nil, nil, fmt.Errorf("batch: record: column %q holds %d bytes, want %d", name, values.Len(), to)
	}
	return values.Uint8Values()[from:to], t.Shape, nil
}

// isLocal reports whether a shape is that of local views: [V,s,s,3].
func isLocal(s []int) bool {
	return len(s) == 4 && s[0] > 0 && s[1] > 0 && s[1] == s[2] && s[3] == 3
}

// isView reports whether a shape is that of a view: [S,S,3] or [G,G,P,P,3].
func isView(s []int) bool {
	switch len(s) {
	case 3:
		return s[0] > 0 && s[0] == s[1] && s[2] == 3
	case 5:
		return s[0] > 0 && s[0] == s[1] && s[2] > 0 && s[2] == s[3] && s[4] == 3
	}
	return false
}
