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
	"slices"
	"strconv"
	"strings"

	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/encoder/probe"
	"clpipe/ingest/remote"
	"clpipe/sink"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// compareFlags are those of training, which hold for every method, and what is
// compared.
type compareFlags struct {
	train      trainFlags
	test       string
	methods    []string
	baselines  []string
	seeds      int
	probeLimit int
	weights    string
	probes     probeOptions
}

// compareCommand trains the methods with the same budget and measures each.
func compareCommand(std stdio, sig *signals) *cobra.Command {
	var flags compareFlags
	cmd := &cobra.Command{
		Use:   "compare --src TRAIN --test TEST --budget 30m",
		Short: "Train every method with the same budget and compare what was learned",
		Long: `Trains each method on the same images for the same time (--budget) or the same
number of steps (--steps), with several seeds, and measures what was learned by
linear probe, kNN and MLP probe with all labels, 10 % and 1 % of them. Beside them
stand every method's network untrained, the residual network trained on all labels
with the same budget, the raw pixels, and the share of the commonest class. --src and
--test need labels; only the supervised baseline and the probes see them.

Options of training hold for every method that takes them. A method that does not fit,
or diverges, is left out, and the table says why.

The directory named by --run receives the table (table.md, table.json), the picture
(table.png), and every run with its checkpoints; table and picture grow with each part
that is finished. What is stopped goes on with --resume: finished parts are kept.`,
		Example: `  clpipe compare --src train/ --test test/ --methods all --budget 30m --seeds 3 --run runs/compare
  clpipe compare --src train/ --test test/ --methods moco-cifar,dim --steps 500 --width 0.25 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := &comparison{compareFlags: flags, fs: cmd.Flags(), std: std, sig: sig}
			return c.do(cmd.Context())
		},
	}
	flags.add(cmd.Flags())
	return cmd
}

func (f *compareFlags) add(fs *pflag.FlagSet) {
	f.train.add(fs)
	fs.StringVar(&f.test, "test", "", "labelled images to classify")
	fs.StringSliceVar(&f.methods, "methods", []string{"all"}, "methods to train, or all")
	fs.StringSliceVar(&f.baselines, "baselines", []string{"supervised", "random", "pixels"}, "supervised (on the labels), random (each network untrained), pixels")
	fs.IntVar(&f.seeds, "seeds", 3, "runs of each method, with seeds from --seed on")
	fs.IntVar(&f.probeLimit, "probe-limit", 0, "images of each set that the probes read, drawn by the seed (0: all)")
	addWeights(fs, &f.weights)
	fs.IntVar(&f.probes.k, "k", 200, "neighbours of kNN")
	fs.Float64Var(&f.probes.temperature, "knn-temperature", 0.1, "temperature of kNN's votes")
	f.probes.kinds, f.probes.labels = []string{"linear", "knn", "mlp"}, []float64{1, 0.1, 0.01}
	fs.Lookup("run").Usage = "directory of the comparison (default runs/compare)"
	for _, name := range append(ofOneRun, "in") {
		fs.Lookup(name).Hidden = true
	}
}

// ofOneRun are options of training that mean nothing to several runs side by side,
// or would take some of their time.
var ofOneRun = []string{"method", "init", "rank", "world", "val", "val-train", "eval-every"}

// comparison is the command under way.
type comparison struct {
	compareFlags
	fs  *pflag.FlagSet
	std stdio
	sig *signals
	log *slog.Logger

	dir     string
	skipped []string // methods that do not fit, with the reason
}

// A cell is one method with one seed, measured. It is a file once it is done.
type cell struct {
	Method    string        `json:"method"` // or supervised, pixels, or random and a network's name
	Seed      uint64        `json:"seed"`
	Steps     int           `json:"steps,omitempty"`
	Samples   int64         `json:"samples,omitempty"`
	Seconds   float64       `json:"seconds,omitempty"` // of training
	Majority  float64       `json:"majority"`          // share of the test images that are of the commonest class of --src
	Results   []probeResult `json:"results"`
	trainable bool
	of        string // of an untrained network: the method that trains it
}

func (c *comparison) do(ctx context.Context) error {
	var err error
	if c.log, err = c.train.common.log(c.std); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	soft, cancel := c.sig.stoppable(ctx)
	err = lookForLabels(soft, &c.train.common, c.train.source, c.log, c.train.source.src[0], c.test)
	cancel()
	if err != nil {
		return err
	}
	if err := c.openDirectory(); err != nil {
		return err
	}
	var cells []cell
	var table comparedTable
	for _, plan := range c.plan() {
		if plan.of != "" {
			name, err := c.network(plan, cells)
			if err != nil {
				return err
			}
			if name == "" {
				continue
			}
			plan.Method += " " + name
		}
		done, err := c.measured(ctx, plan)
		if err != nil && !c.goesOnWithout(plan, err) {
			return fmt.Errorf("%s: %w", plan.name(), err)
		}
		if err != nil {
			who := plan.Method
			if diverged(err) { // which other seeds need not
				who = plan.name()
			}
			if s := fmt.Sprintf("%s: %v", who, err); !slices.Contains(c.skipped, s) {
				c.skipped = append(c.skipped, s)
			}
			c.log.Warn("left out", "method", who, "why", err)
		} else {
			cells = append(cells, done)
		}
		if len(cells) == 0 {
			continue
		}
		// After each cell, so that there is something to look at.
		table = tabulate(cells)
		if err := c.write(table); err != nil {
			return err
		}
	}
	if len(cells) == 0 {
		return fmt.Errorf("no method could be trained: %s", strings.Join(c.skipped, "; "))
	}
	return c.print(table)
}

// goesOnWithout reports whether there is something to compare without a cell that
// ended in an error: one of training, the method's own with these images and options.
// The only method must fit them, but one of its seeds may diverge.
func (c *comparison) goesOnWithout(p cell, err error) bool {
	var usage usageError
	var short *contrast.EpochError
	misfit := errors.As(err, &usage) || errors.As(err, &short)
	only := len(c.methods) == 1 && p.Method == c.methods[0]
	return p.trainable && (diverged(err) || misfit && !only)
}

func diverged(err error) bool {
	var e *contrast.DivergedError
	return errors.As(err, &e)
}

// check settles the methods and refuses what cannot be compared.
func (c *comparison) check() error {
	if len(c.train.source.src) != 1 || c.test == "" {
		return usagef("one --src and --test are needed: labelled images to learn from and to classify")
	}
	if c.train.source.src[0] == "-" || changed(c.fs, "in") {
		return usagef("--src is read many times: it cannot be a stream")
	}
	if !changed(c.fs, "budget") && !changed(c.fs, "steps") && !changed(c.fs, "epochs") {
		return usagef("--budget is missing: how long each method trains, as 30m (or --steps, --epochs)")
	}
	if c.seeds < 1 || c.seeds > 1000 {
		return usagef("--seeds is %d, want 1 to 1000", c.seeds)
	}
	if err := c.probes.check(); err != nil {
		return err
	}
	if c.weights == "ema" && !changed(c.fs, "ema") {
		return usagef("--weights is ema, but no average is kept: give --ema 0.999 too")
	}
	if _, ok := weightGroups[c.weights]; !ok {
		return usagef("--weights is %q, want last or ema", c.weights)
	}
	for _, name := range ofOneRun {
		if changed(c.fs, name) {
			return usagef("--%s is no option of compare, which chooses the methods (--methods) and measures them (--test) itself", name)
		}
	}
	if slices.Contains(c.methods, "all") {
		c.methods = contrast.Contrastive()
	}
	for i, m := range c.methods {
		if !slices.Contains(contrast.Methods(), m) || m == supervisedBaseline {
			return usagef("--methods has %q, want all or some of %v", m, append([]string{"moco"}, contrast.Contrastive()...))
		}
		if slices.Contains(c.methods[:i], m) { // its seeds would count twice
			return usagef("--methods has %q twice", m)
		}
	}
	for _, b := range c.baselines {
		if !slices.Contains([]string{supervisedBaseline, randomBaseline, rawPixels}, b) {
			return usagef("--baselines has %q, want supervised, random or pixels", b)
		}
	}
	return nil
}

// Baselines beside rawPixels.
const (
	supervisedBaseline = "supervised"
	randomBaseline     = "random"
)

// openDirectory makes the comparison's directory, or finds the one to go on with.
func (c *comparison) openDirectory() error {
	c.dir = c.train.run
	if c.dir == "" {
		c.dir = filepath.Join("runs", "compare")
	}
	settings, err := c.settings()
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, "settings.txt")
	there, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if entries, err := os.ReadDir(c.dir); err == nil && len(entries) > 0 {
			return usagef("%s is not empty and holds no comparison: name another directory with --run", c.dir)
		}
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			return err
		}
		if err := replaceText(path, settings+"\n"); err != nil {
			return err
		}
	case err != nil:
		return err
	case !c.train.resume:
		return usagef("%s holds a comparison: go on with --resume, or name another directory with --run", c.dir)
	case strings.TrimSpace(string(there)) != settings:
		return usagef("%s was begun with other settings (%s), now %s", c.dir, strings.TrimSpace(string(there)), settings)
	}
	return os.MkdirAll(filepath.Join(c.dir, "cells"), 0o755)
}

// settings are the options that decide a cell's figures, as a command line
// without secrets. A preset is one: what it stands for is not written out here; of a
// policy file what it says counts.
func (c *comparison) settings() (string, error) {
	args := c.trainingArgs(func(flag string) bool { return flag == "preset" || !slices.Contains(notResult, flag) })
	for _, flag := range []string{"probe-limit", "weights", "k", "knn-temperature", "test"} {
		args = append(args, "--"+flag+"="+c.fs.Lookup(flag).Value.String())
	}
	sum, err := c.train.views.sum()
	if err != nil {
		return "", usagef("--policy: %w", err)
	}
	if sum != "" {
		args = append(args, "--"+policySum+"="+sum)
	}
	return shellLine(redacted(args)), nil
}

// redacted returns options as --flag=value without what may be secret in addresses.
func redacted(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if flag, value, ok := strings.Cut(a, "="); ok {
			out[i] = flag + "=" + remote.Redact(value)
		}
	}
	return out
}

func replaceText(path, text string) error {
	return sink.Replace(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// notTraining are options of compare itself, or set for each run.
var notTraining = []string{
	"run", "resume", "seed", "test", "methods", "baselines", "seeds", "probe-limit", "weights", "k", "knn-temperature", "json", "quiet", "config",
	"log-level", "workers", "mem",
}

// trainingArgs returns the options given for training, those that a method takes.
func (c *comparison) trainingArgs(takes func(flag string) bool) []string {
	var args []string
	c.fs.Visit(func(f *pflag.Flag) {
		if slices.Contains(notTraining, f.Name) || takes != nil && !takes(f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			args = append(args, "--"+f.Name+"="+v)
		}
	})
	return args
}

// plan lists the cells, a seed at a time, so that a comparison that is stopped
// has compared something.
func (c *comparison) plan() []cell {
	var cells []cell
	for i := range c.seeds {
		seed := c.train.common.seed + uint64(i)
		for _, m := range c.methods {
			cells = append(cells, cell{Method: m, Seed: seed, trainable: true})
		}
		if slices.Contains(c.baselines, supervisedBaseline) {
			cells = append(cells, cell{Method: supervisedBaseline, Seed: seed, trainable: true})
		}
		if slices.Contains(c.baselines, randomBaseline) {
			for _, m := range c.methods {
				cells = append(cells, cell{Method: randomBaseline, Seed: seed, of: m})
			}
		}
		if slices.Contains(c.baselines, rawPixels) {
			cells = append(cells, cell{Method: rawPixels, Seed: seed})
		}
	}
	return cells
}

// network returns the name of the network of an untrained cell's method, none if
// the method was left out, or if its network is that of one before it. Networks that
// differ only in how they normalise pixels go by a method's name too, but for those
// of the first: of all methods that began with the seed, so that one that diverged
// gives no other its name.
func (c *comparison) network(p cell, done []cell) (string, error) {
	trained := func(method string) bool {
		return slices.ContainsFunc(done, func(d cell) bool { return d.Method == method && d.Seed == p.Seed })
	}
	if !trained(p.of) {
		return "", nil
	}
	mine, err := c.config(p.of, p.Seed)
	if err != nil {
		return "", err
	}
	name, first := "", true
	for _, method := range c.methods[:slices.Index(c.methods, p.of)+1] {
		cfg, err := c.config(method, p.Seed)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it did not fit, which no seed changes
		}
		if err != nil {
			return "", err
		}
		if cfg.EncoderName() != mine.EncoderName() {
			continue
		}
		if cfg.Encoder.Normalize == mine.Encoder.Normalize {
			if method != p.of && trained(method) {
				return "", nil
			}
			if name == "" {
				name = mine.EncoderName()
				if !first {
					name += " (" + method + ")"
				}
			}
		}
		first = false
	}
	return name, nil
}

// config returns the configuration that a method's run recorded.
func (c *comparison) config(method string, seed uint64) (contrast.Config, error) {
	path := filepath.Join(c.run(cell{Method: method, Seed: seed}), sink.ConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return contrast.Config{}, err
	}
	cfg, err := recordedConfig(text)
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

func (p cell) name() string {
	return fmt.Sprintf("%s-seed%d", strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(p.Method), p.Seed)
}
func (c *comparison) run(p cell) string   { return filepath.Join(c.dir, "runs", p.name()) }
func (c *comparison) place(p cell) string { return filepath.Join(c.dir, "cells", p.name()+".json") }

// measured returns a cell, from its file if it is done already.
func (c *comparison) measured(ctx context.Context, p cell) (cell, error) {
	text, err := os.ReadFile(c.place(p))
	if err == nil {
		var done cell
		if err := json.Unmarshal(text, &done); err != nil {
			return p, fmt.Errorf("%s: %w", c.place(p), err)
		}
		c.log.Info("done before", "cell", p.name())
		return done, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if p.trainable {
		if err := c.trainCell(ctx, &p); err != nil {
			return p, err
		}
	}
	soft, cancel := c.sig.stoppable(ctx)
	defer cancel()
	if p.Results, err = c.probeCell(soft, &p); err != nil {
		return p, err
	}
	if text, err = json.Marshal(p); err != nil {
		return p, err
	}
	return p, replaceText(c.place(p), string(text)+"\n")
}

// trainCell runs the main job as its command line would.
func (c *comparison) trainCell(ctx context.Context, p *cell) error {
	method, preset, policy := p.Method, "", ""
	if v, err := c.fs.GetString("preset"); err == nil {
		preset = v
	}
	takes := func(flag string) bool { return true }
	if recipe, err := contrast.Recipe(method, max(c.train.views.size, 32), contrast.Preset(preset)); err == nil {
		takes = func(flag string) bool {
			if strings.HasPrefix(flag, "local-") && !slices.Contains(contrast.Locals(), recipe.Method) {
				return false
			}
			return !slices.Contains(contrast.Particular(), flag) || recipe.Uses(flag)
		}
	}
	if method == supervisedBaseline {
		policy = supervisedBaseline // another --policy makes pairs
	}
	args := append(c.trainingArgs(func(flag string) bool { return takes(flag) && (policy == "" || flag != "policy" && flag != "dim") }),
		"--method", method, "--seed", strconv.FormatUint(p.Seed, 10), "--run", c.run(*p), "--resume")
	if method == supervisedBaseline {
		soft, cancel := c.sig.stoppable(ctx)
		defer cancel()
		source := c.train.source.whole() // --probe-limit may miss a class
		all := &embedding{common: &c.train.common, source: &source, log: c.log}
		labelled, err := all.files(soft, source.src[0], noFiles)
		if err != nil {
			return err
		}
		args = append(args, "--dim", strconv.Itoa(max(slices.Max(labelled.labels)+1, 2)))
	}
	c.log.Info("training", "cell", p.name(), "command", "clpipe "+shellLine(redacted(args)))
	job := &trainJob{fs: pflag.NewFlagSet("train", pflag.ContinueOnError), std: stdio{in: c.std.in, out: c.std.err, err: c.std.err}, sig: c.sig}
	job.add(job.fs)
	if err := job.fs.Parse(args); err != nil {
		return usageError{err}
	}
	common, mine := &job.common, c.train.common
	common.quiet, common.logLevel, common.workers, common.mem = mine.quiet, mine.logLevel, mine.workers, mine.mem
	summary, err := job.do(ctx)
	if err != nil {
		return err
	}
	p.Steps, p.Samples, p.Seconds = summary.Steps, summary.Samples, summary.WallSeconds
	return nil
}

// probeCell measures the features of a cell. The supervised network has seen all
// labels: with few of them there is nothing to measure.
func (c *comparison) probeCell(ctx context.Context, p *cell) ([]probeResult, error) {
	probes, weights := c.probes, c.weights
	if p.Method == supervisedBaseline {
		probes.labels = []float64{1}
	}
	e := &embedding{output: featureOutputs["backbone"]}
	init := "trained"
	switch p.Method {
	case rawPixels:
		size, err := c.viewSize()
		if err != nil {
			return nil, err
		}
		e.size, e.output, init = size, rawPixels, rawPixels
	default:
		run := c.run(*p)
		if p.of != "" {
			run, init, weights = c.run(cell{Method: p.of, Seed: p.Seed}), randomBaseline, "last"
		}
		m, err := loadModel(run, weights)
		if err != nil {
			return nil, err
		}
		e.graph, e.params, e.size, e.conv = m.graph, m.params, m.config.Encoder.Size, m.config.Conv
		if init == randomBaseline {
			e.params = encoder.NewParams(m.graph, p.Seed)
		}
	}
	train, err := c.features(ctx, e, c.train.source.src[0], p.Seed)
	if err != nil {
		return nil, err
	}
	test, err := c.features(ctx, e, c.test, p.Seed)
	if err != nil {
		return nil, err
	}
	c.log.Info("probing", "cell", p.name(), "train", train.N(), "test", test.N(), "features", train.D)
	p.Majority = probe.Majority(train, test).Top1
	results, err := probes.run(train, test, p.Seed, c.train.common.workers)
	for i := range results {
		results[i].Init, results[i].Features, results[i].Step = init, e.output, p.Steps
	}
	return results, err
}

// viewSize is the side of views in the runs.
func (c *comparison) viewSize() (int, error) {
	for _, m := range append([]string{supervisedBaseline}, c.methods...) {
		if cfg, err := c.config(m, c.train.common.seed); err == nil {
			return cfg.Encoder.Size, nil
		}
	}
	return 0, errors.New("no run of this seed is there to take the size of the views from")
}

// features returns the labelled features of a source: all, or --probe-limit drawn.
func (c *comparison) features(ctx context.Context, e *embedding, src string, seed uint64) (*probe.Features, error) {
	common, source := c.train.common, c.train.source.whole()
	common.seed = seed
	source.shuffle, source.limit = c.probeLimit > 0, c.probeLimit
	e.common, e.source, e.log, e.shown = &common, &source, c.log, c.std.err
	return e.features(ctx, src)
}
