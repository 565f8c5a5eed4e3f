package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"clpipe/batch"
	"clpipe/ingest"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// shardsVerifyCommand reads shards to the end.
func shardsVerifyCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common commonFlags
		source sourceFlags
	)
	cmd := &cobra.Command{
		Use:   "verify --src URL",
		Short: "Read shards to the end and decode every image",
		Long: `Reads every sample and decodes every image, and tells what was found: each
damaged sample as shard/key@offset, images that are there twice or look alike, how
many there are of each size and class. Images look alike if, shrunk to 9x9 grey
levels, these differ by 8 of 255 at most and 7 of 128 of their gradients. Each
shard's SHA-256 is compared with a SHA256SUMS beside it, as shards pack writes one,
and with the index beside local shards, or that of --index. Exit code 3 if more are
damaged than --max-rejects, or a shard is not what was written down.`,
		Example: `  clpipe shards verify --src s3shards/
  clpipe shards verify --src 's3shards/train-*.tar' --max-rejects 0 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			cfg, err := source.ingestConfig(&common, nil, log)
			if err != nil {
				return err
			}
			count := newCounter(std.err, common.quiet, "samples checked", 0)
			cfg.Progress = count.one
			report, err := verifySource(ctx, cfg, source.indexThere())
			count.finish()
			if err != nil {
				return err
			}
			if common.json {
				err = printJSON(std.out, report)
			} else {
				err = printReport(std.out, report)
			}
			return errors.Join(err, unaltered(report), tolerate(rejects, report))
		},
	}
	fs := cmd.Flags()
	common.addOutput(fs)
	common.addWorkers(fs)
	source.addSrc(fs)
	source.addLimits(fs)
	source.addIndexThere(fs)
	return cmd
}

func verifySource(ctx context.Context, cfg ingest.Config, index string) (*ingest.Report, error) {
	cfg.Index = ingest.NoIndex // a stale one is what is looked for
	src, err := openSource(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return src.Verify(ctx, index)
}

// errAltered says that shards are not what a file of checksums says.
var errAltered = errors.New("shards are not what was written down of them")

// unaltered returns an error if a checksum differs.
func unaltered(report *ingest.Report) error {
	if len(report.Altered) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", errAltered, report.Altered[0])
}

// tolerate compares the damage with what --max-rejects allows.
func tolerate(rejects *batch.Rejects, report *ingest.Report) error {
	rejects.Seen(0, report.Samples)
	for _, d := range report.Damage {
		if err := rejects.Add(d); err != nil {
			return err
		}
	}
	return rejects.EndEpoch(0)
}

// mostRows is how many sizes and classes are printed, as photos may have a size each;
// as JSON there are all.
const mostRows = 30

// printReport prints what was found, the summary last.
func printReport(out io.Writer, r *ingest.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "shard\tformat\tsamples\treadable\tsize")
	for _, s := range r.Shards {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", printable(s.Name), s.Format, s.Samples, s.Readable, humanize.IBytes(uint64(s.Bytes)))
	}
	if len(r.Sizes) > 0 {
		fmt.Fprintln(w, "\nimages\tformat\tsamples")
	}
	rest := 0
	for i, s := range r.Sizes {
		if i < mostRows {
			fmt.Fprintf(w, "%dx%d\t%s\t%d\n", s.W, s.H, s.Format, s.Samples)
		} else {
			rest += s.Samples
		}
	}
	if rest > 0 {
		fmt.Fprintf(w, "%d others\t\t%d\n", len(r.Sizes)-mostRows, rest)
	}
	if len(r.Classes) > 0 {
		fmt.Fprintln(w, "\nclass\tsamples")
	}
	rest = 0
	for i, c := range r.Classes {
		if i < mostRows {
			fmt.Fprintf(w, "%d\t%d\n", c.Label, c.Samples)
		} else {
			rest += c.Samples
		}
	}
	if rest > 0 {
		fmt.Fprintf(w, "%d others\t%d\n", len(r.Classes)-mostRows, rest)
	}
	if len(r.Classes) > 0 && r.Unlabelled > 0 {
		fmt.Fprintf(w, "none\t%d\n", r.Unlabelled)
	}
	if len(r.Duplicates) > 0 {
		fmt.Fprintln(w, "\nequal images")
	}
	twice := 0
	for _, ids := range r.Duplicates {
		fmt.Fprintln(w, printable(strings.Join(ids, " = ")))
		twice += len(ids) - 1
	}
	if len(r.NearDuplicates) > 0 {
		fmt.Fprintln(w, "\nimages that look alike")
	}
	alike := 0
	for _, ids := range r.NearDuplicates {
		fmt.Fprintln(w, printable(strings.Join(ids, " ~ ")))
		alike += len(ids) - 1
	}
	if len(r.Altered) > 0 {
		fmt.Fprintln(w, "\naltered")
	}
	for _, a := range r.Altered {
		fmt.Fprintln(w, printable(a.Error()))
	}
	if len(r.Damage) > 0 {
		fmt.Fprintln(w, "\ndamage")
	}
	for _, d := range r.Damage {
		fmt.Fprintln(w, printable(d.Error()))
	}
	agreed := map[string]int{}
	for _, s := range r.Shards {
		for _, by := range s.Agreed {
			agreed[by]++
		}
	}
	if len(agreed) > 0 {
		fmt.Fprintln(w)
	}
	for _, by := range slices.Sorted(maps.Keys(agreed)) {
		fmt.Fprintf(w, "checksums as in %s: %s\n", printable(by), plural(agreed[by], "shard"))
	}
	fmt.Fprintf(w, "\n%s in %s: %d readable, %d damaged, %d there before, %d like another\n",
		plural(r.Samples, "sample"), plural(len(r.Shards), "shard"), r.Readable, r.Samples-r.Readable, twice, alike)
	return w.Flush()
}
