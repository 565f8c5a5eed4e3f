package main

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// screen is a file that may be a terminal. What is written to it while lines are drawn
// live there goes above them, where it stays: below it would be drawn over.
type screen struct {
	file *os.File
	live atomic.Pointer[mpb.Progress] // the last, which may have ended
}

func (s *screen) Write(text []byte) (int, error) {
	if live := s.live.Load(); live != nil {
		if n, err := live.Write(text); err == nil {
			return n, nil
		} // it has ended
	}
	return s.file.Write(text)
}

// liveBars returns what draws live lines, nil where w is no terminal that can.
func liveBars(w io.Writer, quiet bool) *mpb.Progress {
	s, ok := w.(*screen)
	if !ok || quiet || !hasRoom(s.file) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	bars := mpb.New(mpb.WithOutput(s.file), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(24))
	s.live.Store(bars)
	return bars
}

// addBar adds a bar that ends when it is told to, not when it is full: what is written
// in between would not be drawn any more.
func addBar(bars *mpb.Progress, total int64, options ...mpb.BarOption) *mpb.Bar {
	bar := bars.AddBar(0, options...)
	bar.SetTotal(total, false)
	return bar
}
