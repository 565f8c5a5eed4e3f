package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
)

// batchesAhead is how many different batches a training bench goes through.
const batchesAhead = 2

// train measures whole steps of the method on pairs that lie in memory.
func (b *bench) train(ctx context.Context) ([]timing, error) {
	job, err := b.trainInput(ctx)
	if err != nil {
		return nil, err
	}
	defer job.release()
	if err := b.measureLimits(ctx); err != nil {
		return nil, err
	}
	watch, err := b.trainSteps(ctx, job.cfg, func(ctx context.Context, more func() bool, train batch.Stage) error {
		return train(ctx, job.pairs.reader(more), nil)
	})
	if err != nil {
		return nil, err
	}
	return watch.timings(), nil
}

// trainInput is what a training bench works on.
type trainInput struct {
	cfg   contrast.Config
	files *shelf
	pairs *shelf
	// stage makes pairs of files, as in the main job.
	stage batch.Stage
}

func (t *trainInput) release() {
	t.files.release()
	t.pairs.release()
}

// trainInput settles the configuration as the main job does and prepares pairs.
func (b *bench) trainInput(ctx context.Context) (*trainInput, error) {
	byMethod := func(size int) string {
		c, err := contrast.Recipe(b.method.method, size, contrast.Preset(b.method.preset))
		if err != nil {
			return contrast.PolicyFor(size) // reported where the method is configured
		}
		return c.Policy()
	}
	files, policy, err := b.filesAndPolicy(ctx, b.viewSize(), byMethod)
	if err != nil {
		return nil, err
	}
	t := &trainInput{files: files, pairs: &shelf{}}
	locals, side := policy.Locals()
	if t.cfg, err = b.trainConfig(policy.Size(), locals, side); err != nil {
		t.release()
		return nil, err
	}
	if t.stage, err = b.augmentStage(policy, t.cfg.Batch); err != nil {
		t.release()
		return nil, err
	}
	pairs, err := b.pairs(ctx, files, policy, t.cfg.Batch, batchesAhead)
	if err != nil {
		t.release()
		return nil, err
	}
	t.pairs = pairs
	b.setup = fmt.Sprintf("%s: %s, %s, width %g, %d px, batch %d, queue %d, dim %d, %s of batch statistics; pairs of %s", b.kind.name,
		t.cfg.Method, encoderName(t.cfg), t.cfg.Encoder.Width, policy.Size(), t.cfg.Batch, t.cfg.Queue, t.cfg.Dim, plural(t.cfg.SplitBN, "group"), b.sourceName())
	return t, nil
}

// viewSize returns the side of views where no image tells it: what --size says,
// else what the encoder is made for. 0 leaves it to the images of --src.
func (b *bench) viewSize() int {
	switch {
	case b.views.size > 0:
		return b.views.size
	case len(b.source.src) > 0:
		return 0
	case b.method.encoder != "" && !strings.HasSuffix(b.method.encoder, "-cifar"), b.method.method == "moco-v1", b.method.method == "moco-v2":
		return 224
	}
	return 32
}

// trainConfig is the method's configuration for views of a size, of a length
// that the bench decides itself, with so many local views of a side.
func (b *bench) trainConfig(size, locals, localSize int) (contrast.Config, error) {
	cfg, err := b.method.config(b.fs, &b.common, size, nil)
	if err != nil {
		return cfg, err
	}
	cfg.Local, cfg.LocalSize = locals, localSize
	cfg.Schedule.Kind, cfg.Schedule.Steps, cfg.Schedule.Epochs = encoder.Constant, math.MaxInt32, 0
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, checkMemory(cfg)
}

func encoderName(c contrast.Config) string {
	return c.EncoderName()
}

// trainSteps trains, in stages that run puts together, until all runs are
// measured; more tells the source when that is.
func (b *bench) trainSteps(ctx context.Context, cfg contrast.Config,
	run func(ctx context.Context, more func() bool, train batch.Stage) error,
) (*stepWatch, error) {
	watch := &stepWatch{runs: b.runs, pairs: float64(cfg.Batch), done: make(chan struct{})}
	trainer, err := contrast.New(cfg, contrast.Hooks{Progress: watch.step})
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	watch.trainer = trainer
	b.held.arenas, b.held.packed = trainer.MemoryBytes()
	err = run(ctx, watch.more, func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		_, err := trainer.Train(ctx, in, discard{})
		return err
	})
	if err == nil && len(watch.seconds) < b.runs {
		err = fmt.Errorf("bench: %d of %d runs were measured before the pairs ended", len(watch.seconds), b.runs)
	}
	return watch, err
}

// A stepWatch measures training steps as they are reported.
type stepWatch struct {
	trainer *contrast.Trainer
	runs    int
	pairs   float64 // in a step

	last, start time.Time
	perRun      int // steps, found while warming up
	steps       int // of the run under way
	seconds     []float64
	parts       []timing
	done        chan struct{} // closed when all runs are measured
}

// warmSteps are not measured: the first fault memory in.
const warmSteps = 3

// more tells whether further pairs are wanted.
func (w *stepWatch) more() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// step is told of every step.
func (w *stepWatch) step(p contrast.Progress) {
	now := time.Now()
	took := now.Sub(w.last)
	w.last = now
	if p.Step < warmSteps || !w.more() {
		return
	}
	if p.Step == warmSteps {
		w.perRun = int((minRun + took - 1) / max(took, 1))
		w.begin()
		return
	}
	if w.steps++; w.steps < w.perRun {
		return
	}
	w.seconds = append(w.seconds, now.Sub(w.start).Seconds()/float64(w.steps))
	w.addParts()
	if len(w.seconds) == w.runs {
		close(w.done)
		return
	}
	w.begin()
}

func (w *stepWatch) begin() {
	w.trainer.Profile()
	w.steps, w.start = 0, time.Now()
}

// addParts adds the run's times of the parts of a step and, as details, of the
// operations of its networks.
func (w *stepWatch) addParts() {
	at := 0
	add := func(name string, flops, bytes int64, t time.Duration, detail bool) {
		if at == len(w.parts) {
			w.parts = append(w.parts, timing{name: name, work: w.pairs, detail: detail})
		}
		part := &w.parts[at]
		part.flops, part.bytes = float64(flops), float64(bytes)
		part.seconds = append(part.seconds, t.Seconds()/float64(w.steps))
		at++
	}
	ops := w.trainer.Times()
	for i := 0; i < len(ops); {
		end := i
		var flops, bytes int64
		var sum time.Duration
		for ; end < len(ops) && ops[end].Part == ops[i].Part; end++ {
			flops += ops[end].Flops
			bytes += ops[end].Bytes
			sum += ops[end].Time
		}
		add(ops[i].Part, flops, bytes, sum, false)
		for ; i < end; i++ {
			if ops[i].Name != "" {
				add(ops[i].Part+"/"+ops[i].Name, ops[i].Flops, ops[i].Bytes, ops[i].Time, true)
			}
		}
	}
}

// timings returns the parts with their shares of the time, and the whole.
func (w *stepWatch) timings() []timing {
	whole := timing{name: "total", work: w.pairs, count: 1, seconds: w.seconds, share: 1}
	for i, p := range w.parts {
		w.parts[i].share = median(p.seconds) / median(w.seconds)
		if !p.detail {
			whole.flops += p.flops
			whole.bytes += p.bytes
		}
	}
	return append(w.parts, whole)
}

// pipe measures the whole way from files in memory to training steps, beside
// decoding with augmentation alone and training alone.
func (b *bench) pipe(ctx context.Context) ([]timing, error) {
	job, err := b.trainInput(ctx)
	if err != nil {
		return nil, err
	}
	defer job.release()
	made := timing{name: "decode and augment alone"}
	made.seconds, err = b.measure(ctx, func() error {
		var out countRows
		err := job.stage(ctx, job.files.reader(nil), &out)
		made.work = float64(out.rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	alone, err := b.trainSteps(ctx, job.cfg, func(ctx context.Context, more func() bool, train batch.Stage) error {
		return train(ctx, job.pairs.reader(more), nil)
	})
	if err != nil {
		return nil, err
	}
	trained := timing{name: "train alone", work: alone.pairs, seconds: alone.seconds}
	both, err := b.trainSteps(ctx, job.cfg, func(ctx context.Context, more func() bool, train batch.Stage) error {
		return batch.Run(ctx, streamDepth, job.files.reader(more), nil, job.stage, train)
	})
	if err != nil {
		return nil, err
	}
	// What one after the other would give: the whole cannot be faster on cores
	// that both keep busy.
	sum := timing{name: "one after the other", work: both.pairs, seconds: make([]float64, b.runs)}
	for i := range sum.seconds {
		sum.seconds[i] = trained.seconds[i] + made.seconds[i]*both.pairs/made.work
	}
	whole := timing{name: "total", work: both.pairs, count: 1, seconds: both.seconds}
	return []timing{made, trained, sum, whole}, nil
}
