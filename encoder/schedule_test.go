package encoder_test

import (
	"math"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/goldentest"
)

func TestSchedulesMatchPyTorch(t *testing.T) {
	want := map[string][]float64{}
	goldentest.Read(t, "testdata/schedule.json", &want)
	const base = 0.03
	for _, c := range []struct {
		name     string
		schedule encoder.Schedule
		at       func(i int) (step, epoch int)
	}{
		{"cosine", encoder.Schedule{Kind: encoder.Cosine, Base: base, Epochs: 20}, func(i int) (int, int) { return 100 * i, i }},
		{"cosine", encoder.Schedule{Kind: encoder.Cosine, Base: base, Steps: 20}, func(i int) (int, int) { return i, 0 }},
		{"step", encoder.Schedule{Kind: encoder.StepDecay, Base: base, Epochs: 20}, func(i int) (int, int) { return 100*i + 99, i }},
		{"warmup", encoder.Schedule{Kind: encoder.Cosine, Base: base, Warmup: 5, Steps: 25}, func(i int) (int, int) { return i, 0 }},
	} {
		if len(want[c.name]) == 0 {
			t.Fatalf("no rates for %s", c.name)
		}
		for i, rate := range want[c.name] {
			step, epoch := c.at(i)
			// PyTorch's schedulers go from rate to rate and gather rounding.
			if got := c.schedule.LR(step, epoch); math.Abs(got-rate) > 1e-12 {
				t.Errorf("%+v: step %d, epoch %d: %.15g, want %.15g", c.schedule, step, epoch, got, rate)
			}
		}
	}
}

func TestScheduleAtItsEnds(t *testing.T) {
	for _, c := range []struct {
		schedule    encoder.Schedule
		step, epoch int
		want        float64
	}{
		{encoder.Schedule{Kind: encoder.Constant, Base: 2, Steps: 10}, 9, 0, 2},
		{encoder.Schedule{Kind: encoder.Constant, Base: 2, Warmup: 4}, 1, 0, 0.5},
		{encoder.Schedule{Kind: encoder.Cosine, Base: 2, Warmup: 4, Epochs: 10}, 2, 0, 1},
		{encoder.Schedule{Kind: encoder.Cosine, Base: 2, Warmup: 4, Epochs: 10}, 50, 5, 1},
		{encoder.Schedule{Kind: encoder.Cosine, Base: 2, Steps: 10}, 30, 0, 0},
		{encoder.Schedule{Kind: encoder.Cosine, Base: 2, Epochs: 10}, 0, 30, 0},
		{encoder.Schedule{Kind: encoder.Cosine, Base: 2}, 7, 3, 2},                           // no end is known
		{encoder.Schedule{Kind: encoder.Cosine, Base: 2, Warmup: 9, Steps: 5}, 3, 0, 2. / 3}, // ends in its warm-up
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, Steps: 10}, 5, 0, 1},
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, Steps: 10}, 6, 0, 0.1},
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, Steps: 10}, 8, 0, 0.01},
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, Warmup: 4, Steps: 20}, 11, 0, 1}, // falls when it would without
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, Warmup: 4, Steps: 20}, 12, 0, 0.1},
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, Warmup: 4, Steps: 20}, 16, 0, 0.01},
		{encoder.Schedule{Kind: encoder.StepDecay, Base: 1, WarmupEpochs: 1, Epochs: 10}, 7, 6, 0.1},
	} {
		if got := c.schedule.LR(c.step, c.epoch); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%+v: step %d, epoch %d: %v, want %v", c.schedule, c.step, c.epoch, got, c.want)
		}
	}
}

// A warm-up in epochs takes its steps, at most a tenth of the run; without a
// length in steps the rate rises from epoch to epoch.
func TestWarmupByEpochs(t *testing.T) {
	const base = 2
	s := encoder.Schedule{Kind: encoder.Cosine, Base: base, Epochs: 200, WarmupEpochs: 10}
	steps, short, open := s, s, s
	steps.Steps = 200 * 7
	short.Epochs, short.Steps = 20, 20*7
	bySteps := encoder.Schedule{Kind: encoder.Cosine, Base: base, Warmup: 70, Steps: 200 * 7}
	cut := encoder.Schedule{Kind: encoder.Cosine, Base: base, Warmup: 14, Steps: 20 * 7}
	for step := range 200 * 7 {
		if got, want := steps.LR(step, step/7), bySteps.LR(step, step/7); got != want {
			t.Fatalf("step %d: %v, want %v", step, got, want)
		}
		if got, want := short.LR(step, step/7), cut.LR(step, step/7); got != want {
			t.Fatalf("short run, step %d: %v, want %v", step, got, want)
		}
	}
	for epoch, want := range map[int]float64{0: base / 11., 9: base * 10 / 11., 10: base, 105: base / 2., 200: 0} {
		if got := open.LR(1000*epoch+3, epoch); math.Abs(got-want) > 1e-12 {
			t.Errorf("epoch %d: %v, want %v", epoch, got, want)
		}
	}
}

func TestCapWarmup(t *testing.T) {
	for _, c := range []struct{ warmup, steps, want int }{{500, 0, 500}, {500, 500, 50}, {500, 10000, 500}, {0, 100, 0}, {5, 6, 0}} {
		s := encoder.Schedule{Warmup: c.warmup, Steps: c.steps}
		if s.CapWarmup(); s.Warmup != c.want {
			t.Errorf("a warm-up of %d steps in %d is held to %d, want %d", c.warmup, c.steps, s.Warmup, c.want)
		}
	}
}
