// Package arrowshard reads Arrow IPC files and streams whose rows are samples:
// images as bytes, in Hugging Face's form as records of bytes and path (see
// package table), or a stream of this program's, images/1 or encoded/1, kept in
// a file. Pixels of images/1 become PNG files, which hold the same pixels.
//
// A file is read as the stream that stands in it, from the beginning, and no
// length in it is believed (see batch.IPCReader): a reader holds two of its
// records at most.
package arrowshard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"

	"clpipe/batch"
	"clpipe/ingest/shard"
	"clpipe/ingest/table"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// StreamMagic are the first bytes of a stream; those of a file are
// batch.FileMagic.
const StreamMagic = "\xff\xff\xff\xff"

// Shard is an Arrow file or stream as a set of samples. It is a shard.Shard.
type Shard struct {
	obj            shard.Object
	maxSampleBytes int64
}

// New returns the shard of a file. Images over maxSampleBytes are not read.
func New(obj shard.Object, maxSampleBytes int64) *Shard { return &Shard{obj, maxSampleBytes} }

// Name returns the path below the source's root.
func (s *Shard) Name() string { return s.obj.Name() }

// Format returns "arrow".
func (s *Shard) Format() string { return "arrow" }

// Size returns the length in bytes, -1 if it is not known.
func (s *Shard) Size() int64 { return s.obj.Size() }

// CheapToScan returns false: records are read whole.
func (s *Shard) CheapToScan() bool { return false }

// OpenAt is an error: all samples come with their images.
func (s *Shard) OpenAt(context.Context) (shard.Fetcher, error) {
	return nil, fmt.Errorf("%s: arrow is read in sequence only", s.Name())
}

// Open begins to read at the first sample.
func (s *Shard) Open(ctx context.Context) (shard.Reader, error) {
	if s.Size() == 0 {
		return nil, damage("open", errors.New("the file is empty"))
	}
	ctx, cancel := context.WithCancel(ctx)
	src, err := shard.OpenStream(ctx, s.obj)
	if err != nil {
		cancel()
		return nil, err
	}
	tracked := &tracker{ctx: ctx, src: src}
	r := &reader{ctx: ctx, cancel: cancel, src: src, tracked: tracked, maxSampleBytes: s.maxSampleBytes,
		records: batch.NewIPCFileReader("the shard", tracked, memory.DefaultAllocator)}
	if err := r.choose(); err != nil {
		r.Close()
		return nil, tracked.cause(err)
	}
	return r, nil
}

// tracker keeps the error of the source, to be told from those of its contents,
// and from that of reading on after it was closed.
type tracker struct {
	ctx context.Context // of the reading
	src io.Reader
	err error
}

func (t *tracker) Read(p []byte) (int, error) {
	n, err := t.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && t.ctx.Err() == nil {
		t.err = err
	}
	return n, err
}

// cause is the error of the source, or what is wrong with its contents. It is
// called once nothing is being read.
func (t *tracker) cause(err error) error {
	if t.err != nil {
		return t.err
	}
	if d := (*shard.Damage)(nil); errors.As(err, &d) {
		return d
	}
	return damage("open", err)
}

func damage(what string, why error) error { return &shard.Damage{What: what, Why: why} }

// reader walks through the records. It keeps the context of Open: Next has no
// place for it.
type reader struct {
	ctx            context.Context
	cancel         context.CancelFunc
	src            io.Closer
	tracked        *tracker
	records        *batch.IPCReader
	maxSampleBytes int64

	layout table.Layout
	pixels bool // the images are images/1's
	rec    arrow.Record
	stored shard.Stored  // in which rec lies
	images *batch.Images // view of rec, if pixels
	at     int           // row of rec to be read next
	row    int64         // of the file
	keys   table.Keys
	png    bytes.Buffer
	end    error // what Next returns once the file has ended
}

// Close implements shard.Reader. It returns when nothing of the source is read
// any more.
func (r *reader) Close() error {
	r.drop()
	r.cancel()
	r.records.Drain()
	return r.src.Close()
}

func (r *reader) drop() {
	if r.rec != nil {
		r.rec.Release()
		r.rec, r.images, r.stored = nil, nil, shard.Stored{}
	}
}

// choose finds the columns of the samples.
func (r *reader) choose() error {
	schema, err := r.records.Schema(r.ctx)
	if err != nil {
		return err
	}
	if batch.KindOf(schema) != "" {
		if _, err := batch.Expect(schema, batch.ImagesKind, batch.EncodedKind); err != nil {
			return err
		}
	}
	columns := make([]table.Column, schema.NumFields())
	for i := range columns {
		columns[i] = column(schema.Field(i))
	}
	hugging := ""
	if m := schema.Metadata(); m.FindKey("huggingface") >= 0 {
		hugging = m.Values()[m.FindKey("huggingface")]
	}
	if r.layout, err = table.Choose(columns, hugging); err != nil {
		return err
	}
	image := columns[r.layout.Image]
	if r.pixels = image.Kind == table.Pixels; r.pixels && image.Name != "image" {
		return fmt.Errorf("column %q holds pixels, which are read of the column image only", image.Name)
	}
	return nil
}

// column describes a column.
func column(f arrow.Field) table.Column {
	c := table.Column{Name: f.Name, Kind: kind(f.Type)}
	if t, ok := f.Type.(*arrow.StructType); ok {
		for _, f := range t.Fields() {
			c.Fields = append(c.Fields, table.Column{Name: f.Name, Kind: kind(f.Type)})
		}
	}
	return c
}

func kind(t arrow.DataType) table.Kind {
	switch t := t.(type) {
	case *arrow.BinaryType, *arrow.LargeBinaryType:
		return table.Bytes
	case *arrow.StringType, *arrow.LargeStringType:
		return table.Text
	case *arrow.StructType:
		return table.Record
	case *batch.VariableShapeTensor:
		if t.Rank == 3 {
			return table.Pixels
		}
	}
	if arrow.IsInteger(t.ID()) {
		return table.Integer
	}
	return table.Other
}

// Next implements shard.Reader.
func (r *reader) Next() (shard.Sample, error) {
	for r.end == nil {
		if r.rec != nil && r.at < int(r.rec.NumRows()) {
			return r.sample(), nil
		}
		r.drop()
		r.end = r.advance()
	}
	return shard.Sample{}, r.end
}

// advance reads the next record.
func (r *reader) advance() error {
	rec, err := r.records.Read(r.ctx)
	switch {
	case errors.Is(err, io.EOF) && r.row == 0:
		return damage("read", errors.New("no samples: the file has no rows"))
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil && r.ctx.Err() != nil:
		return err
	case err != nil && r.tracked.err != nil:
		return r.tracked.err
	case err != nil:
		return &shard.Damage{Offset: r.row, What: "read", Why: fmt.Errorf("row %d: %w", r.row, err)}
	}
	r.rec, r.at = rec, 0
	r.stored.Bytes, r.stored.At = r.records.Body()
	if !r.pixels {
		return nil
	}
	if r.images, err = batch.NewImages(rec); err != nil {
		return &shard.Damage{Offset: r.row, What: "read", Why: fmt.Errorf("row %d: %w", r.row, err)}
	}
	return nil
}

// sample returns the next row of the record.
func (r *reader) sample() shard.Sample {
	row, i := r.row, r.at
	r.row++
	r.at++
	name := ""
	if r.layout.ID >= 0 {
		name = text(r.rec.Column(r.layout.ID), i)
	}
	files, valid := r.rec.Column(r.layout.Image), true
	if st, ok := files.(*array.Struct); ok {
		valid = st.IsValid(i)
		if r.layout.Path >= 0 && valid {
			if path := text(st.Field(r.layout.Path), i); path != "" {
				name = path
			}
		}
		files = st.Field(r.layout.Bytes)
	}
	name = strings.Clone(shard.Printable(name)) // else the sample would hold all of the record
	key, bad := r.keys.Of(name, row)
	s := shard.Sample{Key: key, Offset: row, At: -1}
	if r.layout.Label >= 0 {
		s.Label, s.HasLabel = integer(r.rec.Column(r.layout.Label), i)
	}
	if bad != nil {
		s.Damage = &shard.Damage{Key: key, Offset: row, What: "sample", Why: bad}
		return s
	}
	if r.pixels {
		r.encode(&s, i)
		return s
	}
	file := value(files, i)
	switch n := int64(len(file)); {
	case !valid || files.IsNull(i):
		s.Damage = table.NoBytes(key, row, name)
	case n == 0 || n > r.maxSampleBytes:
		s.Damage = table.BadSize(key, row, n, r.maxSampleBytes)
	default:
		s.Image, s.Size, s.At = bytes.Clone(file), n, r.stored.Place(file) // the record is shared by many
	}
	return s
}

// encode makes a PNG of a row's pixels.
func (r *reader) encode(s *shard.Sample, i int) {
	pix, h, w := r.images.Image(i)
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for to, from := 0, 0; from < len(pix); to, from = to+4, from+3 {
		m.Pix[to], m.Pix[to+1], m.Pix[to+2], m.Pix[to+3] = pix[from], pix[from+1], pix[from+2], 255
	}
	r.png.Reset()
	encoder := png.Encoder{CompressionLevel: png.NoCompression}
	if err := encoder.Encode(&r.png, m); err != nil {
		s.Damage = &shard.Damage{Key: s.Key, Offset: s.Offset, What: "read", Why: err}
		return
	}
	if n := int64(r.png.Len()); n > r.maxSampleBytes {
		s.Damage = table.BadSize(s.Key, s.Offset, n, r.maxSampleBytes)
		return
	}
	s.Image = bytes.Clone(r.png.Bytes())
	s.Size = int64(len(s.Image))
}

// text returns the text in a row, "" if there is none.
func text(col arrow.Array, i int) string {
	if col.IsNull(i) {
		return ""
	}
	switch col := col.(type) {
	case *array.String:
		return col.Value(i)
	case *array.LargeString:
		return col.Value(i)
	}
	return string(value(col, i))
}

// value returns the bytes in a row, nil if there are none.
func value(col arrow.Array, i int) []byte {
	if col.IsNull(i) {
		return nil
	}
	switch col := col.(type) {
	case *array.Binary:
		return col.Value(i)
	case *array.LargeBinary:
		return col.Value(i)
	}
	return nil
}

// integer returns the number in a row, ok false if there is none.
func integer(col arrow.Array, i int) (n int64, ok bool) {
	if col.IsNull(i) {
		return 0, false
	}
	switch col := col.(type) {
	case *array.Int8:
		return int64(col.Value(i)), true
	case *array.Int16:
		return int64(col.Value(i)), true
	case *array.Int32:
		return int64(col.Value(i)), true
	case *array.Int64:
		return col.Value(i), true
	case *array.Uint8:
		return int64(col.Value(i)), true
	case *array.Uint16:
		return int64(col.Value(i)), true
	case *array.Uint32:
		return int64(col.Value(i)), true
	case *array.Uint64:
		return int64(col.Value(i)), true
	}
	return 0, false
}
