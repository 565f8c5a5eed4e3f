package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/encoder/detect"
	"clpipe/internal/rng"
	"clpipe/sink"

	"github.com/dustin/go-humanize"
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
they are named. Once with the encoder frozen, so that the head alone learns, and once with
all weights learning; each several times, from other seeds. All have the same
views, steps and rates: what differs is where they start.

The detector is that of "Objects as Points" (Zhou et al. 2019), small enough for a
CPU: a 3x3 convolution on the encoder's map and, for each of its cells, the
probability that it is the centre of an object of a class, its size and its place.

A data set is named as FOLDER:SET, the folder that holds Annotations, JPEGImages
and ImageSets; SET is trainval of --train and test of --test where it is left out.
AP50 counts what overlaps an object by half, AP is the mean over overlaps from
50 % to 95 %. -o is a folder for the table, a chart, a sheet of what was found, and
the detections in VOC's own form, which other tools can score.`,
		Example: `  clpipe shards synth --boxes
  clpipe detect --run runs/first --train voc/ --test voc/
  clpipe detect --run runs/first --train VOC2007:trainval --train VOC2012:trainval --test VOC2007:test --baselines random,runs/supervised,resnet18.safetensors -o detection/
  clpipe detect --run runs/first --train voc/ --test voc/ --backbone frozen --seeds 1 --epochs 5 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyConfig(cmd.Flags()); err != nil {
				return err
			}
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

func (f *detectFlags) check() error {
	if len(f.train) == 0 || len(f.test) == 0 {
		return usagef("--train and --test are needed: data sets in VOC's form to learn from and to find objects in, as --train voc/ --test voc/")
	}
	if _, ok := detectMetrics[f.metric]; !ok {
		return usagef("--metric is %q, want voc07 or area", f.metric)
	}
	for _, b := range f.backbones {
		if b != frozenBackbone && b != tunedBackbone {
			return usagef("--backbone has %q, want frozen or finetune", b)
		}
	}
	for _, n := range []struct {
		name string
		v    int
	}{{"seeds", f.seeds}, {"epochs", f.epochs}, {"batch", f.batch}, {"size", f.size}, {"stride", f.stride}} {
		if n.v < 1 {
			return usagef("--%s is %d, want at least 1", n.name, n.v)
		}
	}
	if !(f.lr > 0) {
		return usagef("--lr is %g, want a number above 0", f.lr)
	}
	return nil
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
	starts, err := f.starts()
	if err != nil {
		return err
	}
	t := &transfer{detectFlags: f, log: log}
	if t.trainSet, err = loadObjects(f.train, "trainval", nil); err != nil {
		return err
	}
	if t.testSet, err = loadObjects(f.test, "test", t.trainSet); err != nil {
		return err
	}
	size := min(f.batch, len(t.trainSet.images))
	t.steps = max(1, f.epochs*len(t.trainSet.images)/size)
	if t.trainPolicy, err = f.trainPolicy(changed(fs, "size")); err != nil {
		return err
	}
	if t.testPolicy, err = augment.Parse("detect-test", fmt.Appendf(nil, detectTestPolicy, f.size), f.size); err != nil {
		return err
	}
	// Files and views wait between the stages, as images and pairs do elsewhere.
	if _, err := f.common.fit(buffers{
		records: (streamDepth+2)*repeatedBytes + augment.HeldBytes(f.common.workers), pairs: (streamDepth + 2) * int64(f.batch) * int64(t.trainPolicy.RowBytes()),
	}); err != nil {
		return err
	}
	t.count = newCounter(std.err, f.common.quiet, "steps trained", int64(t.steps*len(starts)*len(f.backbones)*f.seeds))
	var results []detectResult
	for _, backbone := range f.backbones {
		for _, start := range starts {
			r, err := t.measure(ctx, start, backbone)
			if err != nil {
				t.count.finish()
				return fmt.Errorf("%s, %s: %w", start.name, backbone, err)
			}
			results = append(results, r)
		}
	}
	t.count.finish()
	if err := printDetection(std.out, results, f.common.json); err != nil {
		return err
	}
	if f.output == "" {
		return nil
	}
	return t.write(results)
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

// trainPolicy returns the policy of the views to learn from. One that fixes their side
// decides --size where that is not given.
func (f *detectFlags) trainPolicy(sized bool) (*augment.Policy, error) {
	if f.policy == "" {
		return augment.Parse("detect", []byte(detectTrainPolicy), f.size)
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

// A start is what trainings begin with: a network, and its weights for a seed.
type start struct {
	name   string
	model  *model
	params func(seed uint64) *encoder.Params
}

func (f *detectFlags) starts() ([]start, error) {
	m, err := loadModel(f.run, f.weights)
	if err != nil {
		return nil, err
	}
	starts := []start{{"trained", m, m.weights}}
	for _, b := range f.baselines {
		s := start{strings.TrimSuffix(filepath.Base(b), weightsExt), m, nil}
		info, err := os.Stat(b)
		switch {
		case b == randomBaseline:
			s.params = func(seed uint64) *encoder.Params { return encoder.NewParams(m.graph, seed) }
		case filepath.Ext(b) == weightsExt:
			s.model = &model{config: m.config, graph: m.graph}
			if s.model.params, err = otherWeights(m, b); err != nil {
				return nil, fmt.Errorf("--baselines: %s: %w", b, err)
			}
			s.params = s.model.weights
		case err == nil && info.IsDir():
			if s.model, err = loadModel(b, f.weights); err != nil {
				return nil, fmt.Errorf("--baselines: %w", err)
			}
			s.params = s.model.weights
		default:
			return nil, usagef("--baselines has %q, want random, a safetensors file or another run's directory", b)
		}
		if slices.ContainsFunc(starts, func(other start) bool { return other.name == s.name }) {
			s.name = strings.ReplaceAll(filepath.Clean(b), string(filepath.Separator), "_")
		}
		starts = append(starts, s)
	}
	return starts, nil
}

const weightsExt = ".safetensors"

// weights are a model's own, whatever the seed.
func (m *model) weights(uint64) *encoder.Params { return m.params }

// otherWeights returns the weights of a file for the network's trunk; heads of either
// play no part.
func otherWeights(m *model, path string) (*encoder.Params, error) {
	from, err := sink.ReadSafetensors(path)
	if err != nil {
		return nil, err
	}
	p := encoder.NewParams(m.graph, m.config.Seed)
	state := p.State()
	for name, tensor := range state.Tensors {
		other, ok := from.Tensors[name]
		if head := strings.HasPrefix(name, "fc.") || strings.HasPrefix(name, "predictor."); !ok && !head {
			return nil, fmt.Errorf("%s is missing: want the weights of the run's network, under the same names", name)
		} else if ok && !head {
			tensor = other
		}
		state.Tensors[name] = tensor
	}
	return p, p.Load(state)
}

// transfer is the way from weights to the average precision of a detector.
type transfer struct {
	*detectFlags
	log                     *slog.Logger
	trainSet, testSet       *objectSet
	trainPolicy, testPolicy *augment.Policy
	steps                   int // of a training
	count                   *counter
	shown                   []shownRun // of the first seed
}

// A shownRun is what one training found.
type shownRun struct {
	name  string
	found [][]detect.Detection // by image of the test set, in its pixels
}

// measure trains from a start with every seed and scores what is found.
func (t *transfer) measure(ctx context.Context, s start, backbone string) (detectResult, error) {
	var scores []detect.Score
	for number := range t.seeds {
		seed := t.common.seed + uint64(number)
		found, stride, err := t.one(ctx, s, seed, backbone == frozenBackbone)
		if err != nil {
			return detectResult{}, err
		}
		truths, detections := t.testSet.judged(found)
		score := detect.Evaluate(truths, detections, len(t.testSet.classes), detectMetrics[t.metric])
		t.log.Info("trained", "init", s.name, "backbone", backbone, "seed", seed, "stride", stride, "ap50", fmt.Sprintf("%.1f", 100*score.AP50), "ap", fmt.Sprintf("%.1f", 100*score.AP))
		scores = append(scores, score)
		if number == 0 {
			t.shown = append(t.shown, shownRun{s.name + "-" + backbone, found})
		}
	}
	r := summarise(scores, t.testSet.classes)
	r.Init, r.Backbone, r.Metric, r.Steps = s.name, backbone, t.metric, t.steps
	if s.name != randomBaseline {
		r.Step = s.model.step
	}
	return r, nil
}

// one trains a detector and returns what it finds in each image of the test set, nil
// for one that could not be read.
func (t *transfer) one(ctx context.Context, from start, seed uint64, frozen bool) (found [][]detect.Detection, stride int, err error) {
	d, err := detect.New(from.model.graph, from.params(seed), detect.Config{
		Seed: seed, Workers: t.common.workers, Conv: from.model.config.Conv, Classes: len(t.trainSet.classes), Size: t.size, Stride: t.stride,
		Frozen: frozen, Batch: min(t.batch, len(t.trainSet.images)), Steps: t.steps, LR: t.lr,
		Truths: func(id string, epoch uint32) ([]detect.Truth, error) {
			return t.trainSet.inView(t.trainPolicy, augment.SampleKey{Seed: seed, Epoch: epoch, ID: id})
		},
		Progress: func(detect.Progress) { t.count.one() },
	})
	if err != nil {
		return nil, 0, usageError{err}
	}
	defer d.Close()
	if need, have := d.MemoryBytes(), machineMemory(); have > 0 && need > have {
		return nil, 0, usagef("training needs %s, the machine has %s: lower --batch or --size", humanize.IBytes(uint64(need)), humanize.IBytes(uint64(have)))
	}
	order := func(epoch uint32) rng.Stream { return rng.New(seed, rng.Probe, detectOrder, uint64(epoch)) }
	if err := t.pass(ctx, t.trainSet, t.trainPolicy, seed, order, "detect", d.Train); err != nil {
		return nil, 0, err
	}
	found = make([][]detect.Detection, len(t.testSet.images))
	take := d.Find(func(id string, objects []detect.Detection) error {
		i := t.testSet.place[id]
		found[i], err = t.testSet.restore(t.testPolicy, id, objects)
		return err
	})
	return found, d.Stride, t.pass(ctx, t.testSet, t.testPolicy, seed, nil, "find", take)
}

// detectOrder names the draws of the order of images.
const detectOrder = 101

// pass sends views of a set's images to a stage: epoch after epoch in an order of its
// own, or once as they are.
func (t *transfer) pass(ctx context.Context, set *objectSet, policy *augment.Policy, seed uint64, order func(epoch uint32) rng.Stream, name string, to batch.Stage) error {
	images := repeated{size: len(set.images), row: set.row, file: set.file, order: order}
	if order == nil {
		images.epochs = 1
	}
	rejects, err := t.source.rejects()
	if err != nil {
		return err
	}
	damaged := map[string]bool{}
	rejects.Log = func(r batch.Reject) error {
		if damaged[r.Key] { // the same image again
			return nil
		}
		damaged[r.Key] = true
		t.log.Warn("rejected " + r.Error())
		if len(damaged) == len(set.images) { // or epochs without a view would follow each other forever
			return fmt.Errorf("none of the %d images can be read, the last: %w", len(damaged), r)
		}
		return nil
	}
	views, err := augmentStage(&t.common, &t.source, policy, t.batch, rejects, &seed)
	if err != nil {
		return err
	}
	p := t.common.pipeline(t.log)
	p.add("files", images.stage)
	p.add("augment", views)
	p.add(name, to).WorkIsProgress = true
	return p.run(ctx)
}
