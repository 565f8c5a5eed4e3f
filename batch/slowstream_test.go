package batch_test

import (
	"context"
	"io"
	"runtime"
	"sync"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// slowStream is both ends of a stage whose reader is always ready and whose
// writer is slow. It counts the records that are between the two.
type slowStream struct {
	schema *arrow.Schema

	mu      sync.Mutex
	left    int
	read    int
	written int
	most    int // records read and not yet written
}

func newSlowStream(records int) (batch.Reader, *slowStream) {
	p := &slowStream{schema: batch.PairsSchema(nil, 1, 1, 1, 3), left: records}
	return p, p
}

func (p *slowStream) Schema(context.Context) (*arrow.Schema, error) { return p.schema, nil }

func (p *slowStream) Read(context.Context) (arrow.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return nil, io.EOF
	}
	p.left--
	p.read++
	p.most = max(p.most, p.read-p.written)
	return batch.NewPairsBuilder(memory.DefaultAllocator, p.schema, 1).NewRecord(nil), nil
}

func (p *slowStream) Open(context.Context, *arrow.Schema) error { return nil }

func (p *slowStream) Write(_ context.Context, rec arrow.Record) error {
	for range 100 { // the others run ahead as far as they may
		runtime.Gosched()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written++
	rec.Release()
	return nil
}
