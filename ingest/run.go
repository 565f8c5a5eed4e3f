package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"clpipe/batch"
	"clpipe/ingest/shard"

	"github.com/apache/arrow/go/v15/arrow"
	"golang.org/x/sync/errgroup"
)

// Stage returns Run as a stage.
func (s *Source) Stage() batch.Stage { return s.Run }

// Run writes the samples of all epochs to out; in is not used. A record never
// holds samples of two epochs, and neither rows nor records depend on the
// number of workers.
//
// Errors: batch.ErrTooManyRejects, a source of which not one image of a whole
// epoch could be read, and a *UsageError for more than one epoch of standard
// input.
func (s *Source) Run(ctx context.Context, _ batch.Reader, out batch.Writer) error {
	if slices.Contains(s.cfg.Sources, "-") && s.cfg.Epochs != 1 {
		return &UsageError{errors.New("ingest: run: source \"-\": standard input can be read only once, want 1 epoch")}
	}
	schema := batch.ImagesSchema(s.Metadata())
	if s.cfg.Encoded {
		schema = batch.EncodedSchema(s.Metadata())
		if s.cfg.Offsets {
			schema = batch.EncodedSchemaWithOffsets(s.Metadata())
		}
	}
	if err := out.Open(ctx, schema); err != nil {
		return err
	}
	took := func() { batch.Advance(out) } // a record may be long in coming: of a resumed epoch, or a full shuffle buffer
	s.took.Store(&took)
	defer s.took.Store(nil)
	if s.cfg.World > 1 && s.counted.Load() == nil {
		if err := s.countShards(ctx, took); err != nil {
			return err
		}
	}
	s.sayOrder()
	g, ctx := errgroup.WithContext(ctx)
	var ahead *readAhead
	if s.Permuted() {
		ahead = newReadAhead(s)
		ahead.start(ctx, g)
	}
	jobs := make(chan *job)
	// The writer sees the jobs in their order. Beside those at the workers, as
	// many wait for one to be free: of packed shards each holds RecordBytes.
	order := make(chan *job, s.cfg.Workers)
	spare := make(chan []entry, s.cfg.Workers) // of jobs that are done
	g.Go(func() error {
		defer close(jobs)
		defer close(order)
		return s.deal(ctx, ahead, took, jobs, order, spare)
	})
	for range s.cfg.Workers {
		g.Go(func() error {
			w := newWorker(s, schema)
			defer w.close()
			for j := range jobs {
				if err := w.do(ctx, j); err != nil {
					return err
				}
				close(j.results) // not after an error: the writer is to see that
			}
			return nil
		})
	}
	w := writer{source: s, readable: make([]int, len(s.cfg.Sources))}
	g.Go(func() error { return w.write(ctx, order, spare, out) })
	err := g.Wait()
	w.current.drop()
	for j := range order { // results that were never written
		j.drop()
	}
	if ahead != nil {
		ahead.close()
	}
	shard.DropFree()
	return err
}

// maxEntries is how many samples a job has room for beforehand, at most.
const maxEntries = 1 << 10

// job is a run of samples that stand side by side in the order of one epoch.
type job struct {
	epoch   uint32
	first   uint64 // index of the first entry
	apart   uint64 // how far the indexes of the following lie apart
	entries []entry
	bytes   int64 // of their files
	// skipped is how many samples of the epoch came before those to emit: they
	// count as seen, or a share of rejects would be one of the epoch's rest.
	skipped int
	// ends tells whether the epoch ends with the job, and whole whether all of
	// the epoch was seen in this run.
	ends, whole bool
	// results are closed by the worker that did them all. The capacity of one
	// lets it go on with the next record while one waits for its turn; more
	// would only hold memory.
	results chan result
}

// index returns the index of the i-th entry.
func (j *job) index(i int) uint64 { return j.first + uint64(i)*j.apart }

// result is a part of a job's outcome, in the order of its samples.
type result struct {
	rec     arrow.Record // nil: none
	rejects []batch.Reject
	seen    int // samples it accounts for
}

// drop releases the images and results of a job, which may be nil, that nobody
// waits for any more. Its worker, if it has one, has ended.
func (j *job) drop() {
	if j == nil {
		return
	}
	for i := range j.entries {
		j.entries[i].release()
	}
	for {
		select {
		case r, ok := <-j.results:
			if !ok {
				return
			}
			if r.rec != nil {
				r.rec.Release()
			}
		default:
			return
		}
	}
}

// deal puts the samples in order, numbers them and hands them out in jobs of
// one record's rows.
func (s *Source) deal(ctx context.Context, ahead *readAhead, took func(), jobs, order chan<- *job, spare <-chan []entry) error {
	for epoch := s.cfg.From.Epoch; s.hasEpoch(epoch); epoch++ {
		var samples epochSamples
		if ahead != nil {
			samples = ahead.epoch()
		} else {
			samples = s.order(epoch, took)
		}
		err := s.dealEpoch(ctx, epoch, samples, jobs, order, spare)
		samples.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// hasEpoch tells whether an epoch is to be read.
func (s *Source) hasEpoch(epoch uint32) bool {
	return s.cfg.Epochs == 0 || int64(epoch) < int64(s.cfg.Epochs)
}

// fromIndex returns the index of the first sample of an epoch to emit.
func (s *Source) fromIndex(epoch uint32) uint64 {
	if epoch == s.cfg.From.Epoch {
		return s.cfg.From.Index
	}
	return 0
}

// epochSamples are the samples of an epoch that are this rank's, in order.
type epochSamples interface {
	// skip passes over the samples whose index is below from, and returns how
	// many there were.
	skip(ctx context.Context, from uint64) (int, error)
	// next returns the next sample, io.EOF after the last.
	next(ctx context.Context) (entry, error)
	// index returns the index of the n-th sample, counted from 0.
	index(n int) uint64
	// pauses tells whether the next sample may not come before those handed out
	// are used.
	pauses() bool
	close()
}

func (s *Source) dealEpoch(ctx context.Context, epoch uint32, samples epochSamples, jobs, order chan<- *job, spare <-chan []entry) error {
	limit := s.epochLimit(epoch)
	n, err := samples.skip(ctx, s.fromIndex(epoch))
	if err != nil {
		return err
	}
	newJob := func() *job {
		first := samples.index(n)
		j := &job{epoch: epoch, first: first, apart: samples.index(n+1) - first, results: make(chan result, 1)}
		select {
		case j.entries = <-spare:
		default:
			j.entries = make([]entry, 0, min(s.cfg.RecordRows, maxEntries))
		}
		return j
	}
	j := newJob()
	j.skipped = n
	send := func() error {
		select {
		case order <- j:
		case <-ctx.Done():
			j.drop()
			return ctx.Err()
		}
		select {
		case jobs <- j:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for limit < 0 || int64(n) < limit {
		e, err := samples.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			j.drop()
			return err
		}
		if len(j.entries) == s.cfg.RecordRows || len(j.entries) > 0 && j.bytes+e.sample.Size > s.cfg.RecordBytes {
			if err := send(); err != nil {
				e.release()
				return err
			}
			j = newJob()
		}
		j.entries = append(j.entries, e)
		j.bytes += e.sample.Size
		if n++; samples.pauses() {
			if err := send(); err != nil {
				return err
			}
			j = newJob()
		}
	}
	if s.cfg.Epochs == 0 && n == 0 {
		return fmt.Errorf("ingest: run: %w: no samples", noImage(s.cfg.Sources...)) // or epochs would follow each other forever
	}
	limited := s.cfg.Limit > 0 && n == s.cfg.Limit
	j.ends, j.whole = true, s.fromIndex(epoch) == 0 && !limited && s.cfg.World == 1
	return send()
}

// writer writes the results of the jobs in their order and keeps the books.
type writer struct {
	source   *Source
	current  *job
	readable []int // images of this epoch by source
	last     batch.Reject
}

func (w *writer) write(ctx context.Context, order <-chan *job, spare chan<- []entry, out batch.Writer) error {
	for j := range order {
		w.current = j
		w.source.cfg.Rejects.Seen(j.epoch, j.skipped)
		for open := true; open; {
			var r result
			select {
			case r, open = <-j.results:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := w.account(j.epoch, r); err != nil {
				if r.rec != nil {
					r.rec.Release()
				}
				return err
			}
			if r.rec == nil {
				continue
			}
			if err := out.Write(ctx, r.rec); err != nil {
				return err
			}
		}
		for i := range j.entries {
			if e := &j.entries[i]; e.readable {
				w.readable[w.source.shards[e.shard].source]++
			}
		}
		clear(j.entries) // lets go of keys
		select {
		case spare <- j.entries[:0]:
		default:
		}
		j.entries = nil
		if j.ends {
			if err := w.endEpoch(j); err != nil {
				return err
			}
		}
	}
	return ctx.Err() // the order also ends when the dealing of jobs is cancelled
}

func (w *writer) account(epoch uint32, r result) error {
	rejects := w.source.cfg.Rejects
	rejects.Seen(epoch, r.seen)
	for _, reject := range r.rejects {
		w.last = reject
		if err := rejects.Add(reject); err != nil {
			return fmt.Errorf("ingest: run: %w", err)
		}
	}
	return nil
}

func (w *writer) endEpoch(j *job) error {
	cfg := &w.source.cfg
	for i, n := range w.readable {
		if j.whole && n == 0 {
			return fmt.Errorf("ingest: run: %w; the last sample: %w", noImage(cfg.Sources[i]), w.last)
		}
	}
	clear(w.readable)
	if cfg.Encoded {
		return nil // the samples are not decoded yet
	}
	if err := cfg.Rejects.EndEpoch(j.epoch); err != nil {
		return fmt.Errorf("ingest: run: %w", err)
	}
	return nil
}
