package batch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

// Sizes an Arrow message may claim before anything is allocated for it.
const (
	maxMetadata = 16 << 20 // schemas and record headers are a few KB
	maxBody     = 2 << 30  // a record stays below 2 GiB
)

// ErrNoEndMarker says that a stream stopped without Arrow's end marker: its
// producer died.
var ErrNoEndMarker = errors.New("the stream ends without Arrow's end marker: its producer died or was cut off")

// IPCReader reads a stream in Arrow's IPC format. Unlike the reader of Arrow
// v15 under it, it takes a missing end marker for the error it is, and checks
// what lengths claim before anything is allocated.
type IPCReader struct {
	name   string
	src    io.Reader
	mem    memory.Allocator
	start  sync.Once
	opened chan struct{} // closed once schema or err is set
	schema *arrow.Schema
	err    error // set before opened (no schema) or records (failed later) is closed
	recs   chan arrow.Record
	gone   chan struct{}
	leave  sync.Once
}

// NewIPCReader reads src, named in errors. Reading begins with the first call
// of a method, in a goroutine of its own, since a read from a pipe cannot be
// cancelled; Close ends it as soon as a read under way returns.
func NewIPCReader(name string, src io.Reader, mem memory.Allocator) *IPCReader {
	return &IPCReader{name: name, src: src, mem: mem, opened: make(chan struct{}), recs: make(chan arrow.Record), gone: make(chan struct{})}
}

func (r *IPCReader) run() {
	defer close(r.recs)
	frames := &frameReader{src: bufio.NewReaderSize(r.src, 1<<20)}
	fail := func(err error) {
		if frames.err != nil { // what the frames are wrong about says more than what follows from it
			err = frames.err
		}
		r.err = fmt.Errorf("batch: read %s: %w", r.name, err)
	}
	rd, err := ipc.NewReader(frames, ipc.WithAllocator(r.mem))
	if err != nil {
		fail(err)
		close(r.opened)
		return
	}
	defer rd.Release()
	r.schema = rd.Schema()
	close(r.opened)
	for rd.Next() {
		rec := rd.Record()
		rec.Retain()
		select {
		case r.recs <- rec:
		case <-r.gone:
			rec.Release()
			return
		}
	}
	switch {
	case frames.ended:
	case rd.Err() != nil:
		fail(rd.Err())
	default:
		fail(ErrNoEndMarker)
	}
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

// Read implements Reader.
func (r *IPCReader) Read(ctx context.Context) (arrow.Record, error) {
	if _, err := r.Schema(ctx); err != nil {
		return nil, err
	}
	select {
	case rec, ok := <-r.recs:
		if !ok {
			if r.err != nil {
				return nil, r.err
			}
			return nil, io.EOF
		}
		return rec, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends reading; it does not close the source.
func (r *IPCReader) Close() {
	r.leave.Do(func() { close(r.gone) })
	r.start.Do(func() { close(r.recs) })
}

// frameReader passes an IPC stream through and watches its frames: message
// lengths within bounds, and the end marker at the end.
type frameReader struct {
	src   *bufio.Reader
	head  bytes.Reader // prefix and metadata of the message under way, not yet passed on
	body  int64        // bytes of its body not yet passed on
	first bool         // a message has been seen
	ended bool         // the end marker has been seen
	err   error
}

func (f *frameReader) Read(p []byte) (int, error) {
	if f.head.Len() == 0 && f.body == 0 {
		if f.ended {
			return 0, io.EOF
		}
		if f.err == nil {
			f.err = f.nextMessage()
		}
		if f.err != nil {
			return 0, f.err
		}
	}
	if f.head.Len() > 0 {
		return f.head.Read(p)
	}
	n, err := f.src.Read(p[:min(int64(len(p)), f.body)])
	f.body -= int64(n)
	if errors.Is(err, io.EOF) && f.body > 0 {
		f.err = ErrNoEndMarker
		err = f.err
	}
	return n, err
}

// nextMessage reads the prefix and the metadata of the next message.
func (f *frameReader) nextMessage() error {
	var prefix [8]byte
	if n, err := io.ReadFull(f.src, prefix[:]); err != nil {
		if n > 0 && !f.first && !bytes.HasPrefix([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, prefix[:n]) {
			return notArrow(prefix[:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return ErrNoEndMarker
		}
		return err
	}
	if binary.LittleEndian.Uint32(prefix[:]) != 0xffffffff {
		if !f.first {
			return notArrow(prefix[:])
		}
		return fmt.Errorf("a message begins with % x, want ff ff ff ff: the stream is damaged", prefix[:4])
	}
	f.first = true
	size := int32(binary.LittleEndian.Uint32(prefix[4:]))
	if size == 0 {
		f.ended = true
		f.head.Reset(prefix[:])
		return nil
	}
	if size < 0 || size > maxMetadata {
		return fmt.Errorf("a message claims %d bytes of metadata, at most %d are allowed: the stream is damaged", size, maxMetadata)
	}
	var head bytes.Buffer // grows with what arrives, not with what was claimed
	head.Write(prefix[:])
	if n, err := io.CopyN(&head, f.src, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w (in a message's metadata, %d of %d bytes)", ErrNoEndMarker, n, size)
		}
		return err
	}
	body, err := bodyLength(head.Bytes()[8:])
	if err != nil {
		return err
	}
	f.body = body
	f.head.Reset(head.Bytes())
	return nil
}

func notArrow(first []byte) error {
	return fmt.Errorf("this is no Arrow IPC stream: it begins with %q, want ff ff ff ff", first)
}

// bodyLength reads the field bodyLength of a flatbuffers-encoded Message
// (format/Message.fbs of the Arrow specification: the fourth field).
func bodyLength(meta []byte) (n int64, err error) {
	defer func() {
		if recover() != nil { // flatbuffers indexes without checking
			err = errors.New("a message's metadata is damaged")
		}
	}()
	table := flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}
	const bodyLengthSlot = 4 + 2*3
	if o := table.Offset(bodyLengthSlot); o != 0 {
		n = table.GetInt64(flatbuffers.UOffsetT(o) + table.Pos)
	}
	if n < 0 || n > maxBody {
		return 0, fmt.Errorf("a message claims a body of %d bytes, at most %d are allowed: the stream is damaged", n, int64(maxBody))
	}
	return n, nil
}

// IPCWriter writes a stream in Arrow's IPC format.
type IPCWriter struct {
	name string
	dst  *bufio.Writer
	mem  memory.Allocator
	opts []ipc.Option
	w    *ipc.Writer
}

// NewIPCWriter writes to dst, named in errors. Finish ends the stream.
func NewIPCWriter(name string, dst io.Writer, mem memory.Allocator, opts ...ipc.Option) *IPCWriter {
	return &IPCWriter{name: name, dst: bufio.NewWriterSize(dst, 1<<20), mem: mem, opts: opts}
}

// Open implements Writer.
func (w *IPCWriter) Open(_ context.Context, schema *arrow.Schema) error {
	w.w = ipc.NewWriter(w.dst, append(w.opts, ipc.WithSchema(schema), ipc.WithAllocator(w.mem))...)
	return nil
}

// Write implements Writer. A consumer that has closed its end of the pipe is
// reported as ErrClosed.
func (w *IPCWriter) Write(ctx context.Context, rec arrow.Record) error {
	defer rec.Release()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.w.Write(rec); err != nil {
		return w.wrap(err)
	}
	return w.wrap(w.dst.Flush()) // a consumer waits for whole records
}

// Finish writes the end marker. Without it the reader takes the stream for one
// whose producer died, which is what a failed producer wants: it does not call Finish.
func (w *IPCWriter) Finish() error {
	if w.w == nil {
		return nil
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
