package encoder

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/internal/kernel"
)

// An Optimizer steps parameters by their gradients and then sets these to zero.
type Optimizer interface {
	// Step moves the parameters at the learning rate lr.
	Step(lr float64)
	// State returns what the optimiser remembers, Load takes it back.
	State() batch.State
	Load(batch.State) error
}

// OptimizerKind names an optimiser.
type OptimizerKind string

const (
	SGDOptimizer   OptimizerKind = "sgd"
	LARSOptimizer  OptimizerKind = "lars"
	AdamOptimizer  OptimizerKind = "adam"
	AdamWOptimizer OptimizerKind = "adamw"
)

// ParseOptimizer reads sgd, lars, adam or adamw.
func ParseOptimizer(s string) (OptimizerKind, error) {
	switch k := OptimizerKind(s); k {
	case SGDOptimizer, LARSOptimizer, AdamOptimizer, AdamWOptimizer:
		return k, nil
	}
	return "", fmt.Errorf("encoder: optimizer %q is not known: want sgd, lars, adam or adamw", s)
}

// refuseForeign returns an error if the state of the named optimiser holds a
// tensor that is not under one of its prefixes, such as another optimiser's.
func refuseForeign(st batch.State, optimizer string, prefixes ...string) error {
	for _, name := range slices.Sorted(maps.Keys(st.Tensors)) {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return fmt.Errorf("encoder: load: %s is not part of %s, which has %s*", name, optimizer, strings.Join(prefixes, "*, "))
		}
	}
	return nil
}

// momentumPrefix is PyTorch's name for the buffer.
const momentumPrefix = "momentum_buffer."

// momentum is the one buffer that SGD and LARS remember.
type momentum struct {
	optimizer string // whose it is, for messages
	params    *Params
	buf       []float32 // laid out as Params.Data
}

func newMomentum(optimizer string, params *Params) momentum {
	return momentum{optimizer, params, kernel.Alloc(len(params.Data))}
}

// state returns the buffer of every trained tensor, nothing before the first step.
func (m momentum) state(first bool) batch.State {
	var out batch.State
	if !first {
		out.Add(momentumPrefix, m.params.export(m.params.in(m.buf), false))
	}
	return out
}

// load takes over what state returned and tells whether the first step is
// still to come. After an error nothing is changed.
func (m momentum) load(st batch.State) (first bool, err error) {
	if err := refuseForeign(st, m.optimizer, momentumPrefix); err != nil {
		return false, err
	}
	if len(st.Tensors) == 0 {
		return true, nil
	}
	return false, m.params.load(st.Under(momentumPrefix), m.params.in(m.buf), false)
}
