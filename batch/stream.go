package batch

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"golang.org/x/sync/errgroup"
)

// A Reader is a stream of records seen from its consumer. It is used by one
// goroutine at a time.
type Reader interface {
	// Schema returns the schema of all records, waiting for the producer to
	// say it. It returns io.EOF if the producer ended without one.
	Schema(ctx context.Context) (*arrow.Schema, error)
	// Read returns the next record, io.EOF after the last. The caller owns
	// one reference and releases it.
	Read(ctx context.Context) (arrow.Record, error)
}

// A Writer is a stream of records seen from its producer. It is used by one
// goroutine at a time. ErrClosed from Write says that the consumer has left:
// the producer has no reason to go on and returns it.
type Writer interface {
	// Open announces the schema; it comes once, before the first Write.
	Open(ctx context.Context, schema *arrow.Schema) error
	// Write hands over a record and the caller's reference to it, also when it fails.
	Write(ctx context.Context, rec arrow.Record) error
}

// A Stage turns a stream into a stream. A source has no reader, a sink no
// writer. Returning ends the output: cleanly for nil, with an error otherwise.
// A stage honours its context wherever it waits, uses no stream after it has
// returned, and releases the records it has read.
type Stage func(ctx context.Context, in Reader, out Writer) error

// ErrClosed is returned to a producer whose consumer has left.
var ErrClosed = errors.New("batch: the consumer of the stream has left")

var (
	errOpenedTwice = errors.New("a stream's schema is announced twice")
	errNotOpened   = errors.New("a record is written before the stream's schema is announced")
)

// Run joins stages one after the other, each in its own goroutine, with
// streams of at most depth records between them; in and out, either of which
// may be nil, are the ends, which Run does not close. It returns when all
// stages have returned. The first error cancels the others and is the one
// returned. A stage that ends early without an error makes the stages before
// it end quietly: they see ErrClosed or a cancelled context.
func Run(ctx context.Context, depth int, in Reader, out Writer, stages ...Stage) error {
	g, ctx := errgroup.WithContext(ctx)
	var source *pipe // what the stage reads, nil for the first
	for i, stage := range stages {
		stageCtx, cancel := context.WithCancelCause(ctx)
		stageIn, stageOut := in, out
		from := source
		if from != nil {
			stageIn = from
		}
		var to *pipe // what it writes, nil for the last
		if i < len(stages)-1 {
			to = newPipe(depth, cancel)
			stageOut = to
		}
		source = to
		g.Go(func() error {
			err := stage(stageCtx, stageIn, stageOut)
			if errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) && context.Cause(stageCtx) == ErrClosed {
				err = ErrClosed
			}
			cancel(nil)
			if to != nil {
				to.finish(err)
			}
			if from != nil {
				from.leave()
			}
			if err == ErrClosed {
				return nil
			}
			return err
		})
	}
	return g.Wait()
}

// pipe is a bounded stream inside the process. The producer closes records;
// the consumer closes gone and drains what is left.
type pipe struct {
	schema  chan *arrow.Schema
	known   *arrow.Schema // the consumer's, once received
	records chan arrow.Record
	gone    chan struct{}
	stop    context.CancelCauseFunc // wakes a producer that waits for something else than the pipe
	opened  bool                    // the producer's: the schema has been said
	err     error                   // of the producer; written before schema or records is closed
}

// newPipe returns a pipe that holds up to depth records, at least one; stop
// cancels the producer's context.
func newPipe(depth int, stop context.CancelCauseFunc) *pipe {
	return &pipe{
		schema:  make(chan *arrow.Schema, 1),
		records: make(chan arrow.Record, max(depth, 1)),
		gone:    make(chan struct{}),
		stop:    stop,
	}
}

func (p *pipe) Open(_ context.Context, s *arrow.Schema) error {
	if p.opened {
		return fmt.Errorf("batch: run: %w", errOpenedTwice)
	}
	p.opened = true
	p.schema <- s // capacity 1, sent once
	return nil
}

func (p *pipe) Write(ctx context.Context, rec arrow.Record) error {
	if !p.opened {
		rec.Release()
		return fmt.Errorf("batch: run: %w", errNotOpened)
	}
	select { // a consumer that has left wins over free room in the channel
	case <-p.gone:
		rec.Release()
		return ErrClosed
	default:
	}
	select {
	case p.records <- rec:
		return nil
	case <-p.gone:
		rec.Release()
		return ErrClosed
	case <-ctx.Done():
		rec.Release()
		return ctx.Err()
	}
}

// finish is the producer's last call.
func (p *pipe) finish(err error) {
	p.err = err
	if !p.opened {
		close(p.schema) // a waiting consumer gets nil
	}
	close(p.records)
}

func (p *pipe) Schema(ctx context.Context) (*arrow.Schema, error) {
	if p.known != nil {
		return p.known, nil
	}
	select {
	case s := <-p.schema:
		if s == nil {
			return nil, p.end(ctx)
		}
		p.known = s
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Read(ctx context.Context) (arrow.Record, error) {
	select {
	case rec, ok := <-p.records:
		if !ok {
			return nil, p.end(ctx)
		}
		return rec, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// end is what a consumer sees at the end of the stream. After a producer's
// error it waits for the cancellation that the error brings, so that the cause
// is reported and not its consequence.
func (p *pipe) end(ctx context.Context) error {
	if p.err == nil {
		return io.EOF
	}
	if errors.Is(p.err, ErrClosed) {
		return p.err
	}
	<-ctx.Done()
	return ctx.Err()
}

// leave is the consumer's last call: it wakes the producer, wherever it waits,
// and releases what is under way.
func (p *pipe) leave() {
	close(p.gone)
	p.stop(ErrClosed)
	for rec := range p.records {
		rec.Release()
	}
}
