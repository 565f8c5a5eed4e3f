package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/sink"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// embedCommand writes the embeddings of images.
func embedCommand(std stdio, sig *signals) *cobra.Command {
	var job embedJob
	cmd := &cobra.Command{
		Use:   "embed --run DIR [--src URL] -o FILE.parquet",
		Short: "Write the embeddings of images, to Parquet or as a stream",
		Long: `Runs the encoder of a run's last checkpoint over images, once each and without
augmentation, and writes their embeddings with id and label. The images come from
shards (--src) or from a stream of images or pairs, of which the anchors count.
What is written is Parquet, or an Arrow IPC stream (embeddings/1) where -o is
standard output, a pipe, a socket or a file named .arrows.`,
		Example: `  clpipe embed --run runs/first --src s3shards/ -o embeddings.parquet
  clpipe embed --run runs/first --src photos/ --features projection -o photos.parquet
  clpipe ingest --src s3shards/ | clpipe embed --run runs/first -o - | clpipe head`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			return job.do(ctx, cmd.Flags(), std)
		},
	}
	fs := cmd.Flags()
	job.common.addLog(fs)
	job.common.addStages(fs)
	job.source.add(fs, false)
	addStreamInput(fs, &job.input, "images or pairs")
	fs.StringVar(&job.run, "run", "", "run directory")
	addWeights(fs, &job.weights)
	fs.StringVar(&job.features, "features", "backbone", featuresHelp)
	addStreamOutput(fs, &job.output, &job.compress)
	fs.Lookup("output").DefValue = ""
	fs.Lookup("output").Usage = "Parquet file to write; for a stream a file named .arrows, a named pipe, unix:PATH or unix-listen:PATH, or -"
	job.output = ""
	return cmd
}

// embedJob is one call of the command.
type embedJob struct {
	common           commonFlags
	source           sourceFlags
	input            string
	run, features    string
	weights          string
	output, compress string
}

func (j *embedJob) do(ctx context.Context, fs *pflag.FlagSet, std stdio) error {
	log, err := j.common.log(std)
	if err != nil {
		return err
	}
	out, ok := featureOutputs[j.features]
	if !ok {
		return badFeatures(j.features)
	}
	if j.output == "" {
		return usagef("-o is missing: name the Parquet file to write, or - for a stream")
	}
	if len(j.source.src) > 0 && changed(fs, "in") {
		return errTwoInputs
	}
	toStream := isStream(j.output)
	if !toStream && changed(fs, "compress") {
		return usagef("--compress is of streams: Parquet is compressed by itself")
	}
	m, err := loadModel(j.run, j.weights)
	if err != nil {
		return err
	}
	rejects, err := j.source.namedRejects(log)
	if err != nil {
		return err
	}
	p := j.common.pipeline(log)
	e := &embedding{common: &j.common, source: &j.source, log: log, graph: m.graph, params: m.params, size: m.config.Encoder.Size, conv: m.config.Conv, output: out}

	var src *ingest.Source // nil: a stream
	viewed := false        // the stream holds views already
	if len(j.source.src) > 0 {
		cfg, err := j.source.ingestConfig(&j.common, rejects, log)
		if err != nil {
			return err
		}
		cfg.Encoded, cfg.Offsets, cfg.Epochs = true, true, 1
		if src, err = openSource(ctx, cfg); err != nil {
			return err
		}
		p.addSource(src)
	} else {
		if err := needSource(fs); err != nil {
			return err
		}
		in, err := openInput(ctx, std, j.input)
		if err != nil {
			return err
		}
		defer in.Close()
		p.in = in
		if viewed, err = j.holdsViews(ctx, p); err != nil {
			return err
		}
	}
	policy, err := e.policy()
	if err != nil {
		return err
	}
	embedder, err := e.embedder()
	if err != nil {
		return err
	}
	if src != nil {
		if err := j.common.keepWithin(pairsOf(src, embedBatch, policy), m.params.MemoryBytes()+embedder.MemoryBytes()); err != nil {
			return err
		}
	}
	if !viewed {
		views, err := e.views(policy, rejects)
		if err != nil {
			return err
		}
		p.add("augment", views)
	}
	p.add("embed", embedder.Stage).WorkIsProgress = true
	if !toStream {
		count := newCounter(std.err, j.common.quiet, "embeddings", 0)
		p.add("sink", counted(sink.Parquet(j.output), count))
		err := p.run(ctx)
		count.finish()
		if err != nil {
			return err
		}
		return count.result(std.out, j.output)
	}
	stream, err := openOutput(ctx, std, j.output, j.compress, "embeddings", j.common.quiet)
	if err != nil {
		return err
	}
	p.out = stream
	return stream.close(p.run(ctx))
}

// holdsViews waits for the stream's schema and tells whether it holds pairs.
func (j *embedJob) holdsViews(ctx context.Context, p *pipeline) (bool, error) {
	var kind batch.Kind
	err := p.await(ctx, "embed", func(ctx context.Context, in batch.Reader) error {
		schema, err := in.Schema(ctx)
		if errors.Is(err, io.EOF) {
			return errors.New("the stream ended before it said what it holds")
		}
		if err != nil {
			return err
		}
		kind, err = batch.Expect(schema, batch.ImagesKind, batch.EncodedKind, batch.PairsKind)
		return err
	})
	return kind == batch.PairsKind, err
}

// isStream tells whether embeddings go to a place as a stream and not as Parquet.
func isStream(path string) bool {
	if path == "-" || isSocket(path) || filepath.Ext(path) == ".arrows" {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}
