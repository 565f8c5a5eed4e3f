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
	// WarmupEpochs, where Warmup is 0, is the same in epochs, as papers give it;
	// it takes at most a tenth of the run. Where Steps is not known the rate
	// rises from epoch to epoch.
	WarmupEpochs int
	// Steps is the length of the run; 0 means unknown, and then the course goes
	// by epochs, of which there are Epochs.
	Steps, Epochs int
	// StepDecay multiplies by Factor at each of two shares of the run, its warm-up
	// among it, First and Second; Factor 0 stands for 0.1 at 0.6 and 0.8, as MoCo v1
	// does at epochs 120 and 160 of 200.
	Factor, First, Second float64
}

// CapWarmup holds Warmup to a tenth of the run, as WarmupEpochs is held: where it is
// that of a long run and not asked for. Without a length in steps it stays.
func (s *Schedule) CapWarmup() {
	if s.Steps > 0 {
		s.Warmup = min(s.Warmup, s.Steps/10)
	}
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
	warm, warmEpochs := s.warmup()
	switch {
	case step < warm:
		return s.Base * float64(step) / float64(warm)
	case epoch < warmEpochs:
		return s.Base * float64(epoch+1) / float64(warmEpochs+1)
	}
	switch s.Kind {
	case Cosine:
		return s.Base * 0.5 * (1 + math.Cos(math.Pi*s.done(step, epoch, warm, warmEpochs)))
	case StepDecay:
		return s.Base * s.decay(s.Done(step, epoch))
	}
	return s.Base
}

// Done returns the share of the run that lies behind a step, 0 if its length is
// not known.
func (s Schedule) Done(step, epoch int) float64 { return s.done(step, epoch, 0, 0) }

// done is the same without a warm-up of so many steps or else epochs.
func (s Schedule) done(step, epoch, warm, warmEpochs int) float64 {
	switch {
	case s.Steps > warm:
		return min(float64(step-warm)/float64(s.Steps-warm), 1)
	case s.Epochs > 0:
		return min(float64(epoch-warmEpochs)/float64(s.Epochs-warmEpochs), 1)
	}
	return 0
}

// warmup returns the length of the warm-up, in steps or in epochs.
func (s Schedule) warmup() (steps, epochs int) {
	switch {
	case s.Warmup > 0 || s.WarmupEpochs == 0:
		return s.Warmup, 0
	case s.Steps == 0 && s.Epochs == 0:
		return 0, 0
	case s.Steps == 0:
		return 0, min(s.WarmupEpochs, s.Epochs/10)
	case s.Epochs == 0:
		return s.Steps / 10, 0
	}
	return min(s.WarmupEpochs*s.Steps/s.Epochs, s.Steps/10), 0
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
