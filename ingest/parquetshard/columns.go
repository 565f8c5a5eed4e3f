package parquetshard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// chunk reads the values of a column of one row group, one by one.
type chunk struct {
	src    io.Closer
	pages  *pages
	reader file.ColumnChunkReader
}

// values are what ReadBatch fills.
type values struct {
	level [1]int16
	bytes [1]parquet.ByteArray
	i32   [1]int32
	i64   [1]int64
}

// located is a column of a row group and where it lies.
type located struct {
	span
	meta *metadata.ColumnChunkMetaData
}

// locate finds the column of the given place in a row group.
func (r *reader) locate(group *metadata.RowGroupMetaData, leaf int) (located, error) {
	meta, err := group.ColumnChunk(leaf)
	if err != nil {
		return located{}, err
	}
	from, length := meta.DataPageOffset(), meta.TotalCompressedSize()
	if dictionary := meta.DictionaryPageOffset(); meta.HasDictionaryPage() && dictionary > 0 && dictionary < from {
		from = dictionary
	}
	if from < int64(len(Magic)) || length < 0 || length > r.size || from > r.size-length {
		return located{}, fmt.Errorf("column %q spans %d bytes from %d of a file of %d", meta.PathInSchema().String(), length, from, r.size)
	}
	if meta.NumValues() != group.NumRows() {
		return located{}, fmt.Errorf("column %q has %d values for %d rows", meta.PathInSchema().String(), meta.NumValues(), group.NumRows())
	}
	return located{span{from, from + length}, meta}, nil
}

// openChunk begins a column of a row group.
func (r *reader) openChunk(group *metadata.RowGroupMetaData, leaf int) (*chunk, error) {
	c, err := r.locate(group, leaf)
	if err != nil {
		return nil, err
	}
	src, err := r.open(c.span)
	if err != nil {
		return nil, &readError{err}
	}
	length := c.to - c.from
	descr := r.footer.meta.Schema.Column(leaf)
	p := &pages{src: bufio.NewReaderSize(sourceErrors{src}, int(min(length+1, wholeBytes))), column: descr, places: leaf == r.footer.bytes,
		end: c.to, left: length, values: c.meta.NumValues(), codec: c.meta.Compression()}
	return &chunk{src, p, newColumnReader(descr, p)}, nil
}

func newColumnReader(descr *schema.Column, p *pages) file.ColumnChunkReader {
	return file.NewColumnReader(descr, p, memory.DefaultAllocator, &sync.Pool{New: func() any { return memory.NewResizableBuffer(memory.DefaultAllocator) }})
}

func (c *chunk) close() {
	if c != nil {
		c.pages.close()
		c.src.Close()
	}
}

// next reads one value into v; null tells that there is none in the row.
func (c *chunk) next(v *values) (null bool, err error) {
	// It reads the next page with the last value of one, keeps to itself what is wrong
	// with that, and would ask it for values forever.
	if err := c.reader.Err(); err != nil {
		return false, err
	}
	var rows int64
	var n int
	switch reader := c.reader.(type) {
	case *file.ByteArrayColumnChunkReader:
		rows, n, err = reader.ReadBatch(1, v.bytes[:], v.level[:], nil)
	case *file.Int32ColumnChunkReader:
		rows, n, err = reader.ReadBatch(1, v.i32[:], v.level[:], nil)
		v.i64[0] = int64(v.i32[0])
	case *file.Int64ColumnChunkReader:
		rows, n, err = reader.ReadBatch(1, v.i64[:], v.level[:], nil)
	}
	if err == nil {
		err = c.pages.err
	}
	if err == nil && rows != 1 {
		err = errors.New("the column ends before its row group")
	}
	return n == 0, err
}

// readError is an error of the source, not of what it holds.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// sourceErrors marks the errors of a source.
type sourceErrors struct{ src io.Reader }

func (s sourceErrors) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
	}
	return n, err
}
