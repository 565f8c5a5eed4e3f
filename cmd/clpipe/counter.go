package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// counter shows how far counted work has come: one live line on a terminal,
// elsewhere a plain line every ten seconds. It is safe for concurrent use.
type counter struct {
	w     io.Writer
	what  string // is counted, in the plural
	total int64  // 0: not known
	quiet bool
	bars  *mpb.Progress // nil: no terminal
	bar   *mpb.Bar

	mu   sync.Mutex // of what follows
	done int64
	last time.Time
}

func newCounter(w io.Writer, quiet bool, what string, total int64) *counter {
	c := &counter{w: w, what: what, total: total, quiet: quiet, bars: liveBars(w, quiet), last: time.Now()}
	switch {
	case c.bars == nil:
	case total > 0:
		c.bar = addBar(c.bars, total, mpb.AppendDecorators(decor.CountersNoUnit(" %d of %d "+what), decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 10})))
	default:
		c.bar = c.bars.AddSpinner(0, mpb.AppendDecorators(decor.CurrentNoUnit(" %d "+what)))
	}
	return c
}

// one counts one more.
func (c *counter) one() { c.add(1) }

// add counts n more.
func (c *counter) add(n int64) {
	if c.bar != nil {
		c.bar.IncrInt64(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += n
	if c.bar != nil || c.quiet || time.Since(c.last) < plainEvery {
		return
	}
	c.last = time.Now()
	if c.total > 0 {
		fmt.Fprintf(c.w, "%d of %d %s\n", c.done, c.total, c.what)
	} else {
		fmt.Fprintf(c.w, "%d %s\n", c.done, c.what)
	}
}

// finish leaves the line as it is.
func (c *counter) finish() {
	if c.bars != nil {
		c.bar.Abort(false)
		c.bars.Wait()
	}
}

// result prints how many there are in a file.
func (c *counter) result(w io.Writer, file string) error {
	_, err := fmt.Fprintf(w, "%d %s: %s\n", c.done, c.what, file)
	return err
}

// counted is a sink whose rows are counted as it reads them.
func counted(sink batch.Stage, count *counter) batch.Stage {
	return func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		return sink(ctx, countedReader{in, count}, out)
	}
}

type countedReader struct {
	batch.Reader
	count *counter
}

func (r countedReader) Read(ctx context.Context) (arrow.Record, error) {
	rec, err := r.Reader.Read(ctx)
	if err == nil {
		r.count.add(rec.NumRows())
	}
	return rec, err
}
