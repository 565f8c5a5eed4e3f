package batch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v15/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

// What an Arrow message may claim.
const (
	maxMetadata = 16 << 20 // schemas and record headers are a few KB
	maxBody     = 2 << 30  // a record stays below 2 GiB
	firstTrust  = 1 << 20  // bytes allocated for a body before any body has arrived
)

// ErrNoEndMarker says that a stream stopped without Arrow's end marker: its
// producer died.
var ErrNoEndMarker = errors.New("the stream ends without Arrow's end marker: its producer died or was cut off")

// The headers a message may carry: union MessageHeader of the Arrow
// specification's format/Message.fbs.
const (
	schemaHeader = 1
	recordHeader = 3
)

// continuation begins a message since Arrow 0.15.
var continuation = []byte{0xff, 0xff, 0xff, 0xff}

// message is an Arrow IPC message without its body.
type message struct {
	meta   []byte // table Message, flatbuffers
	header table  // table Schema or RecordBatch
	kind   byte   // which of the two
	body   int64  // bytes of body that follow
}

// messageReader cuts a stream in Arrow's IPC format into messages. It trusts
// no length: memory for a claim is allocated as the bytes arrive.
type messageReader struct {
	src    *bufio.Reader
	read   *countingReader // below src
	mem    memory.Allocator
	bodies memory.Allocator
	file   bool  // the stream is part of an Arrow file
	begun  bool  // a message has been seen
	trust  int64 // the longest body that has arrived
}

// newMessageReader reads src; bodies allocates what records lie in, mem what
// compressed ones are unpacked to. A body's first bytes come with its metadata
// through a buffer, the others straight to their place: the buffer is small.
func newMessageReader(src io.Reader, mem, bodies memory.Allocator) *messageReader {
	read := &countingReader{Reader: src}
	return &messageReader{src: bufio.NewReaderSize(read, 8<<10), read: read, mem: mem, bodies: bodies}
}

// countingReader counts the bytes that are read of it.
type countingReader struct {
	io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// at is how many bytes of the source lie before what is read next.
func (r *messageReader) at() int64 { return r.read.n - int64(r.src.Buffered()) }

// FileMagic begins an Arrow file. A stream follows, and a footer.
const FileMagic = fileEnd + "\x00\x00"

// fileEnd ends it.
const fileEnd = "ARROW1"

// enterFile goes to the stream, if it lies in a file.
func (r *messageReader) enterFile() error {
	magic, err := r.src.Peek(len(FileMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if r.file = string(magic) == FileMagic; r.file {
		_, err = r.src.Discard(len(magic))
		return err
	}
	return nil
}

// next reads the next message up to its body, which must be read before the
// next call. It returns io.EOF at the end marker.
func (r *messageReader) next() (message, error) {
	var prefix [8]byte
	if n, err := io.ReadFull(r.src, prefix[:]); err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return message{}, err
		}
		if !r.begun && !bytes.HasPrefix(continuation, prefix[:min(n, len(continuation))]) {
			return message{}, notArrow(prefix[:n])
		}
		return message{}, ErrNoEndMarker
	}
	if !bytes.HasPrefix(prefix[:], continuation) {
		if !r.begun {
			return message{}, notArrow(prefix[:])
		}
		if r.file && r.footer(prefix[:]) {
			return message{}, io.EOF
		}
		return message{}, fmt.Errorf("a message begins with % x, want ff ff ff ff: the stream is damaged", prefix[:4])
	}
	r.begun = true
	size := int32(binary.LittleEndian.Uint32(prefix[4:]))
	if size == 0 {
		return message{}, io.EOF
	}
	if size < 0 || size > maxMetadata {
		return message{}, fmt.Errorf("a message claims %d bytes of metadata, at most %d are allowed: the stream is damaged", size, maxMetadata)
	}
	var meta bytes.Buffer // grows with what arrives, not with what was claimed
	if n, err := io.CopyN(&meta, r.src, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			return message{}, fmt.Errorf("%w (in a message's metadata, %d of %d bytes)", ErrNoEndMarker, n, size)
		}
		return message{}, err
	}
	return parseMessage(meta.Bytes())
}

// parseMessage reads a table Message: version, header type, header, body length.
func parseMessage(meta []byte) (m message, err error) {
	defer damaged(&err)
	root := table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
	m = message{meta: meta, kind: root.byte(1), body: root.int64(3)}
	if m.body < 0 || m.body > maxBody {
		return m, fmt.Errorf("a message claims a body of %d bytes, at most %d are allowed: the stream is damaged", m.body, int64(maxBody))
	}
	var ok bool
	if m.header, ok = root.table(2); !ok {
		return m, errors.New("a message has no header: the stream is damaged")
	}
	return m, nil
}

// readBody reads a body of n bytes. What is allocated for it is at most as
// much as the stream has delivered at once before, then doubles with what
// arrives. The caller releases the buffer.
func (r *messageReader) readBody(n int64) (*memory.Buffer, error) {
	buf := memory.NewResizableBuffer(r.bodies)
	for have := int64(0); have < n; {
		end := min(n, max(2*have, r.trust, firstTrust))
		buf.Resize(int(end))
		if got, err := io.ReadFull(r.src, buf.Bytes()[have:end]); err != nil {
			buf.Release()
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, fmt.Errorf("%w (in a message's body, %d of %d bytes)", ErrNoEndMarker, have+int64(got), n)
			}
			return nil, err
		}
		have = end
	}
	r.trust = max(r.trust, n)
	return buf, nil
}

// footer tells whether what begins with first and lasts to the end of src is the
// footer of a file, before which some writers put no end marker, Arrow's for Go
// among them: a table Footer, its length, and the magic bytes.
func (r *messageReader) footer(first []byte) bool {
	rest, err := io.ReadAll(io.LimitReader(r.src, maxMetadata))
	all := append(slices.Clip(first), rest...)
	table, closed := bytes.CutSuffix(all, []byte(fileEnd))
	if err != nil || !closed || len(table) < 4 {
		return false
	}
	length := len(table) - 4
	return binary.LittleEndian.Uint32(table[length:]) == uint32(length)
}

func notArrow(first []byte) error {
	if bytes.HasPrefix(first, []byte(fileEnd)) {
		return errors.New("this is an Arrow file, want an Arrow stream (in Python: pyarrow.ipc.new_stream, not new_file)")
	}
	return fmt.Errorf("this is no Arrow IPC stream: it begins with %q, want ff ff ff ff", first)
}

// table is a flatbuffers table that is not trusted. Its methods may panic with
// an index out of range, which damaged makes an error; slots are counted from 0.
type table struct{ flatbuffers.Table }

// damaged turns a panic over metadata into an error.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("a message's metadata is damaged: %v", p)
	}
}

// slot returns where a field's value stands, 0 if the field is absent.
func (t table) slot(i int) flatbuffers.UOffsetT {
	if o := t.Offset(flatbuffers.VOffsetT(4 + 2*i)); o != 0 {
		return t.Pos + flatbuffers.UOffsetT(o)
	}
	return 0
}

func (t table) byte(i int) byte {
	if at := t.slot(i); at != 0 {
		return t.GetByte(at)
	}
	return 0
}

func (t table) int64(i int) int64 {
	if at := t.slot(i); at != 0 {
		return t.GetInt64(at)
	}
	return 0
}

func (t table) table(i int) (table, bool) {
	if at := t.slot(i); at != 0 {
		return table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}}, true
	}
	return table{}, false
}

// vector returns a vector's n elements of size bytes each, which lie within
// the message.
func (t table) vector(i, size int) (start flatbuffers.UOffsetT, n int) {
	at := t.slot(i)
	if at == 0 {
		return 0, 0
	}
	at += t.GetUOffsetT(at)
	n = int(t.GetUOffsetT(at))
	start = at + flatbuffers.SizeUOffsetT
	if n > (len(t.Bytes)-int(start))/size {
		panic(fmt.Sprintf("a vector of %d elements, there is room for %d", n, (len(t.Bytes)-int(start))/size))
	}
	return start, n
}

// element returns element j of a vector of tables.
func (t table) element(start flatbuffers.UOffsetT, j int) table {
	at := start + flatbuffers.UOffsetT(j*flatbuffers.SizeUOffsetT)
	return table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}}
}
