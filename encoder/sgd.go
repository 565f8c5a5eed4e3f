package encoder

import (
	"clpipe/batch"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

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
	params   *Params
	pool     *par.Pool
	args     kernel.SGDArgs
	momentum momentum
	step     []par.Phase
}

// NewSGD returns an optimiser of params that runs on pool.
func NewSGD(params *Params, c SGDConfig, pool *par.Pool) *SGD {
	s := &SGD{params: params, pool: pool, momentum: newMomentum("SGD", params)}
	s.args = kernel.SGDArgs{
		Momentum: float32(c.Momentum), Dampening: float32(c.Dampening), WeightDecay: float32(c.WeightDecay),
		Nesterov: c.Nesterov, First: true,
	}
	s.step = append(kernel.SGD(params.Data, params.Grad, s.momentum.buf, &s.args), params.zeroGrad())
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

// State implements Optimizer: a momentum buffer for every trained tensor, none
// before the first step.
func (s *SGD) State() batch.State { return s.momentum.state(s.args.First) }

// Load implements Optimizer. A tensor that is no momentum buffer, such as
// another optimiser's, is an error; after an error nothing is changed.
func (s *SGD) Load(st batch.State) error {
	first, err := s.momentum.load(st)
	if err == nil {
		s.args.First = first
	}
	return err
}
