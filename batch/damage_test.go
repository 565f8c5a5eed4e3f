package batch_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"
)

// countingAllocator counts what is held and the most that ever was.
type countingAllocator struct {
	memory.Allocator
	held, peak atomic.Int64
}

func newCountingAllocator() *countingAllocator {
	return &countingAllocator{Allocator: memory.NewGoAllocator()}
}

func (a *countingAllocator) count(n int) {
	held := a.held.Add(int64(n))
	for peak := a.peak.Load(); held > peak && !a.peak.CompareAndSwap(peak, held); peak = a.peak.Load() {
	}
}

func (a *countingAllocator) Allocate(n int) []byte {
	a.count(n)
	return a.Allocator.Allocate(n)
}

func (a *countingAllocator) Reallocate(n int, b []byte) []byte {
	a.count(n - len(b))
	return a.Allocator.Reallocate(n, b)
}

func (a *countingAllocator) Free(b []byte) {
	a.held.Add(-int64(len(b)))
	a.Allocator.Free(b)
}

// view looks at every row of a record, whatever it is.
func view(s *arrow.Schema, rec arrow.Record) error {
	look := func(s *batch.Samples) {
		for i := range s.Len() {
			_ = strings.Clone(s.ID(i)) // touches every byte
			s.Epoch(i)
			s.Index(i)
			s.Label(i)
		}
	}
	sum := 0
	add := func(b []byte) {
		for _, v := range b {
			sum += int(v)
		}
	}
	if p, err := batch.NewPairs(rec); err == nil {
		look(&p.Samples)
		add(p.Anchor)
		add(p.Positive)
		add(p.Local)
		p.AnchorTensor()
		p.PositiveTensor()
	}
	if im, err := batch.NewImages(rec); err == nil {
		look(&im.Samples)
		for i := range im.Len() {
			pix, _, _ := im.Image(i)
			add(pix)
		}
	}
	if e, err := batch.NewEncoded(rec); err == nil {
		look(&e.Samples)
		for i := range e.Len() {
			add(e.Bytes(i))
		}
	}
	return nil
}

// streams returns small streams of all kinds, ours and pyarrow's.
func streams(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join("testdata", "pyarrow", "*.arrow*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no streams in testdata: %v", err)
	}
	for _, name := range names {
		if all[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	var ours bytes.Buffer
	w := batch.NewIPCWriter("buffer", &ours, memory.DefaultAllocator)
	if err := batch.Run(t.Context(), 1, nil, w, pairs(memory.DefaultAllocator, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	all["ours"] = ours.Bytes()
	return all
}

// TestNoStreamAtAll reads what is not Arrow.
func TestNoStreamAtAll(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"nothing":     {"", "nothing came, not even what the stream holds"},
		"text":        {"id,label\n1,2\n", `it begins with "id,label"`},
		"html":        {"<!DOCTYPE html><html>", `it begins with "<!DOCTYP"`},
		"short text":  {"no", `it begins with "no"`},
		"gzip":        {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00", `it begins with "\x1f\x8b\b\x00`},
		"old arrow":   {"\x10\x00\x00\x00\x00\x00\x00\x00", "want ff ff ff ff"},
		"only an end": {"\xff\xff\xff\xff\x00\x00\x00\x00", "ends before its schema"},
		"negative":    {"\xff\xff\xff\xff\xff\xff\xff\xff", "claims -1 bytes of metadata"},
		"zeros":       {"\xff\xff\xff\xff\x40\x00\x00\x00" + strings.Repeat("\x00", 64), "no header"},
		"ones":        {"\xff\xff\xff\xff\x40\x00\x00\x00" + strings.Repeat("\xff", 64), "metadata is damaged"},
	} {
		err := read(t, memory.DefaultAllocator, strings.NewReader(c.data), view)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "batch: read test: ") {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
}

// TestSourceErrorIsReported reads from a source that fails at every byte.
func TestSourceErrorIsReported(t *testing.T) {
	whole := streams(t)["ours"]
	cause := errors.New("cable pulled")
	for n := 0; n < len(whole)-8; n += 7 {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		src := io.MultiReader(bytes.NewReader(whole[:n]), failingReader{cause})
		if err := read(t, mem, src, view); !errors.Is(err, cause) {
			t.Fatalf("source failing at %d of %d: got %v, want %v", n, len(whole), err, cause)
		}
		mem.AssertSize(t, 0)
	}
}

type failingReader struct{ err error }

func (e failingReader) Read([]byte) (int, error) { return 0, e.err }

// TestCutStreams cuts every stream in many places: an error, never a clean end.
// (TestPairsSurviveIPC cuts at every byte.)
func TestCutStreams(t *testing.T) {
	for name, whole := range streams(t) {
		if strings.HasPrefix(name, "bad_") {
			continue
		}
		mem := newCountingAllocator()
		for n := 0; n < len(whole); n += 3 {
			if err := read(t, mem, bytes.NewReader(whole[:n]), view); !errors.Is(err, batch.ErrNoEndMarker) && n >= 8 {
				t.Fatalf("%s cut at %d of %d: got %v", name, n, len(whole), err)
			} else if err == nil {
				t.Fatalf("%s cut at %d of %d ends cleanly", name, n, len(whole))
			}
		}
		if held := mem.held.Load(); held != 0 {
			t.Errorf("%s: %d bytes leaked", name, held)
		}
	}
}

// TestFlippedBits damages every stream in many ways: whatever comes out, it is
// an error or a record that can be looked at, in bounded memory, with no leak.
func TestFlippedBits(t *testing.T) {
	const tries = 600 // per stream
	draw := rand.New(rand.NewPCG(1, 2))
	for name, whole := range streams(t) {
		mem := newCountingAllocator()
		for try := range tries {
			damaged := bytes.Clone(whole)
			for range 1 + draw.IntN(3) {
				at := draw.IntN(len(damaged))
				switch draw.IntN(4) {
				case 0:
					damaged[at] ^= 1 << draw.IntN(8)
				case 1:
					damaged[at] = byte(draw.Uint32())
				case 2: // another number where numbers like to be
					at &^= 3
					binary.LittleEndian.PutUint32(damaged[min(at, len(damaged)-4):], draw.Uint32()>>draw.IntN(32))
				case 3:
					copy(damaged[at:], whole[draw.IntN(len(whole)):])
				}
			}
			_ = read(t, mem, bytes.NewReader(damaged), view)
			if held := mem.held.Load(); held != 0 {
				t.Fatalf("%s, try %d: %d bytes leaked", name, try, held)
			}
		}
		// zstd may honestly stand for 32768 times its size.
		if peak := mem.peak.Load(); peak > 64<<20 {
			t.Errorf("%s: %d bytes were allocated for a stream of %d", name, peak, len(whole))
		}
	}
}

// lyingMessage is the prefix and metadata of a record with a body of n bytes.
func lyingMessage(n int64) []byte {
	b := flatbuffers.NewBuilder(0)
	b.StartObject(3) // RecordBatch
	header := b.EndObject()
	b.StartObject(5) // Message
	b.PrependByteSlot(1, 3, 0)
	b.PrependUOffsetTSlot(2, header, 0)
	b.PrependInt64Slot(3, n, 0)
	b.Finish(b.EndObject())
	meta := b.FinishedBytes()
	for len(meta)%8 != 0 {
		meta = append(meta, 0)
	}
	out := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, uint32(len(meta)))
	return append(out, meta...)
}

// schemaEnd returns where the first message of a stream ends.
func schemaEnd(stream []byte) int {
	return 8 + int(binary.LittleEndian.Uint32(stream[4:]))
}

// TestLyingLengths claims bodies and metadata that never arrive: little is
// allocated for a claim.
func TestLyingLengths(t *testing.T) {
	whole := streams(t)["ours"]
	schema := whole[:schemaEnd(whole)]
	for _, c := range []struct {
		claim   int64
		arrives int
		peak    int64
		want    string
	}{
		{2 << 30, 0, 1 << 20, "in a message's body, 0 of 2147483648 bytes"},
		{2 << 30, 5 << 20, 8 << 20, "in a message's body, 5242880 of 2147483648 bytes"},
		{2<<30 + 1, 0, 0, "claims a body of 2147483649 bytes"},
		{-1, 0, 0, "claims a body of -1 bytes"},
	} {
		mem := newCountingAllocator()
		src := io.MultiReader(bytes.NewReader(schema), bytes.NewReader(lyingMessage(c.claim)), bytes.NewReader(make([]byte, c.arrives)))
		err := read(t, mem, src, view)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a body of %d: got error %v, want one with %q", c.claim, err, c.want)
		}
		if peak := mem.peak.Load(); peak > c.peak {
			t.Errorf("a body of %d of which %d bytes arrive: %d bytes allocated, want at most %d", c.claim, c.arrives, peak, c.peak)
		}
	}
	for _, claim := range []uint32{16 << 20, 16<<20 + 1} {
		lie := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, claim)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := read(t, memory.DefaultAllocator, bytes.NewReader(lie), view); err == nil {
			t.Errorf("metadata of %d bytes that do not arrive: no error", claim)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 { // 1 MiB of it buffers the source
			t.Errorf("%d bytes allocated for metadata of %d that do not arrive", n, claim)
		}
	}
}

// TestLyingSchemas are flatbuffers that a decoder without bounds would follow
// into gigabytes or for ever.
func TestLyingSchemas(t *testing.T) {
	frame := func(build func(b *flatbuffers.Builder) flatbuffers.UOffsetT) []byte {
		b := flatbuffers.NewBuilder(0)
		header := build(b)
		b.StartObject(5) // Message
		b.PrependByteSlot(1, 1, 0)
		b.PrependUOffsetTSlot(2, header, 0)
		b.Finish(b.EndObject())
		out := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, uint32(len(b.FinishedBytes())))
		return append(out, b.FinishedBytes()...)
	}
	schemaOf := func(b *flatbuffers.Builder, fields ...flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		b.StartVector(4, len(fields), 4)
		for _, f := range fields {
			b.PrependUOffsetT(f)
		}
		v := b.EndVector(len(fields))
		b.StartObject(4) // Schema
		b.PrependUOffsetTSlot(1, v, 0)
		return b.EndObject()
	}
	field := func(b *flatbuffers.Builder, name flatbuffers.UOffsetT, children ...flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		b.StartVector(4, len(children), 4)
		for _, c := range children {
			b.PrependUOffsetT(c)
		}
		v := b.EndVector(len(children))
		b.StartObject(0)
		kind := b.EndObject()
		b.StartObject(7) // Field
		b.PrependUOffsetTSlot(0, name, 0)
		b.PrependByteSlot(2, 13, 0) // struct
		b.PrependUOffsetTSlot(3, kind, 0)
		b.PrependUOffsetTSlot(5, v, 0)
		return b.EndObject()
	}
	for name, c := range map[string]struct {
		build func(b *flatbuffers.Builder) flatbuffers.UOffsetT
		want  string
	}{
		"a vector longer than the message": {func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			b.StartVector(4, 0, 4)
			v := b.EndVector(1 << 30)
			b.StartObject(4)
			b.PrependUOffsetTSlot(1, v, 0)
			return b.EndObject()
		}, "a vector of 1073741824 elements"},
		"two to the forty fields": {func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			f := field(b, b.CreateString("f"))
			for range 13 {
				f = field(b, b.CreateString("f"), f, f, f, f, f, f, f, f)
			}
			return schemaOf(b, f)
		}, "its parts are longer than the whole"},
		"one name for a thousand fields": {func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			name := b.CreateString(strings.Repeat("x", 1<<20))
			fields := make([]flatbuffers.UOffsetT, 1000)
			for i := range fields {
				fields[i] = field(b, name)
			}
			return schemaOf(b, fields...)
		}, "its parts are longer than the whole"},
		"structs in structs": {func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			f := field(b, b.CreateString("f"))
			for range 40 {
				f = field(b, b.CreateString("f"), f)
			}
			return schemaOf(b, f)
		}, "nested more than 16 deep"},
	} {
		err := read(t, memory.DefaultAllocator, bytes.NewReader(frame(c.build)), view)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
}

// TestLyingCompression claims that few bytes are many.
func TestLyingCompression(t *testing.T) {
	schema := batch.EncodedSchema(nil)
	for name, opt := range map[string]ipc.Option{"zstd": ipc.WithZstd(), "lz4": ipc.WithLZ4()} {
		var whole bytes.Buffer
		w := batch.NewIPCWriter("buffer", &whole, memory.DefaultAllocator, opt)
		if err := w.Open(t.Context(), schema); err != nil {
			t.Fatal(err)
		}
		b := batch.NewEncodedBuilder(memory.DefaultAllocator, schema)
		const size = 54321
		b.Append(batch.Row{ID: "a"}, make([]byte, size))
		if err := w.Write(t.Context(), b.NewRecord()); err != nil {
			t.Fatal(err)
		}
		b.Release()
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		honest := binary.LittleEndian.AppendUint64(nil, size)
		at := bytes.LastIndex(whole.Bytes(), honest) // before that it may be an offset
		if at < 0 {
			t.Fatalf("%s: the stream does not say how large the file is", name)
		}
		for _, claim := range []int64{size, size - 1, size + 1, 1 << 40, -2} {
			mem := newCountingAllocator()
			lie := bytes.Clone(whole.Bytes())
			binary.LittleEndian.PutUint64(lie[at:], uint64(claim))
			err := read(t, mem, bytes.NewReader(lie), view)
			if (err == nil) != (claim == size) && !(name == "lz4" && claim == size-1) {
				t.Errorf("%s: %d bytes claimed to be %d: got error %v", name, size, claim, err)
			}
			if peak := mem.peak.Load(); peak > 2<<20 {
				t.Errorf("%s: %d bytes allocated for a claim of %d", name, peak, claim)
			}
			if held := mem.held.Load(); held != 0 {
				t.Errorf("%s: %d bytes leaked after a claim of %d", name, held, claim)
			}
		}
	}
}

// TestDamagedRecords makes records in memory, as another reader may, whose
// columns do not hold what their types say.
func TestDamagedRecords(t *testing.T) {
	buffer := func(b ...byte) *memory.Buffer { return memory.NewBufferBytes(b) }
	int32s := func(v ...int32) *memory.Buffer { return memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v)) }
	bytesOf := func(n int) arrow.ArrayData {
		return array.NewData(arrow.PrimitiveTypes.Uint8, n, []*memory.Buffer{nil, memory.NewBufferBytes(make([]byte, n))}, nil, 0, 0)
	}
	one := func(name string, t arrow.DataType, d arrow.ArrayData) arrow.Record {
		s := arrow.NewSchema([]arrow.Field{{Name: name, Type: t}}, nil)
		a := array.MakeFromData(d)
		defer a.Release()
		return array.NewRecord(s, []arrow.Array{a}, int64(a.Len()))
	}
	image := func(offsets, dims []int32, pixels int) arrow.Record {
		rows := len(offsets) - 1
		vt := batch.NewVariableShapeTensor(3)
		st := vt.Storage.(*arrow.StructType)
		list := array.NewData(st.Field(0).Type, rows, []*memory.Buffer{nil, int32s(offsets...)}, []arrow.ArrayData{bytesOf(pixels)}, 0, 0)
		dim := array.NewData(arrow.PrimitiveTypes.Int32, len(dims), []*memory.Buffer{nil, int32s(dims...)}, nil, 0, 0)
		shape := array.NewData(st.Field(1).Type, rows, []*memory.Buffer{nil}, []arrow.ArrayData{dim}, 0, 0)
		return one("image", vt, array.NewData(vt, rows, []*memory.Buffer{nil}, []arrow.ArrayData{list, shape}, 0, 0))
	}
	binaries := func(offsets ...int32) arrow.Record {
		d := array.NewData(arrow.BinaryTypes.Binary, len(offsets)-1, []*memory.Buffer{nil, int32s(offsets...), buffer(1, 2, 3, 4)}, nil, 0, 0)
		return one("image", arrow.BinaryTypes.Binary, d)
	}
	anchors := func(rows, pixels int, shape ...int) arrow.Record {
		ft := batch.NewFixedShapeTensor(shape...)
		return one("anchor", ft, array.NewData(ft, rows, []*memory.Buffer{nil}, []arrow.ArrayData{bytesOf(pixels)}, 0, 0))
	}
	images := func(r arrow.Record) error { _, err := batch.NewImages(r); return err }
	encoded := func(r arrow.Record) error { _, err := batch.NewEncoded(r); return err }
	pairs := func(r arrow.Record) error { _, err := batch.NewPairs(r); return err }
	for name, c := range map[string]struct {
		err  error
		want string // "" is no error
	}{
		"a good image":            {images(image([]int32{0, 6, 12}, []int32{1, 2, 3, 2, 1, 3}, 12)), ""},
		"no images":               {images(image([]int32{0}, nil, 0)), ""},
		"an image past the end":   {images(image([]int32{0, 6, 15}, []int32{1, 2, 3, 1, 3, 3}, 12)), "row 1 spans [6,15) of 12"},
		"images backwards":        {images(image([]int32{6, 0, 6}, []int32{1, 2, 3, 1, 2, 3}, 12)), "row 0 spans [6,0) of 12"},
		"an image before its own": {images(image([]int32{-3, 3, 6}, []int32{1, 2, 3, 1, 1, 3}, 12)), "row 0 begins at -3"},
		"too few shapes":          {images(image([]int32{0, 6, 12}, []int32{1, 2, 3}, 12)), "1 shapes and 2 images, want 2"},
		"a shape too large":       {images(image([]int32{0, 6}, []int32{2, 2, 3}, 6)), "shape [2,2,3] over 6 bytes"},
		"a shape that overflows":  {images(image([]int32{0, 6}, []int32{1 << 16, 1 << 16, 3}, 6)), "shape [65536,65536,3] over 6 bytes"},
		"a negative shape":        {images(image([]int32{0, 6}, []int32{-1, -2, 3}, 6)), "shape [-1,-2,3] over 6 bytes"},
		"an image without pixels": {images(image([]int32{0, 0}, []int32{0, 5, 3}, 0)), "shape [0,5,3] over 0 bytes"},
		"gray":                    {images(image([]int32{0, 6}, []int32{2, 3, 1}, 6)), "shape [2,3,1] over 6 bytes"},
		"good files":              {encoded(binaries(0, 2, 2, 4)), ""},
		"no files":                {encoded(binaries(0)), ""},
		"files backwards":         {encoded(binaries(0, 3, 2, 4)), "row 1 spans [3,2) of 4"},
		"good views":              {pairs(anchors(2, 24, 2, 2, 3)), ""},
		"no views":                {pairs(anchors(0, 0, 2, 2, 3)), ""},
		"too few pixels":          {pairs(anchors(3, 24, 2, 2, 3)), "holds 24 bytes, want 36"},
		"not square":              {pairs(anchors(2, 12, 1, 2, 3)), "has shape [1 2 3], want [S,S,3] or [G,G,P,P,3]"},
		"gray views":              {pairs(anchors(2, 8, 2, 2, 1)), "has shape [2 2 1]"},
		"flat views":              {pairs(anchors(2, 24, 12)), "has shape [12]"},
		"no anchor":               {pairs(binaries(0, 1)), `column "anchor" is missing, want arrow.fixed_shape_tensor of uint8`},
		"files for images":        {images(binaries(0, 1)), `column "image" is binary, want arrow.variable_shape_tensor`},
	} {
		switch {
		case c.want == "" && c.err != nil:
			t.Errorf("%s: %v", name, c.err)
		case c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)):
			t.Errorf("%s: got error %v, want one with %q", name, c.err, c.want)
		}
	}
	twice := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}, {Name: "id", Type: arrow.BinaryTypes.String}}, nil)
	ids := array.MakeArrayOfNull(memory.DefaultAllocator, arrow.BinaryTypes.String, 1)
	if err := pairs(array.NewRecord(twice, []arrow.Array{ids, ids}, 1)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("column %q occurs 2 times", "id")) {
		t.Errorf("two columns of one name: got error %v", err)
	}
}
