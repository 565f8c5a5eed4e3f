package batch

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Row is what a record says of a sample beside its image.
type Row struct {
	ID       string
	Epoch    uint32
	Index    uint64
	Label    int64
	HasLabel bool
	Offset   int64 // of the sample in its shard, kept where the schema has the column
}

// sampleBuilder builds the common columns.
type sampleBuilder struct {
	id    *array.StringBuilder
	epoch *array.Uint32Builder
	index *array.Uint64Builder
	label *array.Int64Builder
}

func newSampleBuilder(mem memory.Allocator) sampleBuilder {
	return sampleBuilder{array.NewStringBuilder(mem), array.NewUint32Builder(mem), array.NewUint64Builder(mem), array.NewInt64Builder(mem)}
}

func (b *sampleBuilder) append(r Row) {
	b.id.Append(r.ID)
	b.epoch.Append(r.Epoch)
	b.index.Append(r.Index)
	if r.HasLabel {
		b.label.Append(r.Label)
	} else {
		b.label.AppendNull()
	}
}

// finish returns the columns and resets the builders. The caller releases them.
func (b *sampleBuilder) finish() []arrow.Array {
	return []arrow.Array{b.id.NewArray(), b.epoch.NewArray(), b.index.NewArray(), b.label.NewArray()}
}

func (b *sampleBuilder) release() {
	b.id.Release()
	b.epoch.Release()
	b.index.Release()
	b.label.Release()
}

// record puts columns together and gives up the caller's references to them.
func record(schema *arrow.Schema, rows int, cols []arrow.Array) arrow.Record {
	rec := array.NewRecord(schema, cols, int64(rows))
	for _, c := range cols {
		c.Release()
	}
	return rec
}

// EncodedBuilder builds records of encoded/1. Release it after use.
type EncodedBuilder struct {
	schema *arrow.Schema
	sampleBuilder
	image  filesBuilder
	offset *array.Int64Builder // nil: the schema has no such column
}

// NewEncodedBuilder returns a builder of records with the given schema. The
// memory of the files of released records is used again: whoever reads a record
// keeps none of its files past its release.
func NewEncodedBuilder(mem memory.Allocator, schema *arrow.Schema) *EncodedBuilder {
	b := &EncodedBuilder{schema: schema, sampleBuilder: newSampleBuilder(mem), image: newFilesBuilder(mem)}
	if schema.HasField(offsetColumn) {
		b.offset = array.NewInt64Builder(mem)
	}
	return b
}

// Reserve makes room for so many bytes of files more. Without it room is made as
// they come.
func (b *EncodedBuilder) Reserve(bytes int) { b.image.reserve(bytes) }

// Append adds a row and copies file. A record holds less than 2 GiB: callers
// take it before Bytes gets there.
func (b *EncodedBuilder) Append(r Row, file []byte) {
	b.append(r)
	b.image.append(file)
	if b.offset != nil {
		b.offset.Append(r.Offset)
	}
}

// Len returns the number of rows gathered so far.
func (b *EncodedBuilder) Len() int { return b.image.len() }

// Bytes returns the size of their files together.
func (b *EncodedBuilder) Bytes() int { return b.image.bytes }

// NewRecord returns the rows gathered and begins anew. The caller releases the
// record.
func (b *EncodedBuilder) NewRecord() arrow.Record {
	n := b.Len()
	cols := append(b.finish(), b.image.newArray())
	if b.offset != nil {
		cols = append(cols, b.offset.NewArray())
	}
	return record(b.schema, n, cols)
}

// Release frees the builder's memory.
func (b *EncodedBuilder) Release() {
	b.release()
	b.image.release()
	if b.offset != nil {
		b.offset.Release()
	}
}

// ImagesBuilder builds records of images/1. Release it after use.
type ImagesBuilder struct {
	schema *arrow.Schema
	sampleBuilder
	image *array.ExtensionBuilder
	data  *array.ListBuilder
	bytes *array.Uint8Builder
	shape *array.FixedSizeListBuilder
	dims  *array.Int32Builder
}

// NewImagesBuilder returns a builder of records with the given schema.
func NewImagesBuilder(mem memory.Allocator, schema *arrow.Schema) *ImagesBuilder {
	b := &ImagesBuilder{schema: schema, sampleBuilder: newSampleBuilder(mem)}
	b.image = array.NewExtensionBuilder(mem, NewVariableShapeTensor(3))
	st := b.image.Builder.(*array.StructBuilder)
	b.data = st.FieldBuilder(0).(*array.ListBuilder)
	b.bytes = b.data.ValueBuilder().(*array.Uint8Builder)
	b.shape = st.FieldBuilder(1).(*array.FixedSizeListBuilder)
	b.dims = b.shape.ValueBuilder().(*array.Int32Builder)
	return b
}

// Append adds a row and copies pix, h rows of w RGB pixels. It panics if pix is
// not 3*h*w long. A record holds less than 2 GiB: callers take it before Bytes
// gets there.
func (b *ImagesBuilder) Append(r Row, pix []byte, h, w int) {
	if len(pix) != 3*h*w {
		panic(fmt.Sprintf("batch: ImagesBuilder.Append: %d bytes for an image [%d,%d,3]", len(pix), h, w))
	}
	b.append(r)
	b.image.Builder.(*array.StructBuilder).Append(true)
	b.data.Append(true)
	b.bytes.AppendValues(pix, nil)
	b.shape.Append(true)
	b.dims.AppendValues([]int32{int32(h), int32(w), 3}, nil)
}

// Len returns the number of rows gathered so far.
func (b *ImagesBuilder) Len() int { return b.image.Len() }

// Bytes returns the size of their images together.
func (b *ImagesBuilder) Bytes() int { return b.bytes.Len() }

// NewRecord returns the rows gathered and begins anew. The caller releases the
// record.
func (b *ImagesBuilder) NewRecord() arrow.Record {
	n := b.Len()
	return record(b.schema, n, append(b.finish(), b.image.NewArray()))
}

// Release frees the builder's memory.
func (b *ImagesBuilder) Release() { b.release(); b.image.Release() }

// PairsBuilder builds one record of pairs/1 in place: views are written
// straight into the memory of the Arrow columns, by any number of goroutines
// as long as no two write the same row.
type PairsBuilder struct {
	schema *arrow.Schema
	mem    memory.Allocator
	rows   []Row
	views  []viewColumn // anchor, positive, local: as far as the schema has them
	local  int          // which of them holds the local views; -1: none
}

// viewColumn is a column of views that is being built.
type viewColumn struct {
	kind  *FixedShapeTensor
	width int // bytes of a row
	*memory.Buffer
}

// row returns the bytes of a row.
func (c viewColumn) row(i int) []byte { return c.Bytes()[i*c.width : (i+1)*c.width : (i+1)*c.width] }

// NewPairsBuilder returns a builder of up to rows rows; schema is PairsSchema's.
// Views begin as zeros.
func NewPairsBuilder(mem memory.Allocator, schema *arrow.Schema, rows int) *PairsBuilder {
	return newPairsBuilder(mem, mem, mem, schema, rows)
}

func newPairsBuilder(mem, blocks, local memory.Allocator, schema *arrow.Schema, rows int) *PairsBuilder {
	b := &PairsBuilder{schema: schema, mem: mem, rows: make([]Row, rows), local: -1}
	for _, f := range schema.Fields() {
		if t, ok := f.Type.(*FixedShapeTensor); ok {
			from := blocks
			if f.Name == localColumn {
				b.local, from = len(b.views), local
			}
			c := viewColumn{t, product(t.Shape), memory.NewResizableBuffer(from)}
			c.Resize(rows * c.width)
			b.views = append(b.views, c)
		}
	}
	return b
}

// ViewMemory is memory for the views of a stream's records: that of released
// records is used again. Safe for concurrent use.
type ViewMemory struct {
	blocks recycler
	local  recycler // of local views, which are of another size
}

// NewViewMemory returns memory taken from mem.
func NewViewMemory(mem memory.Allocator) *ViewMemory {
	const views = 2
	return &ViewMemory{blocks: recycler{Allocator: mem, blocks: views}, local: recycler{Allocator: mem}}
}

// NewPairsBuilder is the function of that name, but that views hold what they
// held before: all bytes of those that are kept must be written.
func (m *ViewMemory) NewPairsBuilder(schema *arrow.Schema, rows int) *PairsBuilder {
	return newPairsBuilder(m.blocks.Allocator, &m.blocks, &m.local, schema, rows)
}

// Close gives back what waits for another record. Records that are still out give
// theirs back when they are released.
func (m *ViewMemory) Close() {
	m.blocks.close()
	m.local.close()
}

// SetRow says what row i is.
func (b *PairsBuilder) SetRow(i int, r Row) { b.rows[i] = r }

// View returns the bytes of row i's anchor (view 0) or positive (view 1).
func (b *PairsBuilder) View(view, i int) []byte { return b.views[view].row(i) }

// Local returns the bytes of row i's local views, nil if the schema has none.
func (b *PairsBuilder) Local(i int) []byte {
	if b.local < 0 {
		return nil
	}
	return b.views[b.local].row(i)
}

// Views returns the number of views a row has beside its local ones.
func (b *PairsBuilder) Views() int {
	if b.local >= 0 {
		return len(b.views) - 1
	}
	return len(b.views)
}

// NewRecord returns the rows for which keep (nil: all) is true and ends the
// builder. Rows that are left out close up. The caller releases the record.
func (b *PairsBuilder) NewRecord(keep []bool) arrow.Record {
	samples := newSampleBuilder(b.mem)
	defer samples.release()
	n := 0
	for i, r := range b.rows {
		if keep != nil && !keep[i] {
			continue
		}
		if n != i {
			for _, v := range b.views {
				copy(v.row(n), v.row(i))
			}
		}
		samples.append(r)
		n++
	}
	cols := samples.finish()
	for _, v := range b.views {
		v.ResizeNoShrink(n * v.width)
		cols = append(cols, tensorColumn(v.kind, n, v.Buffer))
		v.Release()
	}
	b.views = nil
	return record(b.schema, n, cols)
}

// Release frees a builder that was not ended by NewRecord.
func (b *PairsBuilder) Release() {
	for _, v := range b.views {
		v.Release()
	}
	b.views = nil
}

// tensorColumn wraps a buffer of rows*product(shape) bytes without copying it.
func tensorColumn(t *FixedShapeTensor, rows int, buf *memory.Buffer) arrow.Array {
	values := array.NewData(arrow.PrimitiveTypes.Uint8, rows*product(t.Shape), []*memory.Buffer{nil, buf}, nil, 0, 0)
	defer values.Release()
	list := array.NewData(t, rows, []*memory.Buffer{nil}, []arrow.ArrayData{values}, 0, 0)
	defer list.Release()
	return array.NewExtensionData(list)
}
