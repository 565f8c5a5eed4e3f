package main

import (
	"context"

	"clpipe/encoder"
	"clpipe/encoder/probe"
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
	if j.val == "" || (epoch+1)%max(j.evalEvery, 1) != 0 {
		return nil, nil
	}
	source := j.trainFlags.source
	source.shuffle, source.from, source.limit = false, "", 0
	e := &embedding{
		common: &j.common, source: &source, log: j.log, graph: j.cfg.Graph(), params: v.params, size: j.cfg.Encoder.Size,
		conv: j.cfg.Conv, output: featureOutputs["projection"],
	}
	bankOf := j.valTrain
	if bankOf == "" {
		if len(source.src) != 1 {
			return nil, usagef("--val-train is missing: name the labelled images that --val is compared with")
		}
		bankOf = source.src[0]
	}
	bank, err := e.features(ctx, bankOf)
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
