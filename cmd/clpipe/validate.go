package main

import (
	"context"
	"errors"

	"clpipe/encoder"
	"clpipe/encoder/probe"
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
	source := j.validationSource()
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
	j.log.Info("kNN", "epoch", epoch, "top1", s.Top1)
	return map[string]any{"knn_top1": s.Top1, "knn_ci": s.CI}, nil
}

// validationSource returns the options of reading as they are for validation:
// order, part and index are those of --src.
func (j *trainJob) validationSource() sourceFlags {
	source := j.trainFlags.source
	source.shuffle, source.from, source.limit, source.rank, source.world, source.index = false, "", 0, 0, 1, ""
	return source
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
	// Some of each, drawn: that they can be read and that there are labels.
	source := j.validationSource()
	source.shuffle, source.shuffleBuffer, source.limit, source.maxRejects = true, lookedAt, lookedAt, "100%"
	look := &embedding{common: &j.common, source: &source, log: j.log}
	for _, src := range []string{j.neighbours(), j.val} {
		_, err := look.files(ctx, src, noFiles)
		if errors.Is(err, probe.ErrNoLabel) {
			return usagef("--val and what it is compared with need labels: of %d samples drawn of %s none has one", lookedAt, remote.Redact(src))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lookedAt is how many samples of a source for validation are looked at before
// the first step.
const lookedAt = 256
