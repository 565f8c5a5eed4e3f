package augment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"clpipe/batch"
	"clpipe/internal/imagecodec"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"golang.org/x/sync/errgroup"
)

// StageConfig says how a stream of images becomes a stream of pairs.
type StageConfig struct {
	Policy *Policy
	// Seed names all draws. Nil takes the stream's own, or 1 if it has none.
	Seed *uint64
	// Rows is the number of pairs in a record; a record is shorter only at an
	// epoch's end or where samples were rejected.
	Rows    int
	Workers int // goroutines that decode and augment; changes no byte
	// Limits bound what an encoded image may claim.
	Limits imagecodec.Limits
	// Rejects is told of images that cannot be decoded or augmented. Required.
	Rejects *batch.Rejects
	Mem     memory.Allocator
}

// Stage returns the stage that reads images/1 or encoded/1 and writes pairs/1.
// Encoded images are decoded here, once for both views.
func Stage(cfg StageConfig) batch.Stage {
	return func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		schema, err := in.Schema(ctx)
		if errors.Is(err, io.EOF) {
			return errors.New("augment: the stream ended before it said what it holds")
		}
		if err != nil {
			return err
		}
		kind, err := batch.Expect(schema, batch.EncodedKind, batch.ImagesKind)
		if err != nil {
			return err
		}
		meta := batch.MetadataOf(schema)
		st := &stage{StageConfig: cfg, encoded: kind == batch.EncodedKind}
		if st.seed, err = seedOf(cfg.Seed, meta); err != nil {
			return err
		}
		meta[batch.KeySeed] = strconv.FormatUint(st.seed, 10)
		meta[batch.KeyPolicy] = cfg.Policy.String()
		s := cfg.Policy.Size()
		st.schema = batch.PairsSchema(meta, cfg.Policy.Views(), s, s, 3)
		if err := out.Open(ctx, st.schema); err != nil {
			return err
		}
		return st.run(ctx, in, out)
	}
}

// seedOf returns the seed asked for, else the stream's, else 1.
func seedOf(asked *uint64, meta batch.Metadata) (uint64, error) {
	if asked != nil {
		return *asked, nil
	}
	text, ok := meta[batch.KeySeed]
	if !ok {
		return 1, nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("augment: the stream's %s is %.40q, want an unsigned number", batch.KeySeed, text)
	}
	return seed, nil
}

// stage is a running Stage. A reader deals rows out to blocks, which become
// records; workers fill them; a writer sends them on in order. Two blocks may
// wait for the writer while a third is being dealt out.
type stage struct {
	StageConfig
	seed    uint64
	encoded bool
	schema  *arrow.Schema
}

// source is a record being read, with its view.
type source struct {
	rec     arrow.Record
	images  *batch.Images
	encoded *batch.Encoded
	*batch.Samples
}

// block is a record of pairs being filled.
type block struct {
	builder *batch.PairsBuilder
	keep    []bool
	rows    int            // dealt out so far
	pending sync.WaitGroup // jobs dealt out and not done
	epoch   uint32
	last    bool // of its epoch
}

// job is a range of rows of one source for one block. It holds a reference to
// the source's record.
type job struct {
	src        source
	from, rows int // in the source
	block      *block
	at         int // first row in the block
}

// jobRows is how many rows a worker takes at once: enough to make handing over
// cheap, few enough to share a block evenly.
const jobRows = 8

func (st *stage) run(ctx context.Context, in batch.Reader, out batch.Writer) error {
	jobs := make(chan job, 2*st.Workers)
	blocks := make(chan *block, 2)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(jobs)
		defer close(blocks)
		return st.deal(gctx, in, jobs, blocks)
	})
	for range max(st.Workers, 1) {
		g.Go(func() error {
			w := worker{stage: st, decoder: imagecodec.Decoder{Limits: st.Limits}}
			var failed error
			for j := range jobs { // drained to the end: every job holds a record
				if failed == nil && gctx.Err() == nil {
					failed = w.do(j)
				}
				j.src.rec.Release()
				j.block.pending.Done()
				if failed != nil {
					return st.drain(jobs, failed)
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for b := range blocks {
			b.pending.Wait()
			if err := st.send(gctx, b, out); err != nil {
				for b := range blocks {
					b.pending.Wait()
					b.builder.Release()
				}
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// drain passes a worker's error on at once and lets go of what it will not do.
func (st *stage) drain(jobs <-chan job, failed error) error {
	go func() {
		for j := range jobs {
			j.src.rec.Release()
			j.block.pending.Done()
		}
	}()
	return failed
}
