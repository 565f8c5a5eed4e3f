package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"clpipe/internal/synth"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shardsSynthCommand writes drawn images: shards, or a folder of images with boxes.
func shardsSynthCommand(std stdio, sig *signals) *cobra.Command {
	var (
		common commonFlags
		set    synth.Set
		output string
		boxes  bool
	)
	cmd := &cobra.Command{
		Use:   "synth [-o DIR]",
		Short: "Draw labelled images into shards, or some with boxes, for a first run without data",
		Long: fmt.Sprintf(`Draws images of %d classes, told apart by shape and texture alone, and writes
them as WebDataset shards: DIR/train-000000.tar and so on, and
DIR/test-000000.tar. The same options give the same bytes.

With --boxes, each image shows up to five shapes of %d classes, and DIR is a data
set for object detection in PASCAL VOC's form: DIR/JPEGImages, DIR/Annotations
and, in DIR/ImageSets/Main, the sets trainval and test.`, len(synth.Classes()), len(synth.Shapes())),
		Example: `  clpipe shards synth
  clpipe shards synth -o tiny --images 500 --test 100 --shards 1 --seed 7
  clpipe shards synth --boxes
  clpipe shards synth --boxes -o tinyvoc --images 40 --test 10 --size 64`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			if boxes {
				if typed(cmd.Flags(), "shards") {
					return usagef("--shards is for images without boxes: with --boxes each image is a file of its own")
				}
				set, output := ofBoxes(cmd.Flags(), set, output)
				if err := writeSet(ctx, std, &common, set, set.Images+set.Test, output); err != nil {
					return err
				}
				return reportBoxes(std, &common, set, output)
			}
			if err := writeSet(ctx, std, &common, set, set.Images+set.Test, output); err != nil {
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
	fs.StringVarP(&output, "output", "o", "s3shards", "directory to write, which must not hold anything yet; with --boxes voc")
	fs.BoolVar(&boxes, "boxes", false, "draw images of several shapes, with their boxes, in PASCAL VOC's form")
	fs.IntVar(&set.Images, "images", 5000, "training images, classes in turn; with --boxes 400, of any classes")
	fs.IntVar(&set.Test, "test", 1000, "test images (0: none); with --boxes 100")
	fs.IntVar(&set.Size, "size", 32, "width and height of an image in pixels; with --boxes 128")
	fs.IntVar(&set.Shards, "shards", 5, "shards of the training set")
	fs.Uint64Var(&set.Seed, "seed", 1, "decides the images")
	return cmd
}

// ofBoxes returns the set of images with boxes that options ask for. Its defaults
// are others than those of images without: such images are larger, and fewer do.
func ofBoxes(fs *pflag.FlagSet, set synth.Set, output string) (synth.BoxSet, string) {
	given := func(name string, value, without int) int {
		if changed(fs, name) {
			return value
		}
		return without
	}
	if !changed(fs, "output") {
		output = "voc"
	}
	return synth.BoxSet{
		Images: given("images", set.Images, 400),
		Test:   given("test", set.Test, 100),
		Size:   given("size", set.Size, 128),
		Seed:   set.Seed,
	}, output
}

func reportBoxes(std stdio, c *commonFlags, set synth.BoxSet, dir string) error {
	if c.json {
		return printJSON(std.out, struct {
			Dir string `json:"dir"`
			synth.BoxSet
			Classes []string `json:"classes"`
		}{dir, set, synth.Shapes()})
	}
	_, err := fmt.Fprintf(std.out, "%s and %s with boxes of %d classes: %s\n",
		plural(set.Images, "training image"), plural(set.Test, "test image"), len(synth.Shapes()), dir)
	return err
}

// A drawnSet is a set that can be written.
type drawnSet interface {
	Validate() error
	Write(ctx context.Context, dir string, workers int, drawn func()) error
}

// writeSet writes a set of so many images into a directory that does not exist or
// is empty.
func writeSet(ctx context.Context, std stdio, c *commonFlags, set drawnSet, images int, dir string) error {
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
	count := newCounter(std.err, c.quiet, "images drawn", int64(images))
	defer count.finish()
	return set.Write(ctx, dir, c.workers, count.one)
}
