package batch_test

import (
	"bytes"
	"io"
	"testing"
	"unsafe"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// within counts the bytes of p that lie in whole.
func within(p, whole []byte) int {
	at, from := int(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), int(uintptr(unsafe.Pointer(unsafe.SliceData(whole))))
	return max(0, min(at+len(p), from+len(whole))-max(at, from))
}

// origins is a writer that counts the bytes that come straight from views.
type origins struct {
	stream   bytes.Buffer
	views    [][]byte
	straight int
}

func (o *origins) Write(p []byte) (int, error) {
	for _, v := range o.views {
		o.straight += within(p, v)
	}
	return o.stream.Write(p)
}

// places is a reader that notes where what is read goes.
type places struct {
	src  io.Reader
	read [][]byte
}

func (s *places) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	s.read = append(s.read, p[:n])
	return n, err
}

// TestPixelsAreNotCopied follows the views of a record through a writer and a
// reader: they are written from where they lie and, but for the first few KB
// that come together with the metadata, read to where the consumer finds them.
func TestPixelsAreNotCopied(t *testing.T) {
	const rows, side, views = 64, 32, 2
	mem := memory.DefaultAllocator
	schema := batch.PairsSchema(nil, views, side, side, 3)
	builder := batch.NewPairsBuilder(mem, schema, rows)
	for i := range rows {
		for v := range views {
			for j := range builder.View(v, i) {
				builder.View(v, i)[j] = byte(i ^ j)
			}
		}
	}
	rec := builder.NewRecord(nil)
	sent, err := batch.NewPairs(rec)
	if err != nil {
		t.Fatal(err)
	}
	out := &origins{views: [][]byte{sent.Anchor, sent.Positive}}
	w := batch.NewIPCWriter("out", out, mem)
	if err := w.Open(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	rec.Retain()
	if err := w.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	pixels := len(sent.Anchor) + len(sent.Positive)
	if out.straight != pixels {
		t.Errorf("%d of %d bytes of views are written from where they lie, want all", out.straight, pixels)
	}

	in := &places{src: &out.stream}
	r := batch.NewIPCReader("in", in, mem)
	defer r.Close()
	got, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if _, err := r.Read(t.Context()); err != io.EOF { // nothing is being read any more
		t.Fatalf("got error %v, want %v", err, io.EOF)
	}
	received, err := batch.NewPairs(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(received.Anchor, sent.Anchor) || !bytes.Equal(received.Positive, sent.Positive) {
		t.Error("the views have changed on their way")
	}
	straight := 0
	for _, p := range in.read {
		straight += within(p, received.Anchor) + within(p, received.Positive)
	}
	if least := pixels - 8<<10; straight < least {
		t.Errorf("%d of %d bytes of views are read to where they stay, want at least %d", straight, pixels, least)
	}
	rec.Release()
}

// TestRecordsCostFewAllocations pins what a record of pairs allocates on its way,
// whatever its size: Arrow's bookkeeping of six columns.
func TestRecordsCostFewAllocations(t *testing.T) {
	const rows, side = 256, 32
	mem := memory.DefaultAllocator
	schema := batch.PairsSchema(nil, 2, side, side, 3)
	rec := batch.NewPairsBuilder(mem, schema, rows).NewRecord(nil)
	defer rec.Release()
	pr, pw := io.Pipe()
	w := batch.NewIPCWriter("pipe", pw, mem)
	if err := w.Open(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	r := batch.NewIPCReader("pipe", pr, mem)
	r.Recycle()
	defer r.Close()
	const runs = 50
	go func() { // as many as are read, the warm-up's included
		defer pw.Close()
		for range runs + 1 {
			rec.Retain()
			if w.Write(t.Context(), rec) != nil {
				return
			}
		}
		w.Finish()
	}()
	allocations := testing.AllocsPerRun(runs, func() {
		got, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got.Release()
	})
	if allocations > 130 {
		t.Errorf("a record takes %v allocations to be written and read, want at most 130", allocations)
	}
	t.Logf("%v allocations a record", allocations)
}
