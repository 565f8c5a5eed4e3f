package encoder

import (
	"fmt"

	"clpipe/batch"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// AdamConfig are the settings of Adam as in PyTorch: weight decay applies to
// every tensor, batch normalisation and biases too.
type AdamConfig struct {
	Beta1, Beta2, Eps float64 // PyTorch's defaults are 0.9, 0.999 and 1e-8
	WeightDecay       float64
	// Decoupled takes the weight decay off the parameters themselves (AdamW);
	// else it is added to the gradients.
	Decoupled bool
}

// Adam is Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019).
type Adam struct {
	params  *Params
	pool    *par.Pool
	args    kernel.AdamArgs // Step is that of the last step
	avg, sq []float32       // moments, laid out as Params.Data
	step    []par.Phase
}

// PyTorch's names for the moments and the number of steps.
const (
	avgPrefix = "exp_avg."
	sqPrefix  = "exp_avg_sq."
	stepName  = "step"
)

// NewAdam returns an optimiser of params that runs on pool.
func NewAdam(params *Params, c AdamConfig, pool *par.Pool) *Adam {
	n := len(params.Data)
	a := &Adam{params: params, pool: pool, avg: kernel.Alloc(n), sq: kernel.Alloc(n)}
	a.args = kernel.AdamArgs{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay, Decoupled: c.Decoupled}
	a.step = append(kernel.Adam(params.Data, params.Grad, a.avg, a.sq, &a.args), params.zeroGrad())
	return a
}

// Step implements Optimizer.
func (a *Adam) Step(lr float64) {
	a.args.LR = lr
	a.args.Step++
	for _, ph := range a.step {
		a.pool.Run(ph)
	}
	a.params.Changed()
}

// State implements Optimizer: both moments of every trained tensor and the
// number of steps, an int64; nothing before the first step.
func (a *Adam) State() batch.State {
	var out batch.State
	if a.args.Step > 0 {
		out.Add(avgPrefix, a.params.export(a.params.in(a.avg), false))
		out.Add(sqPrefix, a.params.export(a.params.in(a.sq), false))
		out.Tensors[stepName] = batch.NewTensor([]int64{int64(a.args.Step)})
	}
	return out
}

// Load implements Optimizer. A tensor that is not part of Adam's state, such as
// another optimiser's, is an error; after an error nothing is changed.
func (a *Adam) Load(st batch.State) error {
	if len(st.Tensors) == 0 {
		a.args.Step = 0
		clear(a.avg)
		clear(a.sq)
		return nil
	}
	if err := refuseForeign(st, "Adam", avgPrefix, sqPrefix, stepName); err != nil {
		return err
	}
	step, err := loadStep(st)
	if err != nil {
		return err
	}
	avg, sq := st.Under(avgPrefix), st.Under(sqPrefix)
	if err := a.params.check(avg, false); err != nil {
		return fmt.Errorf("exp_avg: %w", err)
	}
	if err := a.params.check(sq, false); err != nil {
		return fmt.Errorf("exp_avg_sq: %w", err)
	}
	a.params.take(avg, a.params.in(a.avg), false)
	a.params.take(sq, a.params.in(a.sq), false)
	a.args.Step = step
	return nil
}

// loadStep reads the number of steps, without which the moments cannot be
// corrected.
func loadStep(st batch.State) (int, error) {
	t, ok := st.Tensors[stepName]
	if !ok {
		return 0, fmt.Errorf("encoder: load: step is missing")
	}
	n, err := batch.Values[int64](t)
	if err != nil || len(n) != 1 || n[0] < 1 {
		return 0, fmt.Errorf("encoder: load: step: got %v of %s, want one int64 of at least 1", t.Shape(), t.Dtype())
	}
	return int(n[0]), nil
}
