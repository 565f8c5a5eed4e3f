package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder/probe"
	"clpipe/ingest"
	"clpipe/ingest/remote"
	"clpipe/internal/rng"
)

// fineTunePolicy is that of SimCLR's fine-tuning (Chen et al. 2020, appendix B.5).
const fineTunePolicy = "name: finetune\nanchor:\n  - {op: random_resized_crop, scale: [0.08, 1.0]}\n  - {op: horizontal_flip, p: 0.5}\n"

// fineTune is the way from labelled images to the accuracy of a network that was
// trained on them, all weights together.
type fineTune struct {
	*embedding // of the network to start from, its weights as they are
	config     contrast.Config
	epochs     int // 0: the published number

	labels []int // of the training images, once they have been read
}

// labelledFiles are labelled images as their files, in memory.
type labelledFiles struct {
	meta   batch.Metadata
	rows   []batch.Row
	files  [][]byte // nil where only the label was wanted
	labels []int
}

// run fine-tunes with a share of the labels of train, one of its draws, and
// classifies test.
func (f *fineTune) run(ctx context.Context, train, test string, share float64, number int) (probe.Score, error) {
	seed := f.common.seed
	if f.labels == nil {
		all, err := f.files(ctx, train, noFiles)
		if err != nil {
			return probe.Score{}, err
		}
		f.labels = all.labels
	}
	chosen, err := probe.FewRows(f.labels, share, seed, number)
	if err != nil {
		return probe.Score{}, err
	}
	wanted := make([]bool, len(f.labels))
	for _, i := range chosen {
		wanted[i] = true
	}
	images, err := f.files(ctx, train, func(n int) bool { return n < len(wanted) && wanted[n] })
	if err != nil {
		return probe.Score{}, err
	}
	images.keep(wanted)

	epochs := f.epochs
	if epochs == 0 {
		epochs = probe.FineTuneEpochs(share)
	}
	size := min(probe.FineTuneBatch, len(images.labels))
	tuner, err := probe.NewFineTuner(f.config.WholeGraph(), f.params, probe.FineTuneConfig{
		Seed: seed, Workers: f.common.workers, Conv: f.conv, Labels: f.labels, Batch: size,
		Steps: max(1, epochs*len(images.labels)/size),
	})
	if err != nil {
		return probe.Score{}, err
	}
	defer tuner.Close()
	policy, err := augment.Parse("finetune", []byte(fineTunePolicy), f.size)
	if err != nil {
		return probe.Score{}, err
	}
	rejects, err := f.source.rejects()
	if err != nil {
		return probe.Score{}, err
	}
	rejects.Log = eachOnce(f.log, len(images.files), remote.Redact(train), "images to train on")
	views, err := augmentStage(f.common, f.source, policy, size, rejects, &seed)
	if err != nil {
		return probe.Score{}, err
	}
	p := f.common.pipeline(f.log)
	p.add("memory", images.stage(seed, number))
	p.add("augment", views)
	p.add("finetune", tuner.Train).WorkIsProgress = true
	if err := p.run(ctx); err != nil {
		return probe.Score{}, err
	}

	judge := *f.embedding
	judge.graph, judge.params, judge.output = tuner.Graph, tuner.Params, probe.Logits
	logits, err := judge.features(ctx, test)
	if err != nil {
		return probe.Score{}, err
	}
	return probe.Classified(logits, tuner.Classes), nil
}

// files reads the labelled images of a source, and keeps the files of those that
// are wanted, by their number among them.
func (e *embedding) files(ctx context.Context, src string, wanted func(n int) bool) (*labelledFiles, error) {
	rejects, err := e.source.namedRejects(e.log)
	if err != nil {
		return nil, err
	}
	cfg, err := e.source.ingestConfig(e.common, rejects, e.log)
	if err != nil {
		return nil, err
	}
	cfg.Sources, cfg.Encoded, cfg.Epochs = []string{src}, true, 1
	source, err := ingest.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	// As of features, how much gathers is known at the end.
	if _, err := e.common.fit(buffersOf(source)); err != nil {
		return nil, err
	}
	to := &labelledFiles{}
	p := e.common.pipeline(e.log)
	p.addSource(source)
	p.add("sink", func(ctx context.Context, in batch.Reader, _ batch.Writer) error { return to.collect(ctx, in, wanted) })
	if err := p.run(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", remote.Redact(src), err)
	}
	if len(to.labels) == 0 {
		return nil, fmt.Errorf("%s: %w", remote.Redact(src), probe.ErrNoLabel)
	}
	return to, nil
}

// noFiles wants labels only.
func noFiles(int) bool { return false }

func (l *labelledFiles) collect(ctx context.Context, in batch.Reader, wanted func(n int) bool) error {
	schema, err := in.Schema(ctx)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := batch.Expect(schema, batch.EncodedKind); err != nil {
		return err
	}
	l.meta = batch.MetadataOf(schema)
	for {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		encoded, err := batch.NewEncoded(rec)
		if err == nil {
			err = l.add(encoded, wanted)
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
}

func (l *labelledFiles) add(encoded *batch.Encoded, wanted func(n int) bool) error {
	for i := range encoded.Len() {
		label, ok := encoded.Label(i)
		if !ok {
			continue
		}
		if err := probe.CheckLabel(label); err != nil {
			return err
		}
		var file []byte
		if wanted(len(l.labels)) {
			file = append(file, encoded.Bytes(i)...)
		}
		index, _ := encoded.Index(i)
		l.rows = append(l.rows, batch.Row{ID: strings.Clone(encoded.ID(i)), Index: index, Label: label, HasLabel: true})
		l.files, l.labels = append(l.files, file), append(l.labels, int(label))
	}
	return nil
}

// keep leaves out all rows but those wanted.
func (l *labelledFiles) keep(wanted []bool) {
	n := 0
	for i := range l.labels {
		if i < len(wanted) && wanted[i] {
			l.rows[n], l.files[n], l.labels[n] = l.rows[i], l.files[i], l.labels[i]
			n++
		}
	}
	l.rows, l.files, l.labels = l.rows[:n], l.files[:n], l.labels[:n]
}

// stage returns the source of the images, epoch after epoch without an end, each
// in an order of its own.
func (l *labelledFiles) stage(seed uint64, number int) batch.Stage {
	return repeated{
		meta: l.meta,
		size: len(l.files),
		row:  func(i int) batch.Row { return l.rows[i] },
		file: func(i int) ([]byte, error) { return l.files[i], nil },
		// Each draw of a few labels has orders of its own.
		order: func(epoch uint32) rng.Stream {
			return rng.New(seed, rng.Probe, fineTuneOrder, uint64(number), uint64(epoch))
		},
	}.stage
}

// fineTuneOrder names the draws of the order of images.
const fineTuneOrder = 100
