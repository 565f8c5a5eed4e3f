package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// rowGroupRows is the length of a row group, which is held in memory until it
// is full: 32 MiB for embeddings of 128 numbers.
const rowGroupRows = 1 << 16

// Parquet returns the stage that ends a stream of embeddings/1 in a Parquet
// file, compressed with zstd, its Arrow schema and metadata kept. The file is
// written beside path and renamed when the stream has ended well: until then,
// and if it fails, path holds what it held before.
func Parquet(path string) batch.Stage {
	return func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		err := replaceFile(osDisk{}, path, func(w io.Writer) error { return encodeParquet(ctx, w, in) })
		if err != nil {
			return fmt.Errorf("sink: write parquet: %s: %w", path, err)
		}
		return nil
	}
}

func encodeParquet(ctx context.Context, w io.Writer, in batch.Reader) (err error) {
	schema, err := in.Schema(ctx)
	if errors.Is(err, io.EOF) {
		return errors.New("the stream ended before it said what it holds")
	}
	if err != nil {
		return err
	}
	if _, err := batch.Expect(schema, batch.EmbeddingsKind); err != nil {
		return err
	}
	dim, err := embeddingDim(schema)
	if err != nil {
		return err
	}
	file, err := newEmbeddingsFile(w, fileSchema(batch.MetadataOf(schema), dim))
	if err != nil {
		return err
	}
	// The footer; after an error it only gives memory back.
	defer func() { err = errors.Join(err, file.Close()) }()
	for {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := file.write(rec); err != nil {
			return err
		}
	}
}

// embeddingDim returns the length of the column embedding.
func embeddingDim(s *arrow.Schema) (int, error) {
	fields, ok := s.FieldsByName("embedding")
	if !ok {
		return 0, errors.New("the stream has no column embedding")
	}
	list, ok := fields[0].Type.(*arrow.FixedSizeListType)
	if !ok || list.Elem().ID() != arrow.FLOAT32 {
		return 0, fmt.Errorf("column embedding is %s, want a fixed_size_list of float32", fields[0].Type)
	}
	return int(list.Len()), nil
}

// fileSchema is batch.EmbeddingsSchema, but lets embeddings be null. None is:
// Arrow v15 writes lists that may not be null, of elements that may, such that
// all elements are null.
func fileSchema(m batch.Metadata, dim int) *arrow.Schema {
	schema := batch.EmbeddingsSchema(m, dim)
	fields := schema.Fields()
	fields[len(fields)-1].Nullable = true
	meta := schema.Metadata()
	return arrow.NewSchema(fields, &meta)
}

// An embeddingsFile writes records of embeddings to Parquet.
type embeddingsFile struct {
	*pqarrow.FileWriter
	schema *arrow.Schema
	rows   int64 // of the row group
}

// newEmbeddingsFile leaves memory to the garbage collector: the library gives
// some of it back to no allocator.
func newEmbeddingsFile(w io.Writer, schema *arrow.Schema) (*embeddingsFile, error) {
	file, err := pqarrow.NewFileWriter(schema, w,
		parquet.NewWriterProperties(
			parquet.WithCompression(compress.Codecs.Zstd),
			// Ids and embeddings hardly ever repeat.
			parquet.WithDictionaryDefault(false),
			// The library slices records at this length, and writes the wrong
			// lists of a slice: row groups end between records instead.
			parquet.WithMaxRowGroupLength(math.MaxInt64)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		return nil, err
	}
	return &embeddingsFile{FileWriter: file, schema: schema}, nil
}

// write writes a record and releases it.
func (f *embeddingsFile) write(rec arrow.Record) error {
	defer rec.Release()
	if rec.NumRows() == 0 { // lists of which the library cannot write
		return nil
	}
	columns := make([]arrow.Array, len(f.schema.Fields()))
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, field := range f.schema.Fields() {
		at := rec.Schema().FieldIndices(field.Name)
		if len(at) == 0 && field.Name == "label" {
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, int(rec.NumRows()))
			continue
		}
		if len(at) != 1 {
			return fmt.Errorf("record has %d columns %s, want 1", len(at), field.Name)
		}
		column := rec.Column(at[0])
		var err error
		if list, ok := column.(*array.FixedSizeList); ok {
			columns[i], err = wholeList(list, field.Type.(*arrow.FixedSizeListType))
		} else {
			columns[i], err = sameColumn(column, field)
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	out := array.NewRecord(f.schema, columns, rec.NumRows())
	defer out.Release()
	if f.rows += rec.NumRows(); f.rows > rowGroupRows {
		f.NewBufferedRowGroup()
		f.rows = rec.NumRows()
	}
	return f.WriteBuffered(out)
}

// sameColumn returns another reference to a column that suits a field.
func sameColumn(column arrow.Array, as arrow.Field) (arrow.Array, error) {
	if !arrow.TypeEqual(column.DataType(), as.Type) {
		return nil, fmt.Errorf("is %s, want %s", column.DataType(), as.Type)
	}
	if column.NullN() > 0 && !as.Nullable {
		return nil, fmt.Errorf("%d of %d are null", column.NullN(), column.Len())
	}
	return array.MakeFromData(column.Data()), nil
}

// wholeList views lists as an array that begins at offset 0 and has the given
// type, whatever their elements were called and whether they could be null.
func wholeList(list *array.FixedSizeList, as *arrow.FixedSizeListType) (arrow.Array, error) {
	t := list.DataType().(*arrow.FixedSizeListType)
	if t.Len() != as.Len() || !arrow.TypeEqual(t.Elem(), as.Elem()) {
		return nil, fmt.Errorf("is %s, want %s", t, as)
	}
	if list.NullN() > 0 {
		return nil, fmt.Errorf("%d of %d are null", list.NullN(), list.Len())
	}
	from, n := int64(list.Data().Offset())*int64(t.Len()), int64(list.Len())*int64(t.Len())
	values := array.NewSlice(list.ListValues(), from, from+n)
	defer values.Release()
	data := array.NewData(as, list.Len(), []*memory.Buffer{nil}, []arrow.ArrayData{values.Data()}, 0, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}
