package batch

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

// node is what a record's header says of one array, in the order of a walk
// through the columns, depth first.
type node struct{ rows, nulls int64 }

// span is where a buffer lies in the body.
type span struct{ offset, length int64 }

// recordMeta is a table RecordBatch.
type recordMeta struct {
	rows    int64
	nodes   []node
	buffers []span
	packed  bool // buffers are compressed
	codec   byte // with this: BodyCompression.codec
	method  byte // BodyCompression.method
}

func parseRecord(m message) (r recordMeta, err error) {
	defer damaged(&err)
	if m.kind != recordHeader {
		return r, fmt.Errorf("a message has header type %d, want a record (%d): the stream is damaged", m.kind, recordHeader)
	}
	const pair = 16 // bytes of two int64
	t := m.header
	r.rows = t.int64(0)
	start, n := t.vector(1, pair)
	r.nodes = make([]node, n)
	for i := range r.nodes {
		at := start + flatbuffers.UOffsetT(i*pair)
		r.nodes[i] = node{t.GetInt64(at), t.GetInt64(at + 8)}
	}
	start, n = t.vector(2, pair)
	r.buffers = make([]span, n)
	for i := range r.buffers {
		at := start + flatbuffers.UOffsetT(i*pair)
		r.buffers[i] = span{t.GetInt64(at), t.GetInt64(at + 8)}
		if s := r.buffers[i]; s.offset < 0 || s.offset%8 != 0 || s.length < 0 || s.length > m.body || s.offset > m.body-s.length {
			return r, fmt.Errorf("buffer %d spans %d bytes from %d of a body of %d: the stream is damaged", i, s.length, s.offset, m.body)
		}
	}
	if compression, ok := t.table(3); ok {
		r.packed, r.codec, r.method = true, compression.byte(0), compression.byte(1)
	}
	return r, nil
}

// decodeRecord returns the record of a header and its body, whose memory the
// columns share; the caller releases both. Everything Arrow's arrays take for
// granted is checked here: lengths, offsets, validity.
func decodeRecord(schema *arrow.Schema, meta recordMeta, body *memory.Buffer, mem memory.Allocator) (rec arrow.Record, err error) {
	l := recordLoader{nodes: meta.nodes, buffers: meta.buffers, body: body, mem: mem, budget: unpackedLimit(int64(body.Len()))}
	if meta.packed {
		if l.codec, err = newCodec(meta.codec, meta.method); err != nil {
			return nil, err
		}
		defer l.codec.Close()
	}
	cols := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range cols {
			c.Release()
		}
	}()
	for _, f := range schema.Fields() {
		data, err := l.array(f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %.80q: %w", f.Name, err)
		}
		col, err := makeArray(data)
		data.Release()
		if err != nil {
			return nil, fmt.Errorf("column %.80q: %w", f.Name, err)
		}
		cols = append(cols, col)
		if int64(col.Len()) != meta.rows {
			return nil, fmt.Errorf("column %.80q has %d rows, the record %d", f.Name, col.Len(), meta.rows)
		}
	}
	if len(l.nodes) > 0 {
		return nil, fmt.Errorf("the record holds %d arrays more than its schema", len(l.nodes))
	}
	return array.NewRecord(schema, cols, meta.rows), nil
}

// makeArray is array.MakeFromData, which panics on what it does not like.
func makeArray(data arrow.ArrayData) (a arrow.Array, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", data.DataType(), p)
		}
	}()
	return array.MakeFromData(data), nil
}

// recordLoader builds the arrays of a record. It consumes nodes and buffers in
// the order in which the types are walked.
type recordLoader struct {
	nodes   []node
	buffers []span
	body    *memory.Buffer
	codec   codec // nil: buffers are as they are
	mem     memory.Allocator
	budget  int64 // bytes that may still be decompressed
}

// array returns the next array, of type t. The caller releases it.
func (l *recordLoader) array(t arrow.DataType) (arrow.ArrayData, error) {
	if ext, ok := t.(arrow.ExtensionType); ok {
		storage, err := l.array(ext.StorageType())
		if err != nil {
			return nil, err
		}
		defer storage.Release()
		return array.NewData(t, storage.Len(), storage.Buffers(), storage.Children(), storage.NullN(), 0), nil
	}
	if len(l.nodes) == 0 {
		return nil, errors.New("the record holds fewer arrays than its schema")
	}
	n := l.nodes[0]
	l.nodes = l.nodes[1:]
	if n.rows < 0 || n.rows > maxBody || n.nulls < 0 || n.nulls > n.rows {
		return nil, fmt.Errorf("%d rows of which %d are null: the stream is damaged", n.rows, n.nulls)
	}
	if t.ID() == arrow.NULL {
		return array.NewData(t, int(n.rows), []*memory.Buffer{nil}, nil, int(n.rows), 0), nil
	}

	var buffers []*memory.Buffer
	var children []arrow.ArrayData
	defer func() {
		memory.ReleaseBuffers(buffers)
		for _, c := range children {
			c.Release()
		}
	}()
	// next takes the next buffer, which has to hold need bytes.
	next := func(what string, need int64) (*memory.Buffer, error) {
		b, err := l.buffer()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		buffers = append(buffers, b)
		if int64(b.Len()) < need {
			return nil, fmt.Errorf("%s: %d bytes for %d rows, want %d: the stream is damaged", what, b.Len(), n.rows, need)
		}
		return b, nil
	}
	child := func(t arrow.DataType, need int64) error {
		c, err := l.array(t)
		if err != nil {
			return err
		}
		children = append(children, c)
		if int64(c.Len()) < need {
			return fmt.Errorf("%d values, want %d: the stream is damaged", c.Len(), need)
		}
		return nil
	}

	nulls := 0
	if n.nulls > 0 {
		nulls = array.UnknownNullCount // the bitmap decides, not the claim
		if _, err := next("validity", (n.rows+7)/8); err != nil {
			return nil, err
		}
	} else {
		if _, err := l.skip(); err != nil {
			return nil, err
		}
		buffers = append(buffers, nil)
	}
	switch t := t.(type) {
	case *arrow.StringType, *arrow.BinaryType, *arrow.LargeStringType, *arrow.LargeBinaryType:
		width := t.(arrow.OffsetsDataType).OffsetTypeTraits().BytesRequired(1)
		offsets, err := next("offsets", offsetBytes(n.rows, width))
		if err != nil {
			return nil, err
		}
		values, err := next("values", 0)
		if err != nil {
			return nil, err
		}
		if err := checkOffsetBuffer(offsets, width, n.rows, values.Len()); err != nil {
			return nil, err
		}
	case *arrow.ListType, *arrow.LargeListType:
		width := t.(arrow.OffsetsDataType).OffsetTypeTraits().BytesRequired(1)
		offsets, err := next("offsets", offsetBytes(n.rows, width))
		if err != nil {
			return nil, err
		}
		if err := child(t.(arrow.ListLikeType).Elem(), 0); err != nil {
			return nil, err
		}
		if err := checkOffsetBuffer(offsets, width, n.rows, children[0].Len()); err != nil {
			return nil, err
		}
	case *arrow.FixedSizeListType:
		if err := child(t.Elem(), n.rows*int64(t.Len())); err != nil {
			return nil, err
		}
	case *arrow.StructType:
		for _, f := range t.Fields() {
			if err := child(f.Type, n.rows); err != nil {
				return nil, fmt.Errorf("%.80q: %w", f.Name, err)
			}
		}
	case arrow.FixedWidthDataType:
		need := n.rows * int64(t.BitWidth()/8)
		if t.ID() == arrow.BOOL {
			need = (n.rows + 7) / 8
		}
		if _, err := next("values", need); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("columns of %s are not supported: leave it out", t)
	}
	return array.NewData(t, int(n.rows), buffers, children, nulls, 0), nil
}

// skip consumes a buffer that nobody needs.
func (l *recordLoader) skip() (span, error) {
	if len(l.buffers) == 0 {
		return span{}, errors.New("the record holds fewer buffers than its schema asks for")
	}
	s := l.buffers[0]
	l.buffers = l.buffers[1:]
	return s, nil
}

// buffer returns the next buffer, a slice of the body if it is not compressed.
// The caller releases it.
func (l *recordLoader) buffer() (*memory.Buffer, error) {
	s, err := l.skip()
	if err != nil {
		return nil, err
	}
	if s.length == 0 || l.codec == nil {
		return memory.SliceBuffer(l.body, int(s.offset), int(s.length)), nil
	}
	return l.decompress(s)
}

// offsetBytes is what the offsets of rows lists take; no rows need none.
func offsetBytes(rows int64, width int) int64 {
	if rows == 0 {
		return 0
	}
	return (rows + 1) * int64(width)
}

// checkOffsetBuffer checks offsets of width bytes into what has end elements.
func checkOffsetBuffer(offsets *memory.Buffer, width int, rows int64, end int) error {
	if width == arrow.Int32SizeBytes {
		return checkOffsets(arrow.Int32Traits.CastFromBytes(offsets.Bytes()), int(rows), end)
	}
	return checkOffsets(arrow.Int64Traits.CastFromBytes(offsets.Bytes()), int(rows), end)
}
