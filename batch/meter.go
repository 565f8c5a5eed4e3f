package batch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
)

// Meter measures what a stage does with its time. Wrap gives the stage to run
// in its place; the other methods may be called meanwhile, from anywhere.
type Meter struct {
	Name string
	// WorkIsProgress says that the stage works in long pieces, such as training
	// steps and checkpoints: while it works it is not stalled.
	WorkIsProgress bool

	started  atomic.Int64 // when the stage began, in Unix nanoseconds; 0: not yet
	since    atomic.Int64 // when it last changed between the states
	state    atomic.Int32
	spent    [3]atomic.Int64 // nanoseconds in each state, up to since
	progress atomic.Int64
	ended    atomic.Bool
}

// What a stage may be doing.
const (
	working int32 = iota
	waitingToRead
	waitingToWrite
)

var stateNames = [...]string{working: "working", waitingToRead: "waiting to read", waitingToWrite: "waiting to write"}

// Wrap returns the stage, measured.
func (m *Meter) Wrap(stage Stage) Stage {
	return func(ctx context.Context, in Reader, out Writer) error {
		now := time.Now().UnixNano()
		m.started.Store(now)
		m.since.Store(now)
		defer m.ended.Store(true)
		if in != nil {
			in = meteredReader{in, m}
		}
		if out != nil {
			out = meteredWriter{out, m}
		}
		return stage(ctx, in, out)
	}
}

// Advance tells the meter of the stage that writes to out that the stage gets on,
// though it has nothing to write yet. Without a meter it does nothing. It may be
// called from any goroutine of the stage.
func Advance(out Writer) {
	if w, ok := out.(meteredWriter); ok {
		w.m.progress.Add(1)
	}
}

func (m *Meter) enter(state int32) {
	now := time.Now().UnixNano()
	m.spent[m.state.Swap(state)].Add(now - m.since.Swap(now))
}

// Progress is a number that changes while the stage gets on: records passed and
// what Advance told, and for a stage whose work is progress the time.
func (m *Meter) Progress() int64 {
	if m.WorkIsProgress && m.Doing() == stateNames[working] {
		return time.Now().UnixNano()
	}
	return m.progress.Load()
}

// Doing says what the stage is at, "" if it has not begun or has ended.
func (m *Meter) Doing() string {
	if m.started.Load() == 0 || m.ended.Load() {
		return ""
	}
	return stateNames[m.state.Load()]
}

// Shares are the parts of its time that a stage worked, waited for input and
// waited for its consumer.
type Shares struct {
	Busy      float64 `json:"busy"`
	WaitRead  float64 `json:"wait_read"`
	WaitWrite float64 `json:"wait_write"`
}

// Shares returns how the time since the beginning was spent.
func (m *Meter) Shares() Shares {
	var spent [3]float64
	total := 0.0
	now := time.Now().UnixNano()
	for i := range spent {
		spent[i] = float64(m.spent[i].Load())
	}
	if m.Doing() != "" {
		spent[m.state.Load()] += float64(now - m.since.Load())
	}
	for _, s := range spent {
		total += s
	}
	if total == 0 {
		return Shares{}
	}
	return Shares{spent[working] / total, spent[waitingToRead] / total, spent[waitingToWrite] / total}
}

type meteredReader struct {
	Reader
	m *Meter
}

func (r meteredReader) Schema(ctx context.Context) (*arrow.Schema, error) {
	r.m.enter(waitingToRead)
	defer r.m.enter(working)
	return r.Reader.Schema(ctx)
}

func (r meteredReader) Read(ctx context.Context) (arrow.Record, error) {
	r.m.enter(waitingToRead)
	defer r.m.enter(working)
	rec, err := r.Reader.Read(ctx)
	if err == nil {
		r.m.progress.Add(1)
	}
	return rec, err
}

type meteredWriter struct {
	Writer
	m *Meter
}

func (w meteredWriter) Write(ctx context.Context, rec arrow.Record) error {
	w.m.enter(waitingToWrite)
	defer w.m.enter(working)
	err := w.Writer.Write(ctx, rec)
	if err == nil {
		w.m.progress.Add(1)
	}
	return err
}
