package main

import (
	"errors"
	"fmt"

	"clpipe/ingest/pack"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// shardsPackCommand writes images of any source into shards.
func shardsPackCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common   commonFlags
		source   sourceFlags
		output   string
		samples  int
		maxBytes string
	)
	cmd := &cobra.Command{
		Use:   "pack --src URL -o 'out-%06d.tar'",
		Short: "Write images of folders or shards into new shards",
		Long: `Writes the images of a source (folders, archives, Parquet, Arrow), as their files
are, into WebDataset shards of a bounded size, with labels where there are any: in
the source's order, or with --shuffle in a random one, which is worth doing once for
images sorted by class. Images that cannot be read are named and left out. Nothing is overwritten.
The shards' checksums are added to SHA256SUMS beside them, for sha256sum -c.`,
		Example: `  clpipe shards pack --src photos/ -o 'shards/train-%06d.tar' --shuffle
  clpipe shards pack --src s3shards/ -o 'repacked/part-%04d.tar' --max-samples 1000
  clpipe shards pack --src 'tables/*.parquet' -o 'packed/train-{0000..0099}.tar'`,
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
			if len(source.src) == 0 {
				return usagef("--src is missing: name a directory of images or shards, as in --src photos/")
			}
			if output == "" {
				return usagef("-o is missing: name the shards by their number, as in -o 'out-%%06d.tar'")
			}
			if samples < 1 {
				return usagef("--max-samples is %d, want at least 1", samples)
			}
			most, err := humanize.ParseBytes(maxBytes)
			if err != nil || most < 1 || most > 1<<50 {
				return usagef("--max-bytes is %q, want a size as 128MiB", maxBytes)
			}
			cfg, err := source.ingestConfig(&common, rejects, log)
			if err != nil {
				return err
			}
			count := newCounter(std.err, common.quiet, "samples packed", int64(source.limit))
			report, err := pack.Write(ctx, pack.Config{Ingest: cfg, Out: output, MaxSamples: samples, MaxBytes: int64(most), Progress: count.one})
			count.finish()
			return errors.Join(printPacked(std, common.json, report), err)
		},
	}
	fs := cmd.Flags()
	common.addOutput(fs)
	common.addWorkers(fs)
	source.addSrc(fs)
	source.addLimits(fs)
	fs.BoolVar(&source.shuffle, "shuffle", false, "permute shards and samples")
	fs.Uint64Var(&common.seed, "seed", 1, "decides the order of --shuffle")
	fs.IntVar(&source.limit, "limit", 0, "samples to pack (0: all)")
	fs.StringVarP(&output, "output", "o", "", "shards to write, with a place for their number, as 'out-%06d.tar', or by name, as 'out-{000000..000146}.tar'")
	fs.IntVar(&samples, "max-samples", 10_000, "most samples of a shard")
	fs.StringVar(&maxBytes, "max-bytes", "128MiB", "largest shard, unless one sample is larger")
	return cmd
}

// printPacked prints the shards that were written, also before an error.
func printPacked(std stdio, asJSON bool, report pack.Report) error {
	if len(report.Shards) == 0 {
		return nil
	}
	if asJSON {
		return printJSON(std.out, report)
	}
	entries := make([]shardEntry, len(report.Shards))
	for i, s := range report.Shards {
		entries[i] = shardEntry{s.Path, "tar", &s.Samples, s.Bytes}
	}
	if err := printShards(std, entries); err != nil {
		return err
	}
	for label, name := range report.Classes {
		if _, err := fmt.Fprintf(std.out, "class %d: %s\n", label, printable(name)); err != nil {
			return err
		}
	}
	if report.Rejected > 0 {
		_, err := fmt.Fprintf(std.out, "%s left out\n", plural(report.Rejected, "damaged image"))
		return err
	}
	return nil
}
