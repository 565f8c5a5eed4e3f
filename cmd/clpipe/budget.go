package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/sink"

	yamlv3 "gopkg.in/yaml.v3"
)

// spend turns --budget into a number of steps, unless --steps or --epochs ask
// for fewer. A run that is resumed keeps the number it began with: another
// measurement would make it another run.
func (j *trainJob) spend(ctx context.Context) error {
	if !changed(j.fs, "budget") {
		return nil
	}
	if j.budget <= 0 {
		return usagef("--budget is %v, want a time above 0, as 2h", j.budget)
	}
	if j.source == nil {
		return usagef("--budget needs --src: how fast pairs come from another process cannot be measured beforehand")
	}
	steps := 0
	if j.resume && j.run != "" {
		steps = recordedSteps(j.run)
	}
	if steps == 0 {
		perStep, err := j.timePerStep(ctx)
		if err != nil {
			return err
		}
		steps = max(1, int(j.budget/perStep))
		j.log.Info("measured", "per step", perStep.Round(time.Microsecond), "budget", j.budget, "steps", steps)
	}
	s := &j.cfg.Schedule
	if asked := changed(j.fs, "steps") || changed(j.fs, "epochs"); !asked || s.Steps == 0 || steps < s.Steps {
		s.Steps = steps
	}
	if !changed(j.fs, "epochs") {
		s.Epochs = 0
	}
	return nil
}

// recordedSteps returns the length of a run, 0 if none is on record.
func recordedSteps(run string) int {
	var cfg struct{ Steps int }
	text, err := os.ReadFile(filepath.Join(run, sink.ConfigFile))
	if err != nil || yamlv3.Unmarshal(text, &cfg) != nil {
		return 0 // not begun, or reported where the run is opened
	}
	return cfg.Steps
}

// timePerStep measures a step with the whole pipeline on a scratch encoder, before
// the first one.
func (j *trainJob) timePerStep(ctx context.Context) (time.Duration, error) {
	const warm, measured = 2, 6
	scratch := *j
	scratch.cfg.Schedule.Steps, scratch.cfg.Schedule.Epochs = warm+measured, 0 // few samples are read again and again
	scratch.rejects = &batch.Rejects{Max: 1}
	var start, end time.Time // not of what comes once, at a run's end, as its digest
	trainer, err := contrast.New(scratch.cfg, contrast.Hooks{Progress: func(p contrast.Progress) {
		switch p.Step {
		case warm:
			start = time.Now()
		case warm + measured:
			end = time.Now()
		}
	}, Stop: j.sig.stop})
	if err != nil {
		return 0, err
	}
	defer trainer.Close()
	p := j.common.pipeline(j.log)
	if err := scratch.addSource(ctx, p, batch.Position{}); err != nil {
		return 0, err
	}
	p.add("train", func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		_, err := trainer.Train(ctx, in, discard{})
		return err
	}).WorkIsProgress = true
	if err := p.run(ctx); err != nil {
		return 0, err
	}
	return max(end.Sub(start)/measured, 1), nil
}

// discard is a Recorder that keeps nothing.
type discard struct{}

func (discard) Log(any) error                     { return nil }
func (discard) Checkpoint(int, batch.State) error { return nil }
