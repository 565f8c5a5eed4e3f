package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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
	k           int
	temperature float64
}

// probeCommand measures what an encoder has learned.
func probeCommand(std stdio, sig *signals) *cobra.Command {
	var flags probeFlags
	cmd := &cobra.Command{
		Use:   "probe --run DIR --train URL --test URL",
		Short: "Measure what the encoder learned: linear probe and kNN",
		Long: `Classifies labelled test images by the frozen features of a run's encoder, by a
linear probe and by weighted nearest neighbours, and does the same with the same
encoder at random initialisation: the difference is what was learned.`,
		Example: `  clpipe probe --run runs/first --train 's3shards/train-*.tar' --test 's3shards/test-*.tar'
  clpipe probe --run runs/first --train labelled/train --test labelled/test --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd.Flags()); err != nil {
				return err
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := flags.common.log(std)
			if err != nil {
				return err
			}
			results, err := flags.measure(ctx, log)
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
	f.source.addLimits(fs)
	fs.StringVar(&f.run, "run", "", "run directory")
	fs.StringVar(&f.train, "train", "", "labelled images to learn from")
	fs.StringVar(&f.test, "test", "", "labelled images to classify")
	fs.IntVar(&f.source.limit, "limit", 0, "samples read of each (0: all)")
	fs.StringVar(&f.features, "features", "backbone", "backbone (pooled features) or projection (unit vectors behind the head)")
	fs.IntVar(&f.k, "k", 200, "neighbours of kNN")
	fs.Float64Var(&f.temperature, "knn-temperature", 0.1, "temperature of kNN's votes")
}

// probeResult is a line of the outcome.
type probeResult struct {
	Probe    string     `json:"probe"`  // linear or knn
	Init     string     `json:"init"`   // trained or random
	Labels   float64    `json:"labels"` // share of the training labels used
	Top1     float64    `json:"top1"`
	CI       [2]float64 `json:"ci"`
	Features string     `json:"features"`
	L2       float64    `json:"l2,omitempty"`
	Step     int        `json:"step"`
}

// measure probes the trained encoder and the random one.
func (f *probeFlags) measure(ctx context.Context, log *slog.Logger) ([]probeResult, error) {
	output, ok := featureOutputs[f.features]
	if !ok {
		return nil, usagef("--features is %q, want backbone or projection", f.features)
	}
	if f.train == "" || f.test == "" {
		return nil, usagef("--train and --test are needed: labelled images to learn from and to classify")
	}
	if f.k < 1 || f.temperature <= 0 {
		return nil, usagef("-k is %d and --knn-temperature %g, want both above 0", f.k, f.temperature)
	}
	m, err := loadModel(f.run)
	if err != nil {
		return nil, err
	}
	var results []probeResult
	for _, init := range []string{"trained", "random"} {
		params, step := m.params, m.step
		if init == "random" {
			params, step = encoder.NewParams(m.graph, m.seed), 0
		}
		e := &embedding{common: &f.common, source: &f.source, log: log, graph: m.graph, params: params, size: m.size, conv: m.conv, output: output}
		train, err := e.features(ctx, f.train)
		if err != nil {
			return nil, err
		}
		test, err := e.features(ctx, f.test)
		if err != nil {
			return nil, err
		}
		log.Info("probing", "init", init, "train", train.N(), "test", test.N(), "features", train.D)
		linear, l2, err := probe.Linear(train, test, probe.LinearConfig{Seed: f.common.seed, Workers: f.common.workers})
		if err != nil {
			return nil, err
		}
		knn := probe.KNN(train, test, probe.KNNConfig{K: f.k, Temperature: f.temperature, Workers: f.common.workers})
		results = append(results,
			probeResult{"linear", init, 1, linear.Top1, linear.CI, f.features, l2, step},
			probeResult{"knn", init, 1, knn.Top1, knn.CI, f.features, 0, step})
	}
	return results, nil
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
	fmt.Fprintln(w, "probe\tinit\ttop-1\t95 % interval")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%.1f %%\t[%.1f, %.1f]\n", r.Probe, r.Init, 100*r.Top1, 100*r.CI[0], 100*r.CI[1])
	}
	return w.Flush()
}
