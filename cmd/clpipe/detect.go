package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"clpipe/augment"
	"clpipe/encoder/detect"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// detectFlags are the options of a transfer to detection.
type detectFlags struct {
	common        commonFlags
	source        sourceFlags
	run, weights  string
	train, test   []string
	baselines     []string
	backbones     []string
	seeds, epochs int
	batch         int
	lr            float64
	size, stride  int
	policy        string
	metric        string
	output        string
}

// detectCommand measures how well an encoder transfers to finding objects.
func detectCommand(std stdio, sig *signals) *cobra.Command {
	var flags detectFlags
	cmd := &cobra.Command{
		Use:   "detect --run DIR --train VOC --test VOC",
		Short: "Transfer the encoder to finding objects: average precision beside random weights",
		Long: `Trains a small detector on the features of a run's encoder, with the boxes of a
data set in PASCAL VOC's form, and measures what it finds by average precision; the
same with the encoder at random initialisation, and with other runs and weights if
they are named. Once with the encoder frozen, so that the head alone learns, and
once with all weights learning; each several times, from other seeds. All have the
same views, steps and rates: what differs is where they start.

The detector is that of "Objects as Points" (Zhou et al. 2019), small enough for a
CPU: a 3x3 convolution on the encoder's map and, for each of its cells, the
probability that it is the centre of an object of a class, its size and its place.

A data set is named as FOLDER:SET, the folder that holds Annotations, JPEGImages
and ImageSets; FOLDER is its set trainval for --train and test for --test, FOLDER:
all that has an annotation. AP50 counts what overlaps an object by half, AP is the
mean over overlaps from 50 % to 95 %. -o is a folder for the table, a chart, a sheet
of what was found, and the detections in VOC's own form, which other tools can
score; it grows with each part that is finished.`,
		Example: `  clpipe shards synth --boxes
  clpipe detect --run runs/first --train voc/ --test voc/
  clpipe detect --run runs/first --train VOC2007:trainval --train VOC2012:trainval --test VOC2007:test --baselines random,runs/supervised,resnet18.safetensors -o detection/
  clpipe detect --run runs/first --train voc/ --test voc/ --backbone frozen --seeds 1 --epochs 5 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			return flags.do(ctx, cmd.Flags(), std)
		},
	}
	flags.add(cmd.Flags())
	return cmd
}

func (f *detectFlags) add(fs *pflag.FlagSet) {
	f.common.add(fs)
	f.source.addLimits(fs)
	fs.BoolVar(&f.source.exifTranspose, "exif-transpose", false, "turn images upright, as their EXIF data say: for boxes that were drawn on upright images")
	fs.StringVar(&f.run, "run", "", "run directory")
	addWeights(fs, &f.weights)
	fs.StringArrayVar(&f.train, "train", nil, "VOC `FOLDER`, or FOLDER:SET, to learn from; repeatable")
	fs.StringArrayVar(&f.test, "test", nil, "VOC `FOLDER`, or FOLDER:SET, to find objects in; repeatable")
	fs.StringSliceVar(&f.baselines, "baselines", []string{randomBaseline}, "what else to start from: random, directories of other runs, safetensors files of the same network under torchvision's names")
	fs.StringSliceVar(&f.backbones, "backbone", []string{frozenBackbone, tunedBackbone}, "frozen (the head alone learns) and finetune (all weights)")
	fs.IntVar(&f.seeds, "seeds", 3, "trainings of each, from other seeds")
	fs.IntVar(&f.epochs, "epochs", 24, "epochs of a training")
	fs.IntVar(&f.batch, "batch", 16, "views per step")
	fs.Float64Var(&f.lr, "lr", 1e-3, "rate of Adam, on a cosine after a short warm-up")
	fs.IntVar(&f.size, "size", 256, "side of the square views")
	fs.IntVar(&f.stride, "stride", 16, "pixels between the cells of the encoder's map, at most: the last layer as fine as that is taken")
	fs.StringVar(&f.policy, "policy", "", "policy `FILE` of the training views; boxes follow its crops and flips (default crops of at least half of the image, and flips)")
	fs.StringVar(&f.metric, "metric", "voc07", "average precision: voc07 (of 11 recalls, as that year's set is scored) or area (under the curve)")
	fs.StringVarP(&f.output, "output", "o", "", "`FOLDER` to write table, chart, sheet and detections to")
}

// Values of --backbone.
const (
	frozenBackbone = "frozen"
	tunedBackbone  = "finetune"
)

// Views of the two sets. The whole image is stretched to a square, as the crops are.
const (
	detectTrainPolicy = "name: detect\nanchor:\n  - {op: random_resized_crop, scale: [0.5, 1.0]}\n  - {op: horizontal_flip, p: 0.5}\n"
	detectTestPolicy  = "name: detect-test\nanchor:\n  - {op: resize, size: [%d, %[1]d]}\n"
)

var detectMetrics = map[string]detect.Metric{"voc07": detect.VOC07, "area": detect.Area}

// mostOfAll bounds what counts something, so that products of several are numbers.
const mostOfAll = 1 << 20

func (f *detectFlags) check() error {
	if len(f.train) == 0 || len(f.test) == 0 {
		return usagef("--train and --test are needed: data sets in VOC's form to learn from and to find objects in, as --train voc/ --test voc/")
	}
	if _, ok := detectMetrics[f.metric]; !ok {
		return usagef("--metric is %q, want voc07 or area", f.metric)
	}
	if len(f.backbones) == 0 {
		return usagef("--backbone is empty, want frozen, finetune or both")
	}
	for i, b := range f.backbones {
		if b != frozenBackbone && b != tunedBackbone {
			return usagef("--backbone has %q, want frozen or finetune", b)
		}
		if slices.Contains(f.backbones[:i], b) {
			return usagef("--backbone has %q twice", b)
		}
	}
	for _, n := range []struct {
		name    string
		v, most int
	}{{"seeds", f.seeds, 1000}, {"epochs", f.epochs, mostOfAll}, {"batch", f.batch, mostOfAll}, {"size", f.size, mostOfAll}, {"stride", f.stride, mostOfAll}} {
		if n.v < 1 || n.v > n.most {
			return usagef("--%s is %d, want 1 to %d", n.name, n.v, n.most)
		}
	}
	if !(f.lr > 0) {
		return usagef("--lr is %g, want a number above 0", f.lr)
	}
	if _, err := f.source.rejects(); err != nil {
		return err
	}
	_, err := f.source.pixels()
	return err
}

func (f *detectFlags) do(ctx context.Context, fs *pflag.FlagSet, std stdio) error {
	if err := f.check(); err != nil {
		return err
	}
	log, err := f.common.log(std)
	if err != nil {
		return err
	}
	if err := emptyFolder(f.output); err != nil {
		return err
	}
	t := &transfer{detectFlags: f, std: std, log: log}
	if t.starts, err = f.starts(); err != nil {
		return err
	}
	if err := t.prepare(ctx, changed(fs, "size")); err != nil {
		return err
	}
	results, err := t.measureAll(ctx)
	if len(results) > 0 { // what is finished, also if the rest failed
		err = errors.Join(err, printDetection(std.out, results, f.common.json))
	}
	return err
}

// emptyFolder refuses a folder that holds files.
func emptyFolder(dir string) error {
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return usagef("-o %s is a file, want a folder", dir)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return usagef("%s holds files already, as %q: nothing is overwritten, name another directory", dir, entries[0].Name())
	}
	return nil
}

// makeFolder makes a folder and sees whether files can be written there.
func makeFolder(dir string) error {
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".writable-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("-o: nothing can be written there: %w", err)
	}
	return nil
}

// trainPolicy returns the policy of the views to learn from. One that fixes their side
// decides --size where that is not given.
func (f *detectFlags) trainPolicy(sized bool) (*augment.Policy, error) {
	if f.policy == "" {
		p, err := augment.Parse("detect", []byte(detectTrainPolicy), f.size)
		if err != nil {
			return nil, usageError{err}
		}
		return p, nil
	}
	p, err := augment.Load(f.policy, f.size)
	if err != nil && !sized {
		if fixed, err2 := augment.Load(f.policy, 0); err2 == nil {
			p, err, f.size = fixed, nil, fixed.Size()
		}
	}
	if err != nil {
		return nil, usageError{err}
	}
	// What it refuses it refuses for every image.
	if _, err := p.Placement(f.size, f.size, augment.SampleKey{}); err != nil {
		return nil, usagef("--policy: %w", err)
	}
	return p, nil
}
