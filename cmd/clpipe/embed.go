package main

import (
	"clpipe/batch"
	"clpipe/sink"

	"github.com/spf13/cobra"
)

// embedCommand writes the embeddings of images.
func embedCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common   commonFlags
		source   sourceFlags
		run      string
		features string
		output   string
	)
	cmd := &cobra.Command{
		Use:   "embed --run DIR --src URL -o FILE.parquet",
		Short: "Write the embeddings of images to Parquet",
		Long: `Runs the encoder of a run's last checkpoint over images, once each and without
augmentation, and writes their embeddings with id and label.`,
		Example: `  clpipe embed --run runs/first --src s3shards/ -o embeddings.parquet
  clpipe embed --run runs/first --src photos/ --features projection -o photos.parquet`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd.Flags()); err != nil {
				return err
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := common.log(std)
			if err != nil {
				return err
			}
			out, ok := featureOutputs[features]
			if !ok {
				return usagef("--features is %q, want backbone or projection", features)
			}
			if output == "" {
				return usagef("-o is missing: name the Parquet file to write")
			}
			m, err := loadModel(run)
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
			cfg.Encoded, cfg.Offsets, cfg.Epochs = true, true, 1
			src, err := openSource(ctx, cfg)
			if err != nil {
				return err
			}
			e := &embedding{common: &common, source: &source, log: log, graph: m.graph, params: m.params, size: m.size, conv: m.conv, output: out}
			return e.runSource(ctx, src, sink.Parquet(output), rejects)
		},
	}
	fs := cmd.Flags()
	common.add(fs)
	source.add(fs, false)
	fs.StringVar(&run, "run", "", "run directory")
	fs.StringVar(&features, "features", "backbone", "backbone (pooled features) or projection (unit vectors behind the head)")
	fs.StringVarP(&output, "output", "o", "", "Parquet file to write")
	return cmd
}
