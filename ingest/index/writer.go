package index

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// recordSamples is how many samples make a record, whole shards: a few MB.
const recordSamples = 1 << 16

// endMarker ends a stream in Arrow's IPC format.
var endMarker = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// Writer writes an index. It is used by one goroutine; Close ends the file.
type Writer struct {
	dst     io.Writer
	file    *ipc.FileWriter
	rows    *array.RecordBuilder
	check   Index // of the shards so far only the last one's name is kept
	samples int   // in rows
}

// NewWriter begins a file. The caller closes dst after the Writer.
func NewWriter(dst io.WriteSeeker) (*Writer, error) {
	schema := schemaOf(Version)
	file, err := ipc.NewFileWriter(dst, ipc.WithSchema(schema), ipc.WithZstd())
	if err != nil {
		return nil, fmt.Errorf("index: write: %w", err)
	}
	return &Writer{dst: dst, file: file, rows: array.NewRecordBuilder(memory.DefaultAllocator, schema)}, nil
}

// Add writes a shard and its samples. Shards come sorted by name.
func (w *Writer) Add(s Shard, samples []Sample) error {
	if err := w.check.check(&s); err != nil {
		return fmt.Errorf("index: write: %w", err)
	}
	w.check.shards = append(w.check.shards[:0], s)
	for i := range samples {
		if err := checkSample(&s, &samples[i]); err != nil {
			return fmt.Errorf("index: write: %w", err)
		}
	}
	text := func(col int, v string) { w.rows.Field(col).(*array.StringBuilder).Append(v) }
	text(colShard, s.Name)
	text(colFormat, s.Format)
	w.rows.Field(colBytes).(*array.Int64Builder).Append(s.Bytes)
	text(colSHA256, s.SHA256)
	appendText(w.rows.Field(colAddress), s.Address)
	appendText(w.rows.Field(colETag), s.ETag)
	list := w.rows.Field(colSamples).(*array.ListBuilder)
	list.Append(true)
	of := list.ValueBuilder().(*array.StructBuilder)
	for i := range samples {
		of.Append(true)
		appendSample(of, &samples[i])
	}
	if w.samples += len(samples); w.samples >= recordSamples {
		return w.flush()
	}
	return nil
}

func appendSample(of *array.StructBuilder, s *Sample) {
	of.FieldBuilder(fieldKey).(*array.StringBuilder).Append(s.Key)
	of.FieldBuilder(fieldOffset).(*array.Int64Builder).Append(s.Offset)
	number := func(field int, v int64, ok bool) {
		switch b := of.FieldBuilder(field).(type) {
		case *array.Int64Builder:
			b.AppendValues([]int64{v}, []bool{ok})
		case *array.Uint32Builder:
			b.AppendValues([]uint32{uint32(v)}, []bool{ok})
		}
	}
	good := s.Damage == ""
	number(fieldAt, s.At, good && s.At >= 0)
	number(fieldSize, s.Size, good)
	number(fieldCRC32C, int64(s.CRC32C), good)
	number(fieldWidth, int64(s.W), s.W > 0)
	number(fieldHeight, int64(s.H), s.H > 0)
	appendText(of.FieldBuilder(fieldFormat), s.Format)
	number(fieldLabel, s.Label, s.HasLabel)
	appendText(of.FieldBuilder(fieldDamage), s.Damage)
	number(fieldPacked, s.Packed, s.Packed > 0)
	number(fieldLead, s.Lead, s.Packed > 0)
}

// appendText adds a text, null for "".
func appendText(b array.Builder, v string) {
	if v == "" {
		b.AppendNull()
		return
	}
	b.(*array.StringBuilder).Append(v)
}

// flush writes the shards that were added since the last record.
func (w *Writer) flush() error {
	w.samples = 0
	rec := w.rows.NewRecord()
	defer rec.Release()
	if err := w.file.Write(rec); err != nil {
		return fmt.Errorf("index: write: %w", err)
	}
	return nil
}

// Close writes what is left and the end of the file.
func (w *Writer) Close() error {
	defer w.rows.Release()
	if err := w.flush(); err != nil { // also of nothing: a file without a record has no schema
		return err
	}
	// Arrow v15 forgets the end marker of the stream that stands in a file. What
	// follows it is found from the file's end.
	if _, err := w.dst.Write(endMarker); err != nil {
		return fmt.Errorf("index: write: %w", err)
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("index: write: %w", err)
	}
	return nil
}
