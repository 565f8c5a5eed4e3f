package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/encoder/probe"
	"clpipe/ingest"
	"clpipe/ingest/remote"
)

// validation classifies labelled images by kNN on the embeddings during
// training, as the curves of the MoCo CIFAR notebook do (k 200, temperature
// 0.1). It reads the weights and changes nothing.
type validation struct {
	job    *trainJob
	params *encoder.Params
}

// epoch returns the entries for the metrics at the end of an epoch.
func (v *validation) epoch(ctx context.Context, epoch int) (map[string]any, error) {
	j := v.job
	if j.val == "" || (epoch+1)%j.evalEvery != 0 {
		return nil, nil
	}
	source := j.trainFlags.source.whole()
	graph, output := j.cfg.WholeGraph(), featureOutputs["projection"]
	if _, ok := graph.Find(output); !ok { // the method has no projection head
		output = featureOutputs["backbone"]
	}
	e := &embedding{
		common: &j.common, source: &source, log: j.log, graph: graph, params: v.params, size: j.cfg.Encoder.Size,
		conv: j.cfg.Conv, output: output,
	}
	bank, err := e.features(ctx, j.neighbours())
	if err != nil {
		return nil, err
	}
	test, err := e.features(ctx, j.val)
	if err != nil {
		return nil, err
	}
	s := probe.KNN(bank, test, probe.KNNConfig{Workers: j.common.workers})
	j.log.Info("kNN", "epoch", epoch, "top1", fmt.Sprintf("%.1f%%", 100*s.Top1))
	return map[string]any{"knn_top1": s.Top1, "knn_ci": s.CI}, nil
}

// neighbours is the source of the labelled images that --val is compared with,
// "" if there is no telling.
func (j *trainJob) neighbours() string {
	if src := j.trainFlags.source.src; j.valTrain == "" && len(src) == 1 && src[0] != "-" {
		return src[0]
	}
	return j.valTrain
}

// checkValidation finds out before the first step what an epoch's end would
// stumble over.
func (j *trainJob) checkValidation(ctx context.Context) error {
	if j.evalEvery < 1 {
		return usagef("--eval-every is %d, want at least 1", j.evalEvery)
	}
	if j.val == "" {
		return nil
	}
	if j.neighbours() == "" {
		return usagef("--val-train is missing: name the labelled images that --val is compared with")
	}
	return lookForLabels(ctx, &j.common, j.trainFlags.source, j.log, j.neighbours(), j.val)
}

// lookedAt is how many samples of a source that needs labels are looked at before
// the first step.
const lookedAt = 256

// lookForLabels fails if one of the sources cannot be read, if of some samples
// drawn of it none has a label, or if the labels do not mean the same: before hours
// are spent on training.
func lookForLabels(ctx context.Context, common *commonFlags, source sourceFlags, log *slog.Logger, train, test string) error {
	source = source.whole()
	if err := sameClasses(ctx, common, source, log, train, test); err != nil {
		return err
	}
	source.shuffle, source.shuffleBuffer, source.limit = true, lookedAt, lookedAt
	source.maxRejects = "100%" // of so few: how many are damaged is judged over all
	look := &embedding{common: common, source: &source, log: log}
	for _, src := range []string{train, test} {
		_, err := look.files(ctx, src, noFiles)
		if errors.Is(err, probe.ErrNoLabel) {
			return usagef("labels are needed, and of %d samples drawn of %s none has one", lookedAt, remote.Redact(src))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sameClasses fails if two sources whose classes are folders name different ones by
// the same label. A label is a class's place in the sorted list of its own source:
// with other folders in one of them, what is right would count as wrong.
func sameClasses(ctx context.Context, common *commonFlags, source sourceFlags, log *slog.Logger, train, test string) error {
	if train == "-" || test == "-" {
		return nil // read only once, and no folder
	}
	var classes [2][]string
	for i, src := range []string{train, test} {
		cfg, err := source.ingestConfig(common, &batch.Rejects{}, log)
		if err != nil {
			return err
		}
		cfg.Sources = []string{src}
		opened, err := ingest.Open(ctx, cfg)
		if err != nil {
			return err
		}
		classes[i] = opened.Classes()
	}
	for label := range min(len(classes[0]), len(classes[1])) {
		if learned, asked := classes[0][label], classes[1][label]; learned != asked {
			return usagef("label %d is class %q in %s and %q in %s: labels count the class folders as sorted, so give both the same ones",
				label, learned, remote.Redact(train), asked, remote.Redact(test))
		}
	}
	return nil
}
