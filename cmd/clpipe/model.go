package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/encoder/probe"
	"clpipe/ingest"
	"clpipe/ingest/remote"
	"clpipe/internal/kernel"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/spf13/pflag"
	yamlv3 "gopkg.in/yaml.v3"
)

// model is a trained encoder, as a run left it.
type model struct {
	config contrast.Config
	graph  *encoder.Graph
	params *encoder.Params
	step   int
}

// Weights of a checkpoint, by the name of the flag's value.
var weightGroups = map[string]string{"last": "encoder_q", "ema": "encoder_ema"}

// addWeights adds the choice of a checkpoint's weights.
func addWeights(fs *pflag.FlagSet, to *string) {
	fs.StringVar(to, "weights", "last", "the encoder's weights: last, or ema (the average that --ema kept in training)")
}

// loadModel reads the encoder of a run's last checkpoint, with its weights of a
// name.
func loadModel(dir, weights string) (*model, error) {
	group, ok := weightGroups[weights]
	if !ok {
		return nil, usagef("--weights is %q, want last or ema", weights)
	}
	if dir == "" {
		return nil, usagef("--run is missing: name a run directory, as in --run runs/first")
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("--run: %w: name a run directory that clpipe train has written", err)
	}
	checkpoint, _, err := sink.Latest(dir)
	if err != nil {
		return nil, err
	}
	if checkpoint == nil {
		return nil, noCheckpoint(dir)
	}
	text, err := checkpoint.Config()
	if err != nil {
		return nil, err
	}
	cfg, err := recordedConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(checkpoint.Path, sink.ConfigFile), err)
	}
	if weights == "ema" && cfg.EMA == 0 {
		return nil, usagef("--weights is ema, but %s kept no average: train with --ema 0.999", dir)
	}
	state, err := checkpoint.Group(group)
	if err != nil {
		return nil, err
	}
	g := cfg.WholeGraph()
	m := &model{config: cfg, graph: g, params: encoder.NewParams(g, cfg.Seed), step: checkpoint.Step}
	if err := m.params.Load(state); err != nil {
		return nil, fmt.Errorf("%s: %w", checkpoint.Path, err)
	}
	return m, nil
}

// noCheckpoint says why there is none in a directory.
func noCheckpoint(dir string) error {
	holds := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	switch {
	case !holds(sink.ConfigFile):
		return fmt.Errorf("%s: there is no %s: it is no run directory, name one that clpipe train has written", dir, sink.ConfigFile)
	case holds("state.json"):
		return fmt.Errorf("%s is a checkpoint itself: name the run that it belongs to", dir)
	}
	return fmt.Errorf("%s has no checkpoint yet", dir)
}

// recordedConfig returns the configuration that a run recorded: its settings
// are this program's flags.
func recordedConfig(text []byte) (contrast.Config, error) {
	var common commonFlags
	var method methodFlags
	var views viewFlags
	fs := pflag.NewFlagSet("config", pflag.ContinueOnError)
	common.add(fs)
	method.add(fs)
	views.add(fs)
	var recorded map[string]any
	if err := yamlv3.Unmarshal(text, &recorded); err != nil {
		return contrast.Config{}, err
	}
	for name, value := range recorded {
		if fs.Lookup(name) == nil {
			continue // of sources, and of how the run was carried out
		}
		if err := fs.Set(name, fmt.Sprint(value)); err != nil {
			return contrast.Config{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	cfg, err := method.config(fs, &common, views.size, nil)
	if err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// Outputs that embeddings can be taken from, by the name of the flag's value.
var featureOutputs = map[string]string{"backbone": "features", "projection": "embedding", "conv": "conv", "code": "y"}

// featuresHelp is the help of their flag, badFeatures the error of its values.
const featuresHelp = "backbone (pooled features) or projection (unit vectors behind the head); of dim also conv (the convolution below the features) or code"

func badFeatures(got string) error {
	return usagef("--features is %q, want backbone or projection, of dim also conv or code", got)
}

// rawPixels is the output that stands for the images themselves.
const rawPixels = "pixels"

// pixelSide is the largest side of images taken as raw pixels: their features
// grow with its square.
const pixelSide = 32

// embedding is the way from a source of images to the embeddings of a network.
type embedding struct {
	common *commonFlags
	source *sourceFlags
	log    *slog.Logger
	graph  *encoder.Graph
	params *encoder.Params
	size   int
	conv   kernel.Algorithm
	output string    // of the graph, or rawPixels
	shown  io.Writer // shows how many images have come; nil: nothing does
}

// embedBatch is how many images go through the network at once.
const embedBatch = 128

// run sends the embeddings of a source's images to the stage to, with what else
// it takes: the classes' names are in the stream's metadata.
func (e *embedding) run(ctx context.Context, src string, to batch.Stage, rejects *batch.Rejects) error {
	cfg, err := e.source.ingestConfig(e.common, rejects, e.log)
	if err != nil {
		return err
	}
	cfg.Sources, cfg.Encoded, cfg.Offsets, cfg.Epochs = []string{src}, true, true, 1
	source, err := ingest.Open(ctx, cfg)
	if err != nil {
		return err
	}
	policy, err := e.policy()
	if err != nil {
		return err
	}
	// How many features gather is known at the end: Go's collector has no limit to
	// keep below which they may fill.
	if _, err := e.common.fit(pairsOf(source, embedBatch, policy)); err != nil {
		return err
	}
	views, err := e.views(policy, rejects)
	if err != nil {
		return err
	}
	p := e.common.pipeline(e.log)
	p.addSource(source)
	p.add("augment", views)
	if e.output != rawPixels {
		embedder, err := e.embedder()
		if err != nil {
			return err
		}
		p.add("embed", embedder.Stage).WorkIsProgress = true
	}
	if e.shown != nil {
		count := newCounter(e.shown, e.common.quiet, "images of "+remote.Redact(src), 0)
		defer count.finish()
		to = counted(to, count)
	}
	p.add("sink", to)
	return p.run(ctx)
}

// policy is the network's view of an image, without augmentation.
func (e *embedding) policy() (*augment.Policy, error) {
	size := e.size
	if e.output == rawPixels {
		size = min(size, pixelSide)
	}
	return augment.Builtin("none", size)
}

// views returns the stage that makes the views of a policy.
func (e *embedding) views(policy *augment.Policy, rejects *batch.Rejects) (batch.Stage, error) {
	return augmentStage(e.common, e.source, policy, embedBatch, rejects, &e.common.seed)
}

func (e *embedding) embedder() (*encoder.Embedder, error) {
	return encoder.NewEmbedder(encoder.EmbedConfig{
		Graph: e.graph, Params: e.params, Output: e.output, Batch: embedBatch, Conv: e.conv, Workers: e.common.workers, Mem: memory.DefaultAllocator,
	})
}

// features returns the labelled features of a source.
func (e *embedding) features(ctx context.Context, src string) (*probe.Features, error) {
	rejects, err := e.source.namedRejects(e.log)
	if err != nil {
		return nil, err
	}
	f := &probe.Features{}
	collect := probe.Collect(f)
	if e.output == rawPixels {
		collect = probe.CollectPixels(f)
	}
	if err := e.run(ctx, src, collect, rejects); err != nil {
		return nil, fmt.Errorf("%s: %w", remote.Redact(src), err)
	}
	return f, nil
}
