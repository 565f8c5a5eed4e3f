package batch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// IPCReader reads a stream in Arrow's IPC format. Unlike the reader of Arrow
// v15 it takes a missing end marker for the error it is, believes no length
// before the bytes have arrived, and checks every offset, so that no stream
// can make it, or who reads its records, panic. It does not read
// dictionary-encoded columns, unions, maps and views.
type IPCReader struct {
	name   string
	src    io.Reader
	mem    memory.Allocator
	again  bool // memory of released records is used again
	file   bool // src may be an Arrow file
	start  sync.Once
	opened chan struct{} // closed once schema or err is set
	schema *arrow.Schema
	err    error // set before opened (no schema) or records (failed later) is closed
	recs   chan placedRecord
	last   placedRecord // that Read has returned
	gone   chan struct{}
	leave  sync.Once
}

// placedRecord is a record with the body of its message, in which its columns lie
// unless they were compressed.
type placedRecord struct {
	arrow.Record
	body []byte
	at   int64 // byte of the source at which the body begins
}

// NewIPCReader reads src, named in errors. Reading begins with the first call
// of Schema or Read, in a goroutine of its own, since a read from a pipe cannot
// be cancelled; Close ends it as soon as a read under way returns. At most one
// record is held beside the one that is read.
func NewIPCReader(name string, src io.Reader, mem memory.Allocator) *IPCReader {
	return &IPCReader{name: name, src: src, mem: mem, opened: make(chan struct{}), recs: make(chan placedRecord), gone: make(chan struct{})}
}

// NewIPCFileReader is NewIPCReader for what may be an Arrow file, too. A file is
// read from its beginning as the stream it holds, which may end with the file's
// footer instead of an end marker.
func NewIPCFileReader(name string, src io.Reader, mem memory.Allocator) *IPCReader {
	r := NewIPCReader(name, src, mem)
	r.file = true
	return r
}

// Recycle makes the reader use the memory of released records again, which
// spares the system to zero new pages for every record. It is called before the
// first Schema or Read, by whose consumer keeps nothing that lies in a record
// past its release: no view, and no id.
func (r *IPCReader) Recycle() { r.again = true }

// run reads the stream to its end and leaves in err why it ended.
func (r *IPCReader) run() {
	defer close(r.recs)
	bodies := r.mem
	if r.again {
		recycled := &recycler{Allocator: r.mem}
		defer recycled.close()
		bodies = recycled
	}
	messages := newMessageReader(r.src, r.mem, bodies)
	if r.file {
		r.err = messages.enterFile()
	}
	if r.err == nil {
		r.schema, r.err = readSchema(messages)
	}
	if r.err != nil {
		r.err = fmt.Errorf("batch: read %s: %w", r.name, r.err)
		close(r.opened)
		return
	}
	close(r.opened)
	for n := 0; ; n++ {
		rec, err := readRecord(messages, r.schema)
		switch {
		case r.closed():
			if err == nil {
				rec.Release()
			}
			r.err = ErrClosed
			return
		case errors.Is(err, io.EOF):
			r.err = io.EOF
			return
		case err != nil:
			r.err = fmt.Errorf("batch: read %s: record %d: %w", r.name, n, err)
			return
		}
		select {
		case r.recs <- rec:
		case <-r.gone:
			rec.Release()
			r.err = ErrClosed
			return
		}
	}
}

func (r *IPCReader) closed() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

func readSchema(messages *messageReader) (*arrow.Schema, error) {
	m, err := messages.next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the stream ends before its schema")
	}
	if err == ErrNoEndMarker { // and no part of a message
		return nil, fmt.Errorf("nothing came, not even what the stream holds: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return decodeSchema(m)
}

// readRecord returns the next record, which the caller releases, or io.EOF.
func readRecord(messages *messageReader, schema *arrow.Schema) (placedRecord, error) {
	m, err := messages.next()
	if err != nil {
		return placedRecord{}, err
	}
	meta, err := parseRecord(m)
	if err != nil {
		return placedRecord{}, err
	}
	at := messages.at()
	body, err := messages.readBody(m.body)
	if err != nil {
		return placedRecord{}, err
	}
	defer body.Release() // the record's columns hold it
	rec, err := decodeRecord(schema, meta, body, messages.mem)
	return placedRecord{rec, body.Bytes(), at}, err
}

// Schema implements Reader.
func (r *IPCReader) Schema(ctx context.Context) (*arrow.Schema, error) {
	r.start.Do(func() { go r.run() })
	select {
	case <-r.opened:
		if r.schema == nil {
			return nil, r.err
		}
		return r.schema, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Read implements Reader. After Close it returns ErrClosed.
func (r *IPCReader) Read(ctx context.Context) (arrow.Record, error) {
	if _, err := r.Schema(ctx); err != nil {
		return nil, err
	}
	select {
	case rec, ok := <-r.recs:
		if !ok {
			return nil, r.err
		}
		r.last = rec
		return rec.Record, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Body returns the body of the record that was read last, until that is released,
// and the byte of the source at which it begins. A value of the record that is a
// slice of it stands there as it is; others were compressed.
func (r *IPCReader) Body() (body []byte, at int64) { return r.last.body, r.last.at }

// Close ends reading; it does not close the source. It may be called at any
// time, and more than once.
func (r *IPCReader) Close() {
	r.leave.Do(func() { close(r.gone) })
	r.start.Do(func() { // never begun
		r.err = ErrClosed
		close(r.opened)
		close(r.recs)
	})
}

// Drain is Close that returns when nothing of the source is read any more: the
// caller may then close it, and finds all memory given back.
func (r *IPCReader) Drain() {
	r.Close()
	for rec := range r.recs { // one may be on its way
		rec.Release()
	}
}

// largeWrite is how many bytes are written on their own, without being copied
// together with others. With less, the system's calls would be what costs.
const largeWrite = 64 << 10

// gather buffers small writes, of which a record has dozens, and passes large
// ones on from where they lie. A bufio.Writer alone would first fill itself up.
type gather struct{ *bufio.Writer }

func (g gather) Write(p []byte) (int, error) {
	if len(p) >= largeWrite && g.Buffered() > 0 {
		if err := g.Flush(); err != nil {
			return 0, err
		}
	}
	return g.Writer.Write(p)
}

// IPCWriter writes a stream in Arrow's IPC format.
type IPCWriter struct {
	name string
	dst  *bufio.Writer
	mem  memory.Allocator
	opts []ipc.Option
	w    *ipc.Writer
	err  error // the first: what follows a write cut short would be garbage
}

// NewIPCWriter writes to dst, named in errors. Finish ends the stream. opts
// are Arrow's, as ipc.WithZstd().
func NewIPCWriter(name string, dst io.Writer, mem memory.Allocator, opts ...ipc.Option) *IPCWriter {
	return &IPCWriter{name: name, dst: bufio.NewWriterSize(dst, largeWrite), mem: mem, opts: opts}
}

// Open implements Writer. The schema goes out with the first record, or with
// Finish.
func (w *IPCWriter) Open(_ context.Context, schema *arrow.Schema) error {
	if w.w != nil {
		return w.wrap(errOpenedTwice)
	}
	w.w = ipc.NewWriter(gather{w.dst}, append(slices.Clip(w.opts), ipc.WithSchema(schema), ipc.WithAllocator(w.mem))...)
	return nil
}

// Write implements Writer. A consumer that has closed its end of the pipe is
// reported as ErrClosed. A write that waits for the consumer of a pipe cannot
// be cancelled.
func (w *IPCWriter) Write(ctx context.Context, rec arrow.Record) error {
	defer rec.Release()
	switch {
	case w.w == nil:
		return w.wrap(errNotOpened)
	case w.err != nil:
		return w.err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	err := w.w.Write(rec)
	if err == nil {
		err = w.dst.Flush() // a consumer waits for whole records
	}
	w.err = w.wrap(err)
	return w.err
}

// Finish writes the end marker. Without it the reader takes the stream for one
// whose producer died, which is what a failed producer wants: it does not call
// Finish. After a failed Write it writes nothing and returns that error, which
// is ErrClosed if the consumer has left; where Open was never called there is
// no stream to end.
func (w *IPCWriter) Finish() error {
	if w.w == nil || w.err != nil {
		return w.err
	}
	if err := w.w.Close(); err != nil {
		return w.wrap(err)
	}
	return w.wrap(w.dst.Flush())
}

func (w *IPCWriter) wrap(err error) error {
	if err == nil {
		return nil
	}
	if isBrokenPipe(err) {
		return ErrClosed
	}
	return fmt.Errorf("batch: write %s: %w", w.name, err)
}
