package main

import (
	"context"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/ingest"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// augmentCommand writes pairs on standard output.
func augmentCommand(std stdio, sig *signals) *cobra.Command {
	job := &augmentJob{}
	cmd := &cobra.Command{
		Use:   "augment [--src URL]",
		Short: "Make positive pairs: images in, pairs out",
		Long: `Reads a stream of images (from standard input, or with --src from shards) and
writes a stream of pairs: two views of every image, uint8 [S,S,3].`,
		Example: `  clpipe ingest --src s3shards/ | clpipe augment --policy moco-v2 > pairs.arrows
  clpipe augment --src s3shards/ --policy simclr --epochs 2 -o pairs.arrows
  clpipe augment --in images.arrows --compress zstd -o unix-listen:pairs.sock`,
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
	job.source.add(fs, true)
	fs.StringVar(&job.source.from, "from", "", "first sample to emit, as EPOCH:INDEX (with --src)")
	job.views.add(fs)
	addStreamInput(fs, &job.input, "images")
	fs.IntVar(&job.rows, "batch", 256, "pairs in a record, fewer where they would take more than 1 GiB")
	fs.StringVar(&job.bytes, "batch-bytes", "", "bytes of views in a record, at most, unless a single pair is larger; --batch holds too")
	fs.IntVar(&job.epochs, "epochs", 1, "epochs of the stream, those that --from leaves out included (0: until the reader leaves; with --src)")
	addStreamOutput(fs, &job.output, &job.compress)
	return cmd
}

// augmentJob makes a stream of pairs.
type augmentJob struct {
	common           commonFlags
	source           sourceFlags
	views            viewFlags
	input            string
	epochs           int
	rows             int
	bytes            string
	output, compress string
}

func (j *augmentJob) do(ctx context.Context, fs *pflag.FlagSet, std stdio) error {
	log, err := j.common.log(std)
	if err != nil {
		return err
	}
	if j.rows < 1 {
		return usagef("--batch is %d, want at least 1", j.rows)
	}
	if j.common.workers < 0 {
		return usagef("--workers is %d, want at least 0", j.common.workers)
	}
	rejects, err := j.source.namedRejects(log)
	if err != nil {
		return err
	}
	p := j.common.pipeline(log)
	images, err := j.images(ctx, fs, std, p, rejects)
	if err != nil {
		return err
	}
	defer images.close()
	policy, err := j.views.load(contrast.PolicyFor, images.firstSide)
	if err != nil {
		return err
	}
	limit, err := byteSize("batch-bytes", j.bytes)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = maxRecordBytes
	}
	rows := pairsInRecord(policy, j.rows, limit)
	held := pairsOfStream(j.common.workers, rows, policy)
	if images.src != nil {
		held = pairsOf(images.src, rows, policy)
	}
	if err := j.common.keepWithin(held, 0); err != nil {
		return err
	}
	stage, err := augmentStage(&j.common, &j.source, policy, rows, rejects, images.seed)
	if err != nil {
		return err
	}
	out, err := openOutput(ctx, std, j.output, j.compress, "pairs", j.common.quiet)
	if err != nil {
		return err
	}
	p.out = out
	p.add("augment", stage)
	return out.close(p.run(ctx))
}

// imageInput is where images come from.
type imageInput struct {
	src       *ingest.Source      // nil: a stream
	firstSide func() (int, error) // the short side of the first image
	seed      *uint64             // nil: the stream's
	close     func()
}

// images opens the shards, or else the stream, and puts it before the stages of p.
func (j *augmentJob) images(ctx context.Context, fs *pflag.FlagSet, std stdio, p *pipeline, rejects *batch.Rejects) (imageInput, error) {
	if len(j.source.src) == 0 {
		return j.stream(ctx, fs, std, p)
	}
	if changed(fs, "in") {
		return imageInput{}, errTwoInputs
	}
	cfg, err := j.source.ingestConfig(&j.common, rejects, p.log)
	if err != nil {
		return imageInput{}, err
	}
	cfg.Encoded, cfg.Epochs = true, j.epochs
	if err := needEpochs(cfg.From, j.epochs); err != nil {
		return imageInput{}, err
	}
	src, err := openSource(ctx, cfg)
	if err != nil {
		return imageInput{}, err
	}
	p.addSource(src)
	firstSide := func() (int, error) { return shortSide(ctx, src) }
	return imageInput{src, firstSide, &j.common.seed, func() {}}, nil
}

// stream is images of a stream, whose first record tells the size.
func (j *augmentJob) stream(ctx context.Context, fs *pflag.FlagSet, std stdio, p *pipeline) (imageInput, error) {
	if err := needSource(fs, "epochs", "no-sign-request", "cache", "cache-size"); err != nil {
		return imageInput{}, err
	}
	in, err := openInput(ctx, std, j.input)
	if err != nil {
		return imageInput{}, err
	}
	peek := &peekReader{Reader: in}
	p.in = peek
	firstSide := func() (side int, err error) {
		err = p.await(ctx, "augment", func(ctx context.Context, in batch.Reader) (err error) {
			side, err = peek.shortSide(ctx, in)
			return err
		})
		return side, err
	}
	return imageInput{nil, firstSide, given(fs, "seed", &j.common.seed), func() { peek.release(); in.Close() }}, nil
}
