package main

import (
	"context"
	"fmt"
	"log/slog"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/encoder/detect"
	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"

	"github.com/dustin/go-humanize"
)

// transfer is the way from weights to the average precision of a detector.
type transfer struct {
	*detectFlags
	std                     stdio
	log                     *slog.Logger
	starts                  []start
	trainSet, testSet       *objectSet
	truths                  [][]detect.Truth // of the test set
	trainPolicy, testPolicy *augment.Policy
	steps                   int // of a training
	count                   *counter
	shown                   []shownRun // of the first seed
}

// A shownRun is what one training found in the images of a sheet.
type shownRun struct {
	name   string
	folder string               // of its detections
	found  [][]detect.Detection // by image, in its pixels
}

// prepare reads and checks all that is needed: what is refused is refused before
// anything is trained. sized tells that --size was given.
func (t *transfer) prepare(ctx context.Context, sized bool) (err error) {
	if t.trainPolicy, err = t.detectFlags.trainPolicy(sized); err != nil {
		return err
	}
	if t.testPolicy, err = augment.Parse("detect-test", fmt.Appendf(nil, detectTestPolicy, t.size), t.size); err != nil {
		return err
	}
	if t.trainSet, err = loadObjects(t.train, "trainval"); err != nil {
		return err
	}
	if t.testSet, err = loadObjects(t.test, "test"); err != nil {
		return err
	}
	if err := classesKnown(t.trainSet, t.testSet); err != nil {
		return err
	}
	t.settle()
	// Files and views wait between the stages, as images and pairs do elsewhere.
	if _, err := t.common.fit(buffers{
		records: (streamDepth+2)*repeatedBytes + augment.HeldBytes(t.common.workers), pairs: (streamDepth + 2) * int64(t.batch) * int64(t.trainPolicy.RowBytes()),
	}); err != nil {
		return err
	}
	if err := t.fits(); err != nil {
		return err
	}
	if t.output != "" {
		if err := makeFolder(t.output); err != nil {
			return err
		}
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	if err := setsApart(t.trainSet, t.testSet, t.log); err != nil {
		return err
	}
	t.settle()
	t.truths = t.testSet.truths()
	if !toBeFound(t.truths) {
		return fmt.Errorf("%s: no image has an object that is not difficult: there is nothing to find", t.testSet.names)
	}
	return nil
}

// settle makes what depends on how many images there are to learn from.
func (t *transfer) settle() {
	n := len(t.trainSet.images)
	t.batch = min(t.batch, n)
	t.steps = max(1, t.epochs*n/t.batch)
}

// fits refuses networks that the views are too small for, and more memory than the
// machine has.
func (t *transfer) fits() error {
	for _, backbone := range t.backbones {
		for _, s := range t.starts {
			d, err := t.detector(s, t.common.seed, backbone)
			if err != nil {
				return usagef("%s, %s: %w", s.name, backbone, err)
			}
			if need, have := d.MemoryBytes(), machineMemory(); have > 0 && need > have {
				return usagef("%s, %s: training needs %s, the machine has %s: lower --batch or --size", s.name, backbone, humanize.IBytes(uint64(need)), humanize.IBytes(uint64(have)))
			}
		}
	}
	return nil
}

// look looks at the images of both sets.
func (t *transfer) look(ctx context.Context) error {
	count := newCounter(t.std.err, t.common.quiet, "images checked", int64(len(t.trainSet.images)+len(t.testSet.images)))
	defer count.finish()
	for _, set := range []*objectSet{t.trainSet, t.testSet} {
		rejects, err := t.source.namedRejects(t.log)
		if err != nil {
			return err
		}
		if err := set.look(ctx, t.common.workers, t.decoder, rejects, count.one); err != nil {
			return err
		}
	}
	return nil
}

// decoder returns one that gives images as the stage of views does.
func (t *transfer) decoder() *imagecodec.Decoder {
	pixels, _ := t.source.pixels() // which check has read
	return &imagecodec.Decoder{Limits: imagecodec.Limits{MaxPixels: pixels}, Upright: t.source.exifTranspose}
}

// measureAll measures all starts with all backbones. With an error it returns what was
// finished before.
func (t *transfer) measureAll(ctx context.Context) (results []detectResult, err error) {
	t.count = newCounter(t.std.err, t.common.quiet, "steps trained", int64(t.steps)*int64(len(t.starts)*len(t.backbones)*t.seeds))
	defer t.count.finish()
	for _, backbone := range t.backbones {
		for _, s := range t.starts {
			r, err := t.measure(ctx, s, backbone)
			if err != nil {
				return results, fmt.Errorf("%s, %s: %w", s.name, backbone, err)
			}
			results = append(results, r)
			if t.output == "" {
				continue
			}
			// After each part, so that nothing of it can be lost.
			if err := t.write(results); err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// measure trains from a start with every seed and scores what is found.
func (t *transfer) measure(ctx context.Context, s start, backbone string) (detectResult, error) {
	var scores []detect.Score
	stride := 0
	for number := range t.seeds {
		seed := t.common.seed + uint64(number)
		d, err := t.detector(s, seed, backbone)
		if err != nil {
			return detectResult{}, err
		}
		found, err := t.trainAndFind(ctx, d, seed)
		d.Close()
		if err != nil {
			return detectResult{}, fmt.Errorf("seed %d: %w", seed, err)
		}
		score := detect.Evaluate(t.truths, found, len(t.testSet.classes), detectMetrics[t.metric])
		t.log.Info("trained", "init", s.name, "backbone", backbone, "seed", seed, "stride", d.Stride, "ap50", fmt.Sprintf("%.1f", 100*score.AP50), "ap", fmt.Sprintf("%.1f", 100*score.AP))
		scores, stride = append(scores, score), d.Stride
		if number == 0 {
			if err := t.show(s.name+"-"+backbone, found); err != nil {
				return detectResult{}, err
			}
		}
	}
	r := summarise(scores, t.testSet.classes)
	r.Init, r.Backbone, r.Metric, r.Steps, r.Stride = s.name, backbone, t.metric, t.steps, stride
	if s.name != randomBaseline {
		r.Step = s.model.step
	}
	return r, nil
}

// detector returns an untrained detector on a start's network.
func (t *transfer) detector(from start, seed uint64, backbone string) (*detect.Trainer, error) {
	return detect.New(from.model.graph, from.params(seed), detect.Config{
		Seed: seed, Workers: t.common.workers, Conv: from.model.config.Conv, Classes: len(t.trainSet.classes), Size: t.size, Stride: t.stride,
		Frozen: backbone == frozenBackbone, Batch: t.batch, Steps: t.steps, LR: t.lr,
		Truths: func(id string, epoch uint32) ([]detect.Truth, error) {
			return t.trainSet.inView(t.trainPolicy, augment.SampleKey{Seed: seed, Epoch: epoch, ID: id})
		},
		Progress: func(detect.Progress) { t.count.one() },
	})
}

// trainAndFind trains a detector and returns what it finds in each image of the test
// set.
func (t *transfer) trainAndFind(ctx context.Context, d *detect.Trainer, seed uint64) (found [][]detect.Detection, err error) {
	order := func(epoch uint32) rng.Stream { return rng.New(seed, rng.Probe, detectOrder, uint64(epoch)) }
	if err := t.pass(ctx, t.trainSet, t.trainPolicy, seed, order, "detect", d.Train); err != nil {
		return nil, err
	}
	found = make([][]detect.Detection, len(t.testSet.images))
	take := d.Find(func(id string, objects []detect.Detection) (err error) {
		found[t.testSet.place[id]], err = t.testSet.restore(t.testPolicy, id, objects)
		return err
	})
	return found, t.pass(ctx, t.testSet, t.testPolicy, seed, nil, "find", take)
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
	rejects.Log = eachOnce(t.log, len(set.images), set.names, "images")
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
