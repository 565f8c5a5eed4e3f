package main

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"text/tabwriter"

	"clpipe/ingest"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// shardEntry is a line of the list: a shard, or a folder of images.
type shardEntry struct {
	Shard   string `json:"shard"`
	Format  string `json:"format"`
	Samples *int   `json:"samples,omitempty"` // nil: not known without unpacking
	Bytes   int64  `json:"bytes"`
}

// shardsListCommand lists shards.
func shardsListCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common commonFlags
		source sourceFlags
	)
	cmd := &cobra.Command{
		Use:   "ls --src URL",
		Short: "List shards with their samples and sizes",
		Long: `Lists the shards of a source, sorted as training sorts them, and counts their
samples by the index beside local shards, or that of --index, else by reading
headers only: without an index the samples of compressed and remote shards are not
counted. The images of a folder are one line.`,
		Example: `  clpipe shards ls --src s3shards/
  clpipe shards ls --src 's3shards/train-*.tar' --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			log, err := common.log(std)
			if err != nil {
				return err
			}
			cfg := ingest.Config{Sources: source.src, Workers: common.workers, Log: log, Index: source.indexThere()}
			if err := source.remote(&cfg); err != nil {
				return err
			}
			src, err := openSource(ctx, cfg)
			if stale := (*ingest.StaleIndexError)(nil); errors.As(err, &stale) && source.index == "" {
				log.Warn(err.Error())
				cfg.Index = ingest.NoIndex
				src, err = openSource(ctx, cfg)
			}
			if err != nil {
				return err
			}
			_, known, err := src.Count(ctx)
			if err != nil {
				return err
			}
			entries := listShards(src.Shards(), known)
			if common.json {
				for _, e := range entries {
					if err := printJSON(std.out, e); err != nil {
						return err
					}
				}
				return nil
			}
			return printShards(std, entries)
		},
	}
	fs := cmd.Flags()
	common.addOutput(fs)
	common.addWorkers(fs)
	source.addSrc(fs)
	source.addIndexThere(fs)
	return cmd
}

// listShards returns an entry a shard or folder of images. A count of 0 means
// nothing unless all shards could be counted.
func listShards(shards []ingest.Shard, allCounted bool) []shardEntry {
	var out []shardEntry
	for _, s := range shards {
		name, samples := s.Name, &s.Samples
		if s.Format == "image" {
			one := 1
			name, samples = path.Dir(name), &one
		} else if s.Samples == 0 && !allCounted {
			samples = nil
		}
		if last := len(out) - 1; last >= 0 && s.Format == "image" && out[last].Shard == name && out[last].Format == s.Format {
			*out[last].Samples++
			out[last].Bytes += s.Bytes
			continue
		}
		out = append(out, shardEntry{name, s.Format, samples, s.Bytes})
	}
	return out
}

func printShards(std stdio, entries []shardEntry) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "shard\tformat\tsamples\tsize")
	total, counted, bytes := 0, "", int64(0)
	for _, e := range entries {
		samples := "?"
		if e.Samples != nil {
			samples = strconv.Itoa(*e.Samples)
			total += *e.Samples
		} else {
			counted = "at least " // the unpacked ones come on top
		}
		bytes += e.Bytes
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(e.Shard), e.Format, samples, humanize.IBytes(uint64(e.Bytes)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(std.out, "%s%s in %s, %s\n", counted, plural(total, "sample"), plural(len(entries), "shard"), humanize.IBytes(uint64(bytes)))
	return err
}

// plural returns a number with what it counts.
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
