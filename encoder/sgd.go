package encoder

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// An Optimizer steps parameters by their gradients and then sets these to zero.
type Optimizer interface {
	// Step moves the parameters at the learning rate lr.
	Step(lr float64)
	// State returns what the optimiser remembers, Load takes it back.
	State() batch.State
	Load(batch.State) error
}

// SGDConfig are the settings of stochastic gradient descent as in PyTorch:
// weight decay applies to every tensor, batch normalisation and biases too.
type SGDConfig struct {
	Momentum    float64 // of the optimiser
	Dampening   float64
	WeightDecay float64
	Nesterov    bool
}

// SGD is stochastic gradient descent with momentum.
type SGD struct {
	params *Params
	pool   *par.Pool
	args   kernel.SGDArgs
	buf    []float32 // momentum, laid out as Params.Data
	step   []par.Phase
}

// NewSGD returns an optimiser of params that runs on pool.
func NewSGD(params *Params, c SGDConfig, pool *par.Pool) *SGD {
	s := &SGD{params: params, pool: pool, buf: kernel.Alloc(len(params.Data))}
	s.args = kernel.SGDArgs{
		Momentum: float32(c.Momentum), Dampening: float32(c.Dampening), WeightDecay: float32(c.WeightDecay),
		Nesterov: c.Nesterov, First: true,
	}
	s.step = append(kernel.SGD(params.Data, params.Grad, s.buf, &s.args), params.zeroGrad())
	return s
}

// Step implements Optimizer.
func (s *SGD) Step(lr float64) {
	s.args.LR = float32(lr)
	for _, ph := range s.step {
		s.pool.Run(ph)
	}
	s.args.First = false
	s.params.Changed()
}

// momentumPrefix is PyTorch's name for the buffer.
const momentumPrefix = "momentum_buffer."

// State implements Optimizer: a momentum buffer for every trained tensor, none
// before the first step.
func (s *SGD) State() batch.State {
	var out batch.State
	if !s.args.First {
		out.Add(momentumPrefix, s.params.export(s.params.in(s.buf), false))
	}
	return out
}

// Load implements Optimizer. A tensor that is no momentum buffer, such as
// another optimiser's, is an error; after an error nothing is changed.
func (s *SGD) Load(st batch.State) error {
	for _, name := range slices.Sorted(maps.Keys(st.Tensors)) {
		if !strings.HasPrefix(name, momentumPrefix) {
			return fmt.Errorf("encoder: load: %s is not part of SGD, which has %s*", name, momentumPrefix)
		}
	}
	if len(st.Tensors) == 0 {
		s.args.First = true
		return nil
	}
	if err := s.params.load(st.Under(momentumPrefix), s.params.in(s.buf), false); err != nil {
		return err
	}
	s.args.First = false
	return nil
}
