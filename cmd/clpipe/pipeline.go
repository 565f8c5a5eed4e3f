package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/internal/imagecodec"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/spf13/pflag"
)

// streamDepth is how many records wait between two stages: one being consumed
// and one ready hides the hand-over; more would only take memory.
const streamDepth = 2

// pipeline is a list of stages, each measured, with what watches them.
type pipeline struct {
	stages []batch.Stage
	meters []*batch.Meter
	in     batch.Reader // of the first stage; nil for a source
	out    batch.Writer // of the last stage; nil for a sink
	// stdin tells that the first stage, a source, reads an archive from standard
	// input.
	stdin bool
	stall time.Duration
	// reportOnly makes a wait for another process a matter to report, not to
	// give up on.
	reportOnly bool
	log        *slog.Logger
}

// pipeline returns one without stages, watched as the flags say: where
// --stall-timeout was not given, a wait for another process is only reported.
func (c *commonFlags) pipeline(log *slog.Logger) *pipeline {
	return &pipeline{stall: c.stallTimeout, reportOnly: c.stall != nil && !c.stall.Changed, log: log}
}

// add appends a stage under a name and returns its meter.
func (p *pipeline) add(name string, s batch.Stage) *batch.Meter {
	m := &batch.Meter{Name: name}
	p.stages, p.meters = append(p.stages, m.Wrap(s)), append(p.meters, m)
	return m
}

// addSource appends the stage that reads shards.
func (p *pipeline) addSource(src *ingest.Source) {
	p.add("ingest", src.Stage())
	p.stdin = slices.Contains(src.Config().Sources, "-")
}

// slowest names the stage that the others wait for: the busiest of those that have
// not ended.
func (p *pipeline) slowest() string {
	name, busy := "", 0.0
	for _, m := range p.meters {
		if s := m.Shares().Busy; s > busy && m.Doing() != "" {
			name, busy = m.Name, s
		}
	}
	return name
}

// run runs the stages under the watchdog. When ctx ends while the last stage
// waits for another process to read, that write is left behind: nothing can
// cancel it, and the command is about to end.
func (p *pipeline) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- p.runStages(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-look.C:
			if p.waitsOutside() {
				return ctx.Err()
			}
		}
	}
}

func (p *pipeline) runStages(ctx context.Context) error {
	return watch(ctx, p, func(ctx context.Context) error {
		return batch.Run(ctx, streamDepth, p.in, p.out, p.stages...)
	})
}

// await lets f wait for the other process as a stage of this name would, under
// the watchdog.
func (p *pipeline) await(ctx context.Context, name string, f func(context.Context, batch.Reader) error) error {
	w := &pipeline{in: p.in, stall: p.stall, reportOnly: p.reportOnly, log: p.log}
	w.add(name, func(ctx context.Context, in batch.Reader, _ batch.Writer) error { return f(ctx, in) })
	return w.run(ctx)
}

// shares returns each stage's parts of time, for the metrics.
func (p *pipeline) shares() any {
	out := map[string]batch.Shares{}
	for _, m := range p.meters {
		out[m.Name] = m.Shares()
	}
	return out
}

// augmentStage returns the stage that turns images into records of rows pairs.
func augmentStage(c *commonFlags, s *sourceFlags, policy *augment.Policy, rows int, rejects *batch.Rejects, seed *uint64) (batch.Stage, error) {
	pixels, err := s.pixels()
	if err != nil {
		return nil, err
	}
	return augment.Stage(augment.StageConfig{
		Policy: policy, Seed: seed, Rows: rows, Workers: c.workers,
		Limits: imagecodec.Limits{MaxPixels: pixels}, ExifTranspose: s.exifTranspose, Rejects: rejects, Mem: memory.DefaultAllocator,
	}), nil
}

// stdinReader returns the stream on standard input.
func stdinReader(std stdio) (*batch.IPCReader, error) {
	if f, ok := std.in.(*os.File); ok {
		if isTerminal(f) {
			return nil, usagef("standard input is a terminal: name what to read, or pipe a stream in: --help has examples")
		}
		enlargePipe(f)
	}
	in := batch.NewIPCReader("standard input", std.in, memory.DefaultAllocator)
	in.Recycle()
	return in, nil
}

// openSource lists the shards of --src.
func openSource(ctx context.Context, cfg ingest.Config) (*ingest.Source, error) {
	if len(cfg.Sources) == 0 {
		return nil, usagef("--src is missing: name a directory of shards, as in --src s3shards/")
	}
	return ingest.Open(ctx, cfg)
}

// countSteps returns the steps of an epoch if the source can tell, and fails if
// there is not one.
func countSteps(ctx context.Context, src *ingest.Source, limit, batchSize int) (steps int, known bool, err error) {
	n, known, err := src.Count(ctx)
	if err != nil || !known {
		return 0, false, err
	}
	if limit > 0 {
		n = min(n, int64(limit))
	}
	if n < int64(batchSize) {
		if _, err := src.First(ctx); err != nil {
			return 0, false, err // no image at all: that is what is wrong
		}
		return 0, false, usagef("an epoch has %d samples, a batch %d: lower --batch", n, batchSize)
	}
	return int(n) / batchSize, true, nil
}

// stallError says that nothing moved for too long.
type stallError struct {
	after time.Duration
	doing string
}

func (e *stallError) Error() string {
	return fmt.Sprintf("no progress for %v: %s (--stall-timeout)", e.after, e.doing)
}

// watch runs f and ends it when no stage makes progress for the pipeline's
// stall timeout. Waiting to write to another process is no stall.
func watch(ctx context.Context, p *pipeline, f func(context.Context) error) error {
	if p.stall <= 0 {
		return f(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(min(max(p.stall/4, time.Millisecond), time.Second))
		defer tick.Stop()
		last, since := int64(-1), time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			sum := int64(0)
			for _, m := range p.meters {
				sum += m.Progress()
			}
			if sum != last || p.waitsOutside() {
				last, since = sum, time.Now()
				continue
			}
			if time.Since(since) < p.stall {
				continue
			}
			stalled := &stallError{p.stall, p.doing()}
			if p.reportOnly && p.waitsForProducer() {
				p.log.Warn("nothing has come from the other process", "for", time.Since(since).Round(time.Second))
				since = time.Now()
				continue
			}
			cancel(stalled)
			return
		}
	}()
	err := f(ctx)
	close(done)
	<-watched
	var stalled *stallError
	if errors.As(context.Cause(ctx), &stalled) {
		return stalled
	}
	return err
}

// waitsOutside reports whether the last stage waits for the process that reads
// its output.
func (p *pipeline) waitsOutside() bool {
	return p.out != nil && p.meters[len(p.meters)-1].Doing() == "waiting to write"
}

// waitsForProducer reports whether the first stage may wait for the process that
// writes what it reads. Of an archive nobody can tell: it is read within the work.
func (p *pipeline) waitsForProducer() bool {
	doing := p.meters[0].Doing()
	return p.in != nil && doing == "waiting to read" || p.stdin && doing == "working"
}

// doing says what every stage is at.
func (p *pipeline) doing() string {
	var out []string
	for _, m := range p.meters {
		if d := m.Doing(); d != "" {
			out = append(out, m.Name+" is "+d)
		}
	}
	return strings.Join(out, ", ")
}

// given returns the flag's value if it was given, else nil.
func given[T any](fs *pflag.FlagSet, name string, v *T) *T {
	if changed(fs, name) {
		return v
	}
	return nil
}
