package main

import (
	"crypto/sha256"
	"fmt"
	"os"

	"clpipe/augment"
	"clpipe/contrast"
	"clpipe/ingest/remote"
)

// What a run records of its settings, so that the same run can be made again: their
// values, and of files that they name what was in them.

// resolved returns the settings as the run uses them, by flag.
func (j *trainJob) resolved() map[string]any {
	c := j.cfg
	out := map[string]any{
		"method": c.Method, "encoder": c.EncoderName(), "width": c.Encoder.Width,
		"head": string(c.Head), "size": c.Encoder.Size, "batch": c.Batch, "queue": c.Queue, "dim": c.Dim, "temperature": c.Temperature,
		"learn-temperature": c.LearnTemperature, "momentum": c.Momentum, "momentum-schedule": string(c.MomentumSchedule), "symmetric": c.Symmetric, "queue-init": string(c.QueueInit), "mask-same-id": c.MaskSameID,
		"split-bn": c.SplitBN, "lr": c.Schedule.Base, "weight-decay": c.WeightDecay, "optimizer": string(c.Optimizer), "clip-norm": c.ClipNorm, "schedule": string(c.Schedule.Kind),
		"ema": c.EMA, "chunk": c.Chunk, "warmup": c.Schedule.Warmup, "warmup-epochs": c.Schedule.WarmupEpochs, "normalize": formatNormalize(c.Encoder.Normalize), "conv": j.method.conv, "seed": c.Seed,
		"depth": c.Depth, "estimator": string(c.Estimator), "dim-objective": string(c.Pairing), "critic": string(c.Critic), "prior": c.Prior,
		"coordinates": string(c.Coordinates), "occlude": c.Occlude,
		"directions": c.Directions, "mixture": c.Mixture, "mixture-sharpness": c.MixtureSharpness, "mixture-entropy": c.MixtureEntropy,
		"hidden": c.Hidden, "bound": string(c.Bound), "bound-alpha": c.BoundAlpha,
	}
	for _, name := range contrast.Particular() {
		if !c.Uses(name) {
			delete(out, name)
		}
	}
	if c.Schedule.Steps > 0 {
		out["steps"] = c.Schedule.Steps
	}
	if c.Schedule.Epochs > 0 {
		out["epochs"] = c.Schedule.Epochs
	}
	if c.Local > 0 {
		out["local-crops"], out["local-size"] = c.Local, c.LocalSize
	}
	if j.source != nil {
		s := j.source.Config()
		out["shuffle"], out["shuffle-buffer"], out["interleave"], out["limit"] = s.Shuffle, s.ShuffleBuffer, s.Interleave, s.Limit
		out["shuffle-bytes"] = fmt.Sprint(s.ShuffleBytes)
		out["rank"], out["world"] = j.trainFlags.source.rank, j.trainFlags.source.world
		if j.policy.FastDecode() {
			out["fast-decode"] = true
		}
		if j.views.policy == "" {
			out["policy"] = j.cfg.Policy()
		}
		if j.policySum != "" {
			out[policySum] = j.policySum
		}
		if j.indexSum != "" {
			out[indexSum] = j.indexSum
		}
	}
	return out
}

// sum returns the SHA-256 of the policy's file, "" of a policy that is built in.
func (v *viewFlags) sum() (string, error) {
	if v.policy == "" || augment.IsBuiltin(v.policy) {
		return "", nil
	}
	text, err := os.ReadFile(v.policy)
	return fmt.Sprintf("%x", sha256.Sum256(text)), err
}

// sumPolicy settles the sum that the run records. One that a configuration has
// recorded must be the file's, unless another policy is asked for.
func (j *trainJob) sumPolicy() (err error) {
	recorded := j.policySum
	if j.policySum, err = j.views.sum(); err != nil {
		return err
	}
	if recorded != "" && recorded != j.policySum && !typed(j.fs, "policy") {
		return usagef("%s is another policy than the one that was recorded (%s): put it back, or name one by --policy", j.views.policy, policySum)
	}
	return nil
}

// sumIndex settles the sum of the order by an index, likewise.
func (j *trainJob) sumIndex() error {
	recorded := j.indexSum
	j.indexSum = j.source.IndexSum()
	if recorded != "" && recorded != j.indexSum && !typed(j.fs, "index") {
		return usagef("--index %s is another index than the one that was recorded (%s): put it back, or name one by --index", remote.Redact(j.trainFlags.source.index), indexSum)
	}
	return nil
}
