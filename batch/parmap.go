package batch

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"golang.org/x/sync/errgroup"
)

// Map applies f to every record of in, up to workers at a time, and writes the
// results to out in the order of their sources: the number of workers changes
// nothing but the speed. f owns the record it is given and hands over the one
// it returns; a nil record writes nothing. worker, in [0,workers), is never
// used by two calls at once and selects scratch memory.
//
// At most 2*workers records are held: those in work and as many waiting for an
// earlier one to finish.
func Map(ctx context.Context, workers int, in Reader, out Writer,
	f func(ctx context.Context, worker int, rec arrow.Record) (arrow.Record, error)) error {
	workers = max(workers, 1)
	type job struct {
		rec  arrow.Record
		done chan arrow.Record // capacity 1; closed without a record on failure
	}
	jobs := make(chan job)
	order := make(chan job, 2*workers-2) // and one at either end: 2*workers records
	g, gctx := errgroup.WithContext(ctx)

	g.Go(func() error { // deals the records out; every job in order gets a worker or is closed
		defer close(jobs)
		defer close(order)
		for {
			rec, err := in.Read(gctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			j := job{rec, make(chan arrow.Record, 1)}
			select {
			case order <- j:
			case <-gctx.Done():
				rec.Release()
				return gctx.Err()
			}
			select {
			case jobs <- j:
			case <-gctx.Done():
				rec.Release()
				close(j.done)
				return gctx.Err()
			}
		}
	})
	for worker := range workers {
		g.Go(func() error {
			for j := range jobs {
				rec, err := f(gctx, worker, j.rec)
				if err != nil {
					close(j.done)
					return err
				}
				j.done <- rec
			}
			return nil
		})
	}
	g.Go(func() error { // writes in order
		for j := range order {
			rec, ok := <-j.done
			if !ok {
				return nil // whoever closed it returns the error
			}
			if rec == nil {
				continue
			}
			if err := out.Write(gctx, rec); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	for j := range order { // results that were never written
		if rec := <-j.done; rec != nil {
			rec.Release()
		}
	}
	return err
}
