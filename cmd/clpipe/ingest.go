package main

import "github.com/spf13/cobra"

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
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := common.log(std)
			if err != nil {
				return err
			}
			rejects, err := source.namedRejects(log)
			if err != nil {
				return err
			}
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
			err = p.run(ctx)
			for epoch := 0; encoded && err == nil && epoch < epochs; epoch++ { // nobody decodes them in this process
				err = rejects.EndEpoch(uint32(epoch))
			}
			return out.close(err)
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
