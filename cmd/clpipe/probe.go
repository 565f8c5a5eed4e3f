package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"text/tabwriter"

	"clpipe/encoder"
	"clpipe/encoder/probe"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// probeFlags are the options of a probe.
type probeFlags struct {
	common      commonFlags
	source      sourceFlags
	run         string
	train, test string
	features    string
	weights     string
	baselines   []string
	probes      probeOptions
}

// probeCommand measures what an encoder has learned.
func probeCommand(std stdio, sig *signals) *cobra.Command {
	var flags probeFlags
	cmd := &cobra.Command{
		Use:   "probe --run DIR --train URL --test URL",
		Short: "Measure what the encoder learned: linear probe, kNN, MLP, few labels, fine-tuning",
		Long: `Classifies labelled test images by the frozen features of a run's encoder, by a
linear probe and by weighted nearest neighbours, and does the same with the same
encoder at random initialisation: the difference is what was learned. With
--probes mlp also by a hidden layer, with --labels by a few of the labels, and with
--baselines pixels beside the raw pixels. --probes finetune trains the encoder too,
from its weights and from random ones, on crops and flips of the labelled images,
which it keeps in memory.`,
		Example: `  clpipe probe --run runs/first --train 's3shards/train-*.tar' --test 's3shards/test-*.tar'
  clpipe probe --run runs/first --train labelled/train --test labelled/test --json
  clpipe probe --run runs/first --train labelled/train --test labelled/test --probes linear,knn,mlp --labels 1,0.1,0.01 --baselines random,pixels
  clpipe probe --run runs/first --train labelled/train --test labelled/test --probes finetune --labels 0.01,0.1`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := flags.common.log(std)
			if err != nil {
				return err
			}
			results, err := flags.measure(ctx, log, std.err)
			if err != nil {
				return err
			}
			return flags.print(std, results)
		},
	}
	flags.add(cmd.Flags())
	return cmd
}

func (f *probeFlags) add(fs *pflag.FlagSet) {
	f.common.add(fs)
	f.source.addRemote(fs)
	f.source.addLimits(fs)
	f.source.addExif(fs)
	fs.StringVar(&f.run, "run", "", "run directory")
	fs.StringVar(&f.train, "train", "", "labelled images to learn from")
	fs.StringVar(&f.test, "test", "", "labelled images to classify")
	fs.IntVar(&f.source.limit, "limit", 0, "samples read of each (0: all)")
	addWeights(fs, &f.weights)
	fs.StringVar(&f.features, "features", "backbone", featuresHelp)
	fs.StringSliceVar(&f.baselines, "baselines", []string{"random"}, "random (the same encoder untrained) and pixels (of the images at 32 px at most)")
	f.probes.add(fs)
}

// probeResult is a line of the outcome.
type probeResult struct {
	Probe    string     `json:"probe"`    // linear, knn, mlp or finetune
	Init     string     `json:"init"`     // trained, random or pixels
	Labels   float64    `json:"labels"`   // share of the training labels used
	Top1     float64    `json:"top1"`     // the mean, where subsets of the labels were drawn
	CI       [2]float64 `json:"ci"`       // 95 %: Wilson's of the test images, Student's over the subsets
	Balanced float64    `json:"balanced"` // mean over the classes of the share that is right, likewise
	Std      float64    `json:"std,omitempty"`
	Subsets  int        `json:"subsets,omitempty"`
	Features string     `json:"features"`
	L2       float64    `json:"l2,omitempty"`
	Step     int        `json:"step"`
}

// measure probes the trained encoder and the baselines; w is shown how it goes on.
func (f *probeFlags) measure(ctx context.Context, log *slog.Logger, w io.Writer) ([]probeResult, error) {
	output, ok := featureOutputs[f.features]
	if !ok {
		return nil, badFeatures(f.features)
	}
	if f.train == "" || f.test == "" {
		return nil, usagef("--train and --test are needed: labelled images to learn from and to classify")
	}
	if err := f.probes.check(); err != nil {
		return nil, err
	}
	for _, b := range f.baselines {
		if b != "random" && b != "pixels" {
			return nil, usagef("--baselines has %q, want random or pixels", b)
		}
	}
	m, err := loadModel(f.run, f.weights)
	if err != nil {
		return nil, err
	}
	if err := sameClasses(ctx, &f.common, f.source, log, f.train, f.test); err != nil {
		return nil, err
	}
	var results []probeResult
	for _, init := range append([]string{"trained"}, f.baselines...) {
		e := &embedding{common: &f.common, source: &f.source, log: log, graph: m.graph, params: m.params, size: m.config.Encoder.Size, conv: m.config.Conv, output: output, shown: w}
		step, features := 0, f.features
		switch init {
		case "trained":
			step = m.step
		case "random":
			e.params = encoder.NewParams(m.graph, m.config.Seed)
		case "pixels":
			e.output, features = rawPixels, rawPixels
		}
		log.Info("probing", "init", init)
		of, err := f.probe(ctx, e, m)
		if err != nil {
			return nil, err
		}
		for _, r := range of {
			r.Init, r.Features, r.Step = init, features, step
			if r.Probe == fineTuning {
				r.Features = "backbone" // whose features the classifier takes, whatever frozen ones are
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// probe runs all kinds of probes on a network.
func (f *probeFlags) probe(ctx context.Context, e *embedding, m *model) ([]probeResult, error) {
	var results []probeResult
	if len(f.probes.frozen()) > 0 {
		train, err := e.features(ctx, f.train)
		if err != nil {
			return nil, err
		}
		test, err := e.features(ctx, f.test)
		if err != nil {
			return nil, err
		}
		if results, err = f.probes.run(train, test, f.common.seed, f.common.workers); err != nil {
			return nil, err
		}
	}
	if e.output == rawPixels || !slices.Contains(f.probes.kinds, fineTuning) {
		return results, nil
	}
	tune := &fineTune{embedding: e, config: m.config, epochs: f.probes.epochs}
	more, err := f.probes.over([]string{fineTuning}, func(_ string, share float64, number int) (probe.Score, float64, error) {
		score, err := tune.run(ctx, f.train, f.test, share, number)
		return score, 0, err
	})
	return append(results, more...), err
}

// probeOptions say which probes are run.
type probeOptions struct {
	kinds       []string
	labels      []float64
	k           int
	temperature float64
	epochs      int // of fine-tuning; 0: the published number
}

func (o *probeOptions) add(fs *pflag.FlagSet) {
	fs.StringSliceVar(&o.kinds, "probes", []string{"linear", "knn"}, "linear, knn, mlp (200 hidden units with dropout) and finetune (all weights trained with a classifier: SGD, crops and flips)")
	fs.IntVar(&o.epochs, "finetune-epochs", 0, "epochs of finetune (default 60 up to 1 % of the labels, else 30)")
	fs.Float64SliceVar(&o.labels, "labels", []float64{1}, "`shares` of the training labels, as 1,0.1,0.01; below 1 the mean over three draws of as many labels of every class")
	fs.Lookup("labels").DefValue = "1" // pflag would show 1.000000
	fs.IntVar(&o.k, "k", 200, "neighbours of kNN")
	fs.Float64Var(&o.temperature, "knn-temperature", 0.1, "temperature of kNN's votes")
}

func (o *probeOptions) check() error {
	for _, kind := range o.kinds {
		if !slices.Contains([]string{"linear", "knn", "mlp", fineTuning}, kind) {
			return usagef("--probes has %q, want linear, knn, mlp or finetune", kind)
		}
	}
	for _, share := range o.labels {
		if !(share > 0 && share <= 1) {
			return usagef("--labels has %g, want shares in (0,1]", share)
		}
	}
	if o.epochs < 0 {
		return usagef("--finetune-epochs is %d, want at least 0", o.epochs)
	}
	if o.k < 1 || !(o.temperature > 0) {
		return usagef("--k is %d and --knn-temperature %g, want both above 0", o.k, o.temperature)
	}
	return nil
}

// run probes features by all kinds but fine-tuning.
func (o *probeOptions) run(train, test *probe.Features, seed uint64, workers int) ([]probeResult, error) {
	return o.over(o.frozen(), func(kind string, share float64, number int) (probe.Score, float64, error) {
		some, err := probe.FewLabels(train, share, seed, number)
		if err != nil {
			return probe.Score{}, 0, err
		}
		return o.one(kind, some, test, seed, workers)
	})
}

// over runs kinds of probes with every share of the labels, with few of them on
// each of the draws: what it returns lacks only whose they are.
func (o *probeOptions) over(kinds []string, run func(kind string, share float64, number int) (probe.Score, float64, error)) ([]probeResult, error) {
	var results []probeResult
	for _, share := range o.labels {
		for _, kind := range kinds {
			r := probeResult{Probe: kind, Labels: share}
			if share == 1 {
				score, l2, err := run(kind, share, 0)
				if err != nil {
					return nil, err
				}
				r.Top1, r.CI, r.Balanced, r.L2 = score.Top1, score.CI, score.Balanced, l2
				results = append(results, r)
				continue
			}
			var top1, balanced []float64
			for number := range probe.Subsets {
				score, _, err := run(kind, share, number)
				if err != nil {
					return nil, fmt.Errorf("with %g of the labels: %w", share, err)
				}
				top1, balanced = append(top1, score.Top1), append(balanced, score.Balanced)
			}
			r.Top1, r.Std = probe.MeanStd(top1)
			r.Balanced, _ = probe.MeanStd(balanced)
			const student = 4.302653 // 97.5 % of Student's t with Subsets-1 = 2 degrees of freedom
			half := student * r.Std / math.Sqrt(probe.Subsets)
			r.CI, r.Subsets = [2]float64{max(0, r.Top1-half), min(1, r.Top1+half)}, probe.Subsets
			results = append(results, r)
		}
	}
	return results, nil
}

// fineTuning is the kind of probe that trains the encoder too.
const fineTuning = "finetune"

// frozen returns the kinds of probes on frozen features.
func (o *probeOptions) frozen() []string {
	return slices.DeleteFunc(slices.Clone(o.kinds), func(kind string) bool { return kind == fineTuning })
}

// one runs a probe; l2 is the linear one's penalty.
func (o *probeOptions) one(kind string, train, test *probe.Features, seed uint64, workers int) (score probe.Score, l2 float64, err error) {
	switch kind {
	case "linear":
		return probe.Linear(train, test, probe.LinearConfig{Seed: seed, Workers: workers})
	case "mlp":
		score, err = probe.MLP(train, test, probe.MLPConfig{Seed: seed, Workers: workers})
		return score, 0, err
	}
	return probe.KNN(train, test, probe.KNNConfig{K: o.k, Temperature: o.temperature, Workers: workers}), 0, nil
}

func (f *probeFlags) print(std stdio, results []probeResult) error {
	if f.common.json {
		enc := json.NewEncoder(std.out)
		for _, r := range results {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "probe\tinit\tlabels\ttop-1\t95 % interval")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%g %%\t%.1f %%\t[%.1f, %.1f]\n", r.Probe, r.Init, 100*r.Labels, 100*r.Top1, 100*r.CI[0], 100*r.CI[1])
	}
	return w.Flush()
}
