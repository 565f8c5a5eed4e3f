package encoder

import (
	"fmt"
	"math"
)

// Schedule is the course of the learning rate over a run.
type Schedule struct {
	Kind ScheduleKind
	Base float64 // learning rate at its height
	// Warmup is the number of steps over which the rate rises linearly from 0.
	Warmup int
	// Steps is the length of the run; 0 means unknown, and then the course goes
	// by epochs, of which there are Epochs.
	Steps, Epochs int
	// StepDecay multiplies by Factor at each of two shares of the run, First and
	// Second; Factor 0 stands for 0.1 at 0.6 and 0.8, as MoCo v1 does at epochs
	// 120 and 160 of 200.
	Factor, First, Second float64
}

// ScheduleKind names a course.
type ScheduleKind string

const (
	// Cosine falls as half a cosine from Base to 0.
	Cosine ScheduleKind = "cosine"
	// StepDecay falls twice, see Schedule.Factor.
	StepDecay ScheduleKind = "step"
	// Constant stays at Base.
	Constant ScheduleKind = "constant"
)

// ParseSchedule reads cosine, step or constant.
func ParseSchedule(s string) (ScheduleKind, error) {
	switch k := ScheduleKind(s); k {
	case Cosine, StepDecay, Constant:
		return k, nil
	}
	return "", fmt.Errorf("encoder: schedule %q is not known: want cosine, step or constant", s)
}

// LR returns the learning rate of a step (counted from 0) in an epoch.
func (s Schedule) LR(step, epoch int) float64 {
	if step < s.Warmup {
		return s.Base * float64(step) / float64(s.Warmup)
	}
	var done float64 // share of the course that lies behind
	switch {
	case s.Steps > s.Warmup:
		done = float64(step-s.Warmup) / float64(s.Steps-s.Warmup)
	case s.Epochs > 0:
		done = float64(epoch) / float64(s.Epochs)
	}
	switch done = min(done, 1); {
	case s.Kind == Cosine:
		return s.Base * 0.5 * (1 + math.Cos(math.Pi*done))
	case s.Kind == StepDecay:
		return s.Base * s.decay(done)
	}
	return s.Base
}

// decay is the factor of a step schedule at a share of the run.
func (s Schedule) decay(done float64) float64 {
	factor, first, second := s.Factor, s.First, s.Second
	if factor == 0 {
		factor, first, second = 0.1, 0.6, 0.8
	}
	switch {
	case done >= second:
		return factor * factor
	case done >= first:
		return factor
	}
	return 1
}
