package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"clpipe/ingest"
	"clpipe/ingest/index"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// shardsIndexCommand writes the index of a set of shards.
func shardsIndexCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common    commonFlags
		source    sourceFlags
		output    string
		overwrite bool
	)
	cmd := &cobra.Command{
		Use:   "index --src URL [-o FILE]",
		Short: "Write down where every image lies, for a full permutation of each epoch",
		Long: `Reads a set of shards through once and writes an index: of each shard its size,
version and SHA-256, of each image its key, place, size, checksum, width, height and
label. It is an Arrow IPC file, a row a shard, which other readers open too.

With --index, ingest, augment and train then read each epoch in a full random
permutation, by ranges, from disk, S3 and HTTP alike; know its length beforehand;
resume anywhere at once; and divide it over --world processes image by image. This
holds for plain archives, Arrow and Parquet whose images are not compressed, and
photos in Parquet with Snappy. Of archives that are packed (.tar.gz, .tar.zst) and of
other tables an index tells lengths and checksums only: their images cannot be read
one by one, so the order is the same as without. Standard input and images in folders
have no index.

The index of local shards goes beside them, as ` + index.Name + `, where --index auto
looks for it; that of others where -o says. Put it below their prefix under this
name, and --index auto finds it there. After shards have changed, reading by it is
refused: renew it with --overwrite.`,
		Example: `  clpipe shards index --src s3shards/
  clpipe shards index --src s3shards/ -o set.arrow --overwrite
  clpipe ingest --src s3shards/ --index auto --epochs 0 | clpipe augment | clpipe train --steps 500`,
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
			path, err := indexOutput(source.src, output, overwrite)
			if err != nil {
				return err
			}
			count := newCounter(std.err, common.quiet, "samples indexed", 0)
			cfg := ingest.Config{Sources: source.src, Workers: common.workers, Rejects: rejects, Log: log, Progress: count.one}
			if err := source.remote(&cfg); err != nil {
				return err
			}
			src, err := openSource(ctx, cfg)
			if err != nil {
				return err
			}
			report, size, err := writeIndex(ctx, src, path)
			count.finish()
			if err != nil {
				return err
			}
			return printIndexed(std, common.json, report, path, size)
		},
	}
	fs := cmd.Flags()
	common.addOutput(fs)
	common.addWorkers(fs)
	source.addSrc(fs)
	fs.StringVar(&source.maxRejects, "max-rejects", "1%", "tolerated share of damaged samples")
	fs.StringVarP(&output, "output", "o", "", "file to write (default "+index.Name+" beside local shards)")
	fs.BoolVar(&overwrite, "overwrite", false, "replace the index that is there")
	return cmd
}

// indexOutput returns the file to write.
func indexOutput(sources []string, output string, overwrite bool) (string, error) {
	switch {
	case len(sources) == 0:
		return "", usagef("--src is missing: name a directory of shards, as in --src s3shards/")
	case output != "":
	case len(sources) > 1 || sources[0] == "-" || strings.Contains(sources[0], "://"):
		return "", usagef("-o is missing: only the index of one local directory or pattern has a place of its own; give -o FILE, and --index FILE to whoever reads")
	default:
		output = ingest.IndexPlace(sources[0])
	}
	info, err := os.Lstat(output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return output, nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", usagef("%s is there already and is no file", output)
	case !overwrite:
		return "", usagef("%s is there already and is not overwritten: renew it with --overwrite", output)
	}
	return output, nil
}

// writeIndex writes a file beside its place and renames it when it is whole.
func writeIndex(ctx context.Context, src *ingest.Source, path string) (report ingest.IndexReport, size int64, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return report, 0, err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	w, err := index.NewWriter(file)
	if err != nil {
		return report, 0, err
	}
	report, err = src.MakeIndex(ctx, w)
	if err = errors.Join(err, w.Close()); err != nil {
		return report, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return report, 0, err
	}
	if err = errors.Join(file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return report, 0, err
	}
	return report, info.Size(), os.Rename(file.Name(), path)
}

// printIndexed prints what was written.
func printIndexed(std stdio, asJSON bool, report ingest.IndexReport, path string, size int64) error {
	if asJSON {
		return printJSON(std.out, struct {
			Index string `json:"index"`
			Size  int64  `json:"index_bytes"`
			ingest.IndexReport
		}{path, size, report})
	}
	if n := len(report.Sequential); n > 0 {
		if _, err := fmt.Fprintf(std.out, "%s cannot be read by ranges, as %s: with this index the order stays that of streaming (clpipe shards pack makes plain archives of them)\n", plural(n, "shard"), report.Sequential[0]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(std.out, "%s in %s, %s, %d damaged: %s (%s)\n", plural(report.Samples, "sample"), plural(report.Shards, "shard"),
		humanize.IBytes(uint64(report.Bytes)), report.Damaged, path, humanize.IBytes(uint64(size)))
	return err
}
