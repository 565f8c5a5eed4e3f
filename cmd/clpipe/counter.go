package main

import (
	"fmt"
	"io"
	"sync"
	"time"

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
func (c *counter) one() {
	if c.bar != nil {
		c.bar.Increment()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	if c.quiet || time.Since(c.last) < plainEvery {
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
