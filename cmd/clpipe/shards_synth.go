package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"clpipe/internal/synth"

	"github.com/spf13/cobra"
)

// shardsSynthCommand writes shards of drawn images.
func shardsSynthCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common commonFlags
		set    synth.Set
		output string
	)
	cmd := &cobra.Command{
		Use:   "synth [-o DIR]",
		Short: "Draw labelled images into shards, for a first run without data",
		Long: fmt.Sprintf(`Draws images of %d classes, told apart by shape and texture alone, and writes
them as WebDataset shards: DIR/train-000000.tar and so on, and
DIR/test-000000.tar. The same options give the same bytes.`, len(synth.Classes())),
		Example: `  clpipe shards synth
  clpipe shards synth -o tiny --images 500 --test 100 --shards 1 --seed 7`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd.Flags()); err != nil {
				return err
			}
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			if err := writeSet(ctx, std, &common, set, output); err != nil {
				return err
			}
			if common.json {
				return printJSON(std.out, struct {
					Dir string `json:"dir"`
					synth.Set
					Classes []string `json:"classes"`
				}{output, set, synth.Classes()})
			}
			_, err := fmt.Fprintf(std.out, "%s in %s and %s of %d classes: %s\n",
				plural(set.Images, "training image"), plural(set.Shards, "shard"), plural(set.Test, "test image"), len(synth.Classes()), output)
			return err
		},
	}
	fs := cmd.Flags()
	common.addOutput(fs)
	common.addWorkers(fs)
	fs.StringVarP(&output, "output", "o", "s3shards", "directory to write, which must not hold anything yet")
	fs.IntVar(&set.Images, "images", 5000, "training images, classes in turn")
	fs.IntVar(&set.Test, "test", 1000, "test images (0: none)")
	fs.IntVar(&set.Size, "size", 32, "width and height of an image in pixels")
	fs.IntVar(&set.Shards, "shards", 5, "shards of the training set")
	fs.Uint64Var(&set.Seed, "seed", 1, "decides the images")
	return cmd
}

// writeSet writes a set into a directory that does not exist or is empty.
func writeSet(ctx context.Context, std stdio, c *commonFlags, set synth.Set, dir string) error {
	if err := set.Validate(); err != nil {
		return usageError{err}
	}
	if c.workers < 0 {
		return usagef("--workers is %d, want at least 0", c.workers)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usageError{err}
	}
	if len(entries) > 0 {
		return usagef("%s holds files already, as %q: nothing is overwritten, name another directory", dir, entries[0].Name())
	}
	count := newCounter(std.err, c.quiet, "images drawn", int64(set.Images)+int64(set.Test))
	defer count.finish()
	return set.Write(ctx, dir, c.workers, count.one)
}
