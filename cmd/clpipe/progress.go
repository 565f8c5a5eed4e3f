package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"clpipe/contrast"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// plainEvery is how often progress is told where there is no terminal.
const plainEvery = 10 * time.Second

// progress shows how a run goes on: one live line on a terminal, elsewhere a
// plain line every ten seconds.
type progress struct {
	w     io.Writer
	quiet bool
	bars  *mpb.Progress // nil: no terminal
	bar   *mpb.Bar
	text  atomic.Pointer[string]
	start time.Time
	first int // step of the first call, for the time left
	last  time.Time
}

func newProgress(w io.Writer, quiet bool) *progress {
	return &progress{w: w, quiet: quiet, bars: liveBars(w, quiet), last: time.Now()}
}

// step shows a step; slowest is the stage the others wait for.
func (p *progress) step(s contrast.Progress, slowest string) {
	if p.quiet {
		return
	}
	if p.start.IsZero() {
		p.start, p.first = time.Now(), s.Step
	}
	if p.bars == nil && time.Since(p.last) < plainEvery && s.Step != s.Steps {
		return
	}
	p.last = time.Now()
	text := fmt.Sprintf("epoch %d  step %d", s.Epoch, s.Step)
	if s.Steps > 0 {
		text += fmt.Sprintf("/%d", s.Steps)
	}
	text += fmt.Sprintf("  %.0f pairs/s  loss %.3f  acc %.1f %%", s.PairsPerS, s.Loss, 100*s.Acc1)
	if done := s.Step - p.first; s.Steps > 0 && done > 0 {
		left := time.Since(p.start) / time.Duration(done) * time.Duration(s.Steps-s.Step)
		text += fmt.Sprintf("  ETA %v", left.Round(time.Second))
	}
	if slowest != "" {
		text += "  waiting for " + slowest
	}
	if p.bars == nil {
		fmt.Fprintln(p.w, text)
		return
	}
	p.text.Store(&text)
	if p.bar == nil {
		p.bar = addBar(p.bars, int64(s.Steps), mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + *p.text.Load() })))
	}
	p.bar.SetCurrent(int64(s.Step))
}

// finish leaves the line as it is.
func (p *progress) finish() {
	if p.bars == nil {
		return
	}
	if p.bar != nil {
		p.bar.Abort(false)
	}
	p.bars.Wait()
}
