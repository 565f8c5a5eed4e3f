package encoder

import (
	"clpipe/batch"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// LARSConfig are the settings of layer-wise adaptive rate scaling in one of its
// published forms. Weights of convolutions and linear layers are scaled and
// decay; biases and the parameters of normalisations do neither.
type LARSConfig struct {
	Form        kernel.LARSForm
	Momentum    float64 // of the optimiser
	WeightDecay float64
	Trust       float64 // trust coefficient: 0.001, or 0.02 in solo-learn's form
	ClipLR      bool    // of solo-learn's form: no tensor's rate above the step's
}

// LARS is layer-wise adaptive rate scaling.
type LARS struct {
	params   *Params
	pool     *par.Pool
	args     kernel.LARSArgs
	momentum momentum
	step     []par.Phase
}

// NewLARS returns an optimiser of params that runs on pool.
func NewLARS(params *Params, c LARSConfig, pool *par.Pool) *LARS {
	l := &LARS{params: params, pool: pool, momentum: newMomentum("LARS", params)}
	l.args = kernel.LARSArgs{
		Form: c.Form, Momentum: c.Momentum, WeightDecay: c.WeightDecay, Trust: c.Trust, ClipLR: c.ClipLR, First: true,
	}
	var tensors []kernel.LARSTensor
	for _, e := range params.list {
		if role := e.spec.role; role.trained() {
			tensors = append(tensors, kernel.LARSTensor{From: e.from, Len: e.len, Adapted: role != vectorParam})
		}
	}
	l.step = append(kernel.LARS(params.Data, params.Grad, l.momentum.buf, tensors, &l.args), params.zeroGrad())
	return l
}

// Step implements Optimizer.
func (l *LARS) Step(lr float64) {
	l.args.LR = lr
	for _, ph := range l.step {
		l.pool.Run(ph)
	}
	l.args.First = false
	l.params.Changed()
}

// State implements Optimizer: a momentum buffer for every trained tensor, none
// before the first step.
func (l *LARS) State() batch.State { return l.momentum.state(l.args.First) }

// Load implements Optimizer. A tensor that is no momentum buffer, such as
// another optimiser's, is an error; after an error nothing is changed.
func (l *LARS) Load(st batch.State) error {
	first, err := l.momentum.load(st)
	if err == nil {
		l.args.First = first
	}
	return err
}
