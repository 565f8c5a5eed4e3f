package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/ingest"
	"clpipe/internal/kernel"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// trainFlags are all options of the main job.
type trainFlags struct {
	common        commonFlags
	source        sourceFlags
	views         viewFlags
	in            string // stream of pairs, where there is no source
	method        methodFlags
	val, valTrain string
	evalEvery     int
	budget        time.Duration
	run           string
	resume        bool
	save          string // --checkpoint-every
	keep          int
	listen        string
	policySum     string
	indexSum      string
}

func (t *trainFlags) add(fs *pflag.FlagSet) {
	t.common.add(fs)
	t.source.add(fs, true)
	t.views.add(fs)
	addStreamInput(fs, &t.in, "pairs")
	t.method.add(fs)
	fs.StringVar(&t.val, "val", "", "labelled images to classify by kNN at epochs' ends")
	fs.StringVar(&t.valTrain, "val-train", "", "labelled images that are the neighbours (default --src)")
	fs.IntVar(&t.evalEvery, "eval-every", 1, "epochs between kNN classifications")
	fs.DurationVar(&t.budget, "budget", 0, "length of the run in time, as 2h: measured before the first step and turned into --steps")
	fs.StringVar(&t.run, "run", "", "run directory (default runs/METHOD-TIME)")
	fs.BoolVar(&t.resume, "resume", false, "go on from the run directory's last checkpoint")
	fs.StringVar(&t.save, "checkpoint-every", "10m", "time, or steps, between checkpoints")
	fs.IntVar(&t.keep, "keep", 2, "checkpoints kept")
	fs.StringVar(&t.policySum, policySum, "", "SHA-256 of the file of --policy, which a run records: one that has changed since is refused")
	fs.StringVar(&t.indexSum, indexSum, "", "checksum of the order by --index, which a run records: one that has changed since is refused")
	for _, name := range []string{policySum, indexSum} {
		fs.Lookup(name).Hidden = true
	}
}

// policySum and indexSum are recorded settings that tell a policy file, and an index,
// from another in the same place.
const (
	policySum = "policy-sum"
	indexSum  = "index-sum"
)

// addListen adds the live page, which only a run has.
func (t *trainFlags) addListen(fs *pflag.FlagSet) {
	fs.StringVar(&t.listen, "listen", "", "address, as 127.0.0.1:6060, of a live page, of /metrics for Prometheus and of /debug/pprof")
}

// trainCommand is the main job.
func trainCommand(std stdio, sig *signals) *cobra.Command {
	var flags trainFlags
	cmd := &cobra.Command{
		Use:   "train [--src URL]",
		Short: "Train an encoder, from pairs on standard input or from shards",
		Long: `Trains an encoder by contrast and writes the run directory. Pairs come from
standard input or another stream (--in), or with --src from shards, all stages in one process.`,
		Example: `  clpipe train --src s3shards/ --epochs 20 --run runs/first
  clpipe augment --src s3shards/ --epochs 0 | clpipe train --steps 500 --run runs/piped
  clpipe train --in pairs.arrows --run runs/fromfile`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Parent() == nil && cmd.Flags().NFlag() == 0 {
				return cmd.Help()
			}
			job := &trainJob{trainFlags: flags, fs: cmd.Flags(), std: std, sig: sig}
			if cmd.Parent() == nil && len(flags.source.src) == 0 {
				return usagef("--src is missing: name a directory of shards, as in clpipe --src s3shards/")
			}
			_, err := job.do(cmd.Context())
			return err
		},
	}
	flags.add(cmd.Flags())
	flags.addListen(cmd.Flags())
	return cmd
}

// trainJob is the main job under way.
type trainJob struct {
	trainFlags
	fs  *pflag.FlagSet
	std stdio
	sig *signals

	log     *slog.Logger
	rejects *batch.Rejects
	source  *ingest.Source // nil: pairs come from a stream
	policy  *augment.Policy
	cfg     contrast.Config

	perEpoch int // steps of an epoch, 0 if the source cannot tell
}

// do trains and returns the summary.
func (j *trainJob) do(ctx context.Context) (*sink.Summary, error) {
	var err error
	if j.log, err = j.common.log(j.std); err != nil {
		return nil, err
	}
	if j.resume && j.run == "" {
		j.log.Warn("--resume goes on in no directory, as there is no --run: a new run begins")
	}
	if j.rejects, err = j.trainFlags.source.rejects(); err != nil {
		return nil, err
	}
	initial, inferred, err := j.initialWeights()
	if err != nil {
		return nil, err
	}
	in, err := j.prepare(ctx, inferred)
	if in != nil {
		defer in.Close()
	}
	if err != nil {
		return nil, err
	}
	if !changed(j.fs, "warmup") {
		j.cfg.Schedule.CapWarmup() // only now is the length of the run known
	}
	j.sayDefaults()
	j.sayUnread()
	return j.train(ctx, in, initial)
}

// prepare does what comes before the run, which the first signal ends: there is
// nothing to save yet. The stream that it opens is the caller's to close.
func (j *trainJob) prepare(ctx context.Context, inferred *encoder.Inferred) (*inputStream, error) {
	ctx, cancel := j.sig.stoppable(ctx)
	defer cancel()
	in, err := j.open(ctx, inferred)
	if err != nil {
		return nil, err
	}
	if err := j.cfg.Validate(); err != nil {
		return in, usageError{err}
	}
	if err := checkMemory(j.cfg); err != nil {
		return in, err
	}
	if err := j.recording(); err != nil {
		return in, err
	}
	if err := j.checkValidation(ctx); err != nil {
		return in, err
	}
	return in, j.spend(ctx)
}

// initialWeights reads --init.
func (j *trainJob) initialWeights() (*batch.State, *encoder.Inferred, error) {
	if j.method.init == "" {
		return nil, nil, nil
	}
	state, err := sink.ReadSafetensors(j.method.init)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, usagef("--init: %w", err)
	}
	if err != nil {
		return nil, nil, err
	}
	inferred, err := encoder.Infer(state)
	if err != nil {
		return nil, nil, fmt.Errorf("--init %s: %w", j.method.init, err)
	}
	return &state, &inferred, nil
}

// open opens the input, shards or a stream, and settles what depends on
// it: the size of the views, the method's configuration and the policy.
func (j *trainJob) open(ctx context.Context, inferred *encoder.Inferred) (*inputStream, error) {
	var err error
	if len(j.trainFlags.source.src) > 0 && changed(j.fs, "in") {
		return nil, errTwoInputs
	}
	if len(j.trainFlags.source.src) == 0 {
		if j.views.fastDecode {
			return nil, usagef("--fast-decode is about images of --src: the stream's views are made already")
		}
		if err := needSource(j.fs, "policy", "exif-transpose"); err != nil {
			return nil, err
		}
		in, err := openInput(ctx, j.std, j.in)
		if err != nil {
			return nil, err
		}
		if err := j.openStream(ctx, in, inferred); err != nil {
			in.Close()
			return nil, err
		}
		return in, nil
	}
	cfg, err := j.trainFlags.source.ingestConfig(&j.common, j.rejects, j.log)
	if err != nil {
		return nil, err
	}
	cfg.Encoded, cfg.Offsets = true, true
	if j.source, err = openSource(ctx, cfg); err != nil {
		return nil, err
	}
	byMethod := func(size int) string {
		c, err := contrast.Recipe(j.method.method, size, contrast.Preset(j.method.preset))
		if err != nil {
			return contrast.PolicyFor(size) // reported where the method is configured
		}
		return c.Policy()
	}
	if j.policy, err = j.views.load(byMethod, func() (int, error) { return shortSide(ctx, j.source) }); err != nil {
		return nil, err
	}
	if err := errors.Join(j.sumPolicy(), j.sumIndex()); err != nil {
		return nil, err
	}
	if j.cfg, err = j.method.config(j.fs, &j.common, j.policy.Size(), inferred); err != nil {
		return nil, err
	}
	j.cfg.Local, j.cfg.LocalSize = j.policy.Locals()
	if err := j.viewsFit(); err != nil {
		return nil, err
	}
	if err := j.readOnce(); err != nil {
		return nil, err
	}
	var known bool
	if j.perEpoch, known, err = countSteps(ctx, j.source, j.trainFlags.source.limit, j.cfg.Batch); err != nil {
		return nil, err
	}
	if s := &j.cfg.Schedule; known && s.Epochs > 0 {
		s.Steps, err = j.stepsWithin(ctx, s.Epochs, s.Steps)
	}
	return nil, err
}

// stepsWithin returns the steps of so many epochs, or most, unless that is 0, if it
// is fewer.
func (j *trainJob) stepsWithin(ctx context.Context, epochs, most int) (int, error) {
	total := 0
	if j.source.Config().World == 1 || j.source.Permuted() {
		total = epochs * j.perEpoch
	} else { // ranks that divide whole shards have not the same number in each
		for epoch := 0; epoch < epochs && (most == 0 || total < most); epoch++ {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			n, _ := j.source.EpochSamples(uint32(epoch))
			total += int(n) / j.cfg.Batch
		}
	}
	if most != 0 {
		total = min(total, most)
	}
	return total, nil
}

// readOnce makes a source that cannot be read twice a run of one epoch.
func (j *trainJob) readOnce() error {
	if !slices.Contains(j.trainFlags.source.src, "-") {
		return nil
	}
	if changed(j.fs, "epochs") && j.method.epochs != 1 {
		return usagef("--epochs is %d, want 1: --src - is read only once", j.method.epochs)
	}
	j.cfg.Schedule.Epochs = 1
	return nil
}

// openStream settles the configuration by what the stream of pairs says of itself.
func (j *trainJob) openStream(ctx context.Context, in *inputStream, inferred *encoder.Inferred) error {
	var schema *arrow.Schema
	p := j.common.pipeline(j.log)
	p.in = in
	err := p.await(ctx, "train", func(ctx context.Context, in batch.Reader) (err error) {
		schema, err = in.Schema(ctx)
		return err
	})
	if errors.Is(err, io.EOF) {
		return errors.New("the stream of pairs ended before it said what it holds")
	}
	if err != nil {
		return err
	}
	if _, err := batch.Expect(schema, batch.PairsKind); err != nil {
		return err
	}
	shape := batch.ViewShape(schema)
	size, err := sideOf(shape)
	if err != nil {
		return err
	}
	if j.views.size > 0 && j.views.size != size {
		return usagef("--size is %d, the stream's views are %v", j.views.size, shape)
	}
	if seed, ok := batch.SeedOf(schema); ok && !changed(j.fs, "seed") {
		j.common.seed = seed
	}
	if j.cfg, err = j.method.config(j.fs, &j.common, size, inferred); err != nil {
		return err
	}
	if local := batch.LocalShape(schema); local != nil {
		j.cfg.Local, j.cfg.LocalSize = local[0], local[1]
	}
	if v := j.views; v.localCrops > 0 && v.localCrops != j.cfg.Local || v.localSize > 0 && v.localSize != j.cfg.LocalSize {
		return usagef("--local-crops is %d and --local-size %d, the stream has %d local views of %d px", v.localCrops, v.localSize, j.cfg.Local, j.cfg.LocalSize)
	}
	if !changed(j.fs, "epochs") && !changed(j.fs, "steps") {
		j.log.Info("the run ends with the stream: its length is not known, so the learning rate stays constant; give --steps for a schedule")
		j.cfg.Schedule.Kind = encoder.Constant
	}
	return nil
}

// viewsFit refuses a policy whose views are not those that the method learns from.
func (j *trainJob) viewsFit() error {
	if got, want := j.policy.Shape(), j.cfg.ViewShape(); !slices.Equal(got, want) {
		return usagef("--policy %s makes views %v, --method %s learns from %v: leave --policy out", j.views.policy, got, j.cfg.Method, want)
	}
	if j.policy.Views() < 2 && !j.cfg.OneView() {
		return usagef("--policy %s makes one view of an image, --method %s learns from two: leave --policy out", j.views.policy, j.cfg.Method)
	}
	return nil
}

// sideOf returns the side of the image that a view of a stream was: [S,S,3], or
// [G,G,P,P,3] of patches that overlap by half.
func sideOf(shape []int) (int, error) {
	switch {
	case len(shape) == 3:
		return shape[0], nil
	case len(shape) == 5:
		return (shape[0] + 1) * shape[2] / 2, nil
	}
	return 0, fmt.Errorf("the stream's views are %v, want [S,S,3] or [G,G,P,P,3]", shape)
}

// sayDefaults says what the method and the images decided, of settings that not
// every method has those that this one has.
func (j *trainJob) sayDefaults() {
	c := j.cfg
	said := []any{"method", c.Method, "encoder", c.EncoderName(), "width", c.Encoder.Width, "size", c.Encoder.Size, "batch", c.Batch, "dim", c.Dim}
	for _, s := range []struct {
		name  string
		value any
	}{{"head", c.Head}, {"queue", c.Queue}, {"split-bn", c.SplitBN}} {
		if c.Uses(s.name) {
			said = append(said, s.name, s.value)
		}
	}
	j.log.Info("training", append(said, "lr", c.Schedule.Base, "schedule", c.Schedule.Kind, "steps", c.Schedule.Steps, "seed", c.Seed, "kernel", kernel.Selected())...)
}

// sayUnread warns of options that were typed and that nothing in this run reads.
func (j *trainJob) sayUnread() {
	c := j.cfg
	mlp := c.Head != encoder.LinearHead && c.Head != encoder.NoHead
	for _, option := range []struct {
		name string
		read bool
		of   string
	}{
		{"hidden", mlp || !c.Uses("head"), "a --head with a hidden layer"},
		{"bound-alpha", c.Bound == contrast.BoundInterpolated, "--bound ialpha"},
		{"mixture-sharpness", c.Mixture > 0, "--mixture"},
		{"mixture-entropy", c.Mixture > 0, "--mixture"},
		{"val-train", j.val != "", "--val"},
		{"eval-every", j.val != "", "--val"},
	} {
		if typed(j.fs, option.name) && !option.read {
			j.log.Warn(fmt.Sprintf("--%s changes nothing without %s", option.name, option.of))
		}
	}
}

// recording settles how often metrics and checkpoints are written: these after a
// time, or a number of steps.
func (j *trainJob) recording() error {
	if j.method.logEvery < 1 {
		return usagef("--log-every is %d, want at least 1 step", j.method.logEvery)
	}
	if j.keep < 1 {
		return usagef("--keep is %d, want at least 1 checkpoint", j.keep)
	}
	if steps, err := strconv.Atoi(j.save); err == nil && steps > 0 {
		j.cfg.CheckpointSteps = steps
		return nil
	}
	every, err := time.ParseDuration(j.save)
	if err != nil || every < 0 {
		return usagef("--checkpoint-every is %q, want a time as 10m or a number of steps", j.save)
	}
	j.cfg.CheckpointEvery = every
	return nil
}

// train opens the run directory and runs the stages.
func (j *trainJob) train(ctx context.Context, in *inputStream, initial *batch.State) (*sink.Summary, error) {
	if j.run == "" {
		j.run = unusedRun(j.cfg.Method + time.Now().Format("-20060102-150405"))
	}
	config, err := resolvedConfig(j.fs, j.resolved())
	if err != nil {
		return nil, err
	}
	p := j.common.pipeline(j.log)
	if in != nil {
		p.in = in
	}
	live := newProgress(j.std.err, j.common.quiet)
	trainer, err := j.newTrainer(p, live, initial)
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	page, err := listenLive(j.listen, j.run, j.log)
	if err != nil {
		return nil, err
	}
	if page != nil {
		defer page.Close()
	}
	dir, err := sink.OpenRun(j.run, sink.Options{Config: config, Ignore: notResult, Resume: j.resume, Keep: j.keep})
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for _, refused := range dir.Refused() {
		j.log.Warn(refused.Error())
	}
	if done := dir.Finished(); done != nil {
		j.log.Info("the run is finished: nothing to do", "run", j.run, "steps", done.Steps)
		return done, j.report(done)
	}
	j.rejects.Log = func(r batch.Reject) error {
		j.log.Warn("rejected " + r.Error())
		return dir.Reject(r)
	}
	var rec contrast.Recorder = dir
	if page != nil {
		rec = liveRun{dir, page}
	}
	var summary *sink.Summary
	err = besideLive(ctx, page, func(ctx context.Context) (err error) {
		summary, err = j.runStages(ctx, p, live, trainer, dir, rec)
		return err
	})
	return summary, err
}

// newTrainer returns the trainer at step 0. Whatever cannot be met shows here,
// before there is a run directory.
func (j *trainJob) newTrainer(p *pipeline, live *progress, initial *batch.State) (*contrast.Trainer, error) {
	validate := &validation{job: j}
	trainer, err := contrast.New(j.cfg, contrast.Hooks{
		Progress: func(pr contrast.Progress) { live.step(pr, p.slowest()) },
		Warn:     func(text string) { j.log.Warn(text) },
		Stages:   p.shares,
		Epoch:    validate.epoch,
		Stop:     j.sig.stop,
	})
	if err != nil {
		return nil, err
	}
	validate.params = trainer.Params()
	err = j.keepMemory()
	if err == nil && initial != nil {
		err = j.initialise(trainer, *initial)
	}
	if err != nil {
		trainer.Close()
		return nil, err
	}
	return trainer, nil
}

// unusedRun returns the run directory of a name, numbered if there is one.
func unusedRun(name string) string {
	run := filepath.Join("runs", name)
	for n := 2; ; n++ {
		if _, err := os.Lstat(run); err != nil {
			return run
		}
		run = filepath.Join("runs", fmt.Sprintf("%s-%d", name, n))
	}
}

// runStages is the way of the data, from the source to the run directory.
func (j *trainJob) runStages(ctx context.Context, p *pipeline, live *progress, trainer *contrast.Trainer, dir *sink.Run, rec contrast.Recorder) (*sink.Summary, error) {
	if from := dir.From(); from != nil {
		state, err := from.Load()
		if err != nil {
			return nil, err
		}
		if err := trainer.Load(state); err != nil {
			return nil, fmt.Errorf("%s: %w", from.Path, err)
		}
		j.log.Info("resuming", "step", trainer.Step(), "position", trainer.Position())
	}

	if j.source != nil {
		if err := j.addSource(ctx, p, trainer.Position()); err != nil {
			return nil, err
		}
	}
	var outcome contrast.Summary
	p.add("train", func(ctx context.Context, in batch.Reader, _ batch.Writer) (err error) {
		outcome, err = trainer.Train(ctx, in, rec)
		return err
	}).WorkIsProgress = true
	err := p.run(ctx)
	live.finish()
	stopped := errors.Is(err, contrast.ErrStopped)
	if err != nil && !stopped {
		return nil, err
	}
	summary := j.summarise(outcome, stopped, dir)
	if finishErr := dir.Finish(*summary); finishErr != nil {
		return summary, errors.Join(finishErr, err)
	}
	if stopped {
		j.sig.tell(j.std.err) // before the digests, which are the last line
		return summary, errors.Join(j.report(summary), err)
	}
	if steps := j.cfg.Schedule.Steps; !outcome.Finished && steps > 0 {
		j.log.Info("the stream ended before the run's length", "steps", outcome.Steps, "of", steps)
	}
	return summary, j.report(summary)
}

// keepMemory holds the buffers to --mem and says what weights and activations
// take beside them.
func (j *trainJob) keepMemory() error {
	fixed, err := j.cfg.Memory()
	if err != nil {
		return err
	}
	j.log.Info("memory", "activations", humanize.IBytes(uint64(fixed.Activations)), "weights", humanize.IBytes(uint64(fixed.Weights)))
	var b buffers
	if j.source != nil {
		b = pairsOf(j.source, j.cfg.Batch, j.policy)
	}
	return j.common.keepWithin(b, fixed.Activations+fixed.Weights)
}

// addSource adds the stages before training, from a position on.
func (j *trainJob) addSource(ctx context.Context, p *pipeline, from batch.Position) error {
	cfg := j.source.Config()
	cfg.From, cfg.Epochs, cfg.Rejects = from, j.cfg.Schedule.Epochs, j.rejects
	source, err := openSource(ctx, cfg)
	if err != nil {
		return err
	}
	j.source = source
	p.addSource(source)
	stage, err := augmentStage(&j.common, &j.trainFlags.source, j.policy, j.cfg.Batch, j.rejects, &j.common.seed)
	if err != nil {
		return err
	}
	p.add("augment", stage)
	return nil
}

func (j *trainJob) summarise(o contrast.Summary, stopped bool, dir *sink.Run) *sink.Summary {
	epochs := float64(o.Epochs)
	if j.perEpoch > 0 {
		epochs = float64(o.Steps) / float64(j.perEpoch)
	}
	finished := o.Finished || j.source != nil && !stopped // a source ends with the last epoch
	return &sink.Summary{
		Digests: sink.Digests{Order: o.Order, Weights: o.Weights}, Steps: o.Steps, Epochs: epochs, Samples: o.Samples,
		Rejected: dir.Rejected(), Comparable: !dir.GaveUp(), Finished: finished, WallSeconds: o.Seconds,
		Versions: map[string]string{"clpipe": version(), "go": runtime.Version(), "kernel": kernel.Selected()},
	}
}

// report prints the outcome: with --json on standard output, and the digests as
// the last line on standard error, also where nobody reads the other.
func (j *trainJob) report(s *sink.Summary) error {
	var unread error
	if j.common.json {
		unread = json.NewEncoder(j.std.out).Encode(s)
	}
	if !j.common.quiet {
		fmt.Fprintf(j.std.err, "%s on %s in %v: %s\n", plural(s.Steps, "step"), plural(int(s.Samples), "sample"), time.Duration(s.WallSeconds*float64(time.Second)).Round(time.Second), j.run)
	}
	line, err := json.Marshal(map[string]any{"digests": s.Digests})
	if err != nil {
		return err
	}
	fmt.Fprintf(j.std.err, "%s\n", line)
	return unread
}
