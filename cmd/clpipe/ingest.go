package main

import (
	"context"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/ingest"

	"github.com/spf13/cobra"
)

// ingestCommand writes images (or encoded images) on standard output.
func ingestCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common  commonFlags
		source  sourceFlags
		encoded bool
		epochs  int

		output, compress, bytes string
	)
	cmd := &cobra.Command{
		Use:   "ingest --src URL",
		Short: "Read shards and write a stream of images",
		Long: `Reads image shards in the order that the seed decides and writes them as an
Arrow IPC stream: decoded (images/1), or as they are in their files (encoded/1).`,
		Example: `  clpipe ingest --src s3shards/ --epochs 0 | clpipe augment | clpipe train --steps 500
  clpipe ingest --src s3shards/ --encoded --shuffle=false -o images.arrows`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fs := cmd.Flags()
			if err := applyConfig(fs); err != nil {
				return err
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := common.log(std)
			if err != nil {
				return err
			}
			rejects, err := source.rejects()
			if err != nil {
				return err
			}
			rejects.Log = func(r batch.Reject) error { log.Warn("rejected " + r.Error()); return nil }
			cfg, err := source.ingestConfig(&common, rejects, log)
			if err != nil {
				return err
			}
			cfg.Encoded, cfg.Epochs = encoded, epochs
			if err := needEpochs(cfg.From, epochs); err != nil {
				return err
			}
			if cfg.RecordBytes, err = byteSize("batch-bytes", bytes); err != nil {
				return err
			}
			src, err := openSource(ctx, cfg)
			if err != nil {
				return err
			}
			if err := common.keepWithin(buffersOf(src), 0); err != nil {
				return err
			}
			out, err := openOutput(ctx, std, output, compress, "images", common.quiet)
			if err != nil {
				return err
			}
			p := common.pipeline(log)
			p.out = out
			p.addSource(src)
			return out.close(p.run(ctx))
		},
	}
	fs := cmd.Flags()
	common.addLog(fs)
	common.addStages(fs)
	source.add(fs, true)
	fs.StringVar(&source.from, "from", "", "first sample to emit, as EPOCH:INDEX")
	fs.BoolVar(&encoded, "encoded", false, "write the images' files instead of their pixels")
	fs.IntVar(&epochs, "epochs", 1, "epochs of the stream, those that --from leaves out included (0: until the reader leaves)")
	fs.StringVar(&bytes, "batch-bytes", "16MiB", "bytes of images in a record, at most, unless a single one is larger")
	addStreamOutput(fs, &output, &compress)
	return cmd
}

// augmentCommand writes pairs on standard output.
func augmentCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common commonFlags
		source sourceFlags
		views  viewFlags
		epochs int
		rows   int

		input, output, compress, bytes string
	)
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
			fs := cmd.Flags()
			if err := applyConfig(fs); err != nil {
				return err
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := common.log(std)
			if err != nil {
				return err
			}
			rejects, err := source.rejects()
			if err != nil {
				return err
			}
			rejects.Log = func(r batch.Reject) error { log.Warn("rejected " + r.Error()); return nil }
			p := common.pipeline(log)
			seed := given(fs, "seed", &common.seed)
			if rows < 1 {
				return usagef("--batch is %d, want at least 1", rows)
			}
			if common.workers < 0 {
				return usagef("--workers is %d, want at least 0", common.workers)
			}
			var src *ingest.Source // nil: images come from a stream
			var firstSide func() (int, error)
			if len(source.src) > 0 && changed(fs, "in") {
				return errTwoInputs
			}
			if len(source.src) > 0 {
				cfg, err := source.ingestConfig(&common, rejects, log)
				if err != nil {
					return err
				}
				cfg.Encoded, cfg.Epochs = true, epochs
				if err := needEpochs(cfg.From, epochs); err != nil {
					return err
				}
				if src, err = openSource(ctx, cfg); err != nil {
					return err
				}
				firstSide = func() (int, error) { return shortSide(ctx, src) }
				p.addSource(src)
				seed = &common.seed
			} else {
				if err := needSource(fs, "epochs", "no-sign-request", "cache", "cache-size"); err != nil {
					return err
				}
				in, err := openInput(ctx, std, input)
				if err != nil {
					return err
				}
				defer in.Close()
				peek := &peekReader{Reader: in}
				defer peek.release()
				p.in = peek
				firstSide = func() (side int, err error) {
					err = p.await(ctx, "augment", func(ctx context.Context, in batch.Reader) (err error) {
						side, err = peek.shortSide(ctx, in)
						return err
					})
					return side, err
				}
			}
			policy, err := views.load(contrast.PolicyFor, firstSide)
			if err != nil {
				return err
			}
			limit, err := byteSize("batch-bytes", bytes)
			if err != nil {
				return err
			}
			if limit == 0 {
				limit = maxRecordBytes
			}
			rows = pairsInRecord(policy, rows, limit)
			held := pairsOfStream(common.workers, rows, policy)
			if src != nil {
				held = pairsOf(src, rows, policy)
			}
			if err := common.keepWithin(held, 0); err != nil {
				return err
			}
			stage, err := augmentStage(&common, &source, policy, rows, rejects, seed)
			if err != nil {
				return err
			}
			out, err := openOutput(ctx, std, output, compress, "pairs", common.quiet)
			if err != nil {
				return err
			}
			p.out = out
			p.add("augment", stage)
			return out.close(p.run(ctx))
		},
	}
	fs := cmd.Flags()
	common.addLog(fs)
	common.addStages(fs)
	source.add(fs, true)
	fs.StringVar(&source.from, "from", "", "first sample to emit, as EPOCH:INDEX (with --src)")
	views.add(fs)
	addStreamInput(fs, &input, "images")
	fs.IntVar(&rows, "batch", 256, "pairs in a record, fewer where they would take more than 1 GiB")
	fs.StringVar(&bytes, "batch-bytes", "", "bytes of views in a record, at most, unless a single pair is larger; --batch holds too")
	fs.IntVar(&epochs, "epochs", 1, "epochs of the stream, those that --from leaves out included (0: until the reader leaves; with --src)")
	addStreamOutput(fs, &output, &compress)
	return cmd
}
