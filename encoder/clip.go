package encoder

import (
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// Clip returns an optimiser that scales the gradients of all parameters down
// together, to the norm most where theirs is larger, before it lets o step.
// The state is o's.
func Clip(o Optimizer, params *Params, most float64, pool *par.Pool) Optimizer {
	return &clipped{Optimizer: o, pool: pool, clip: kernel.ClipNorm(params.Grad, most)}
}

type clipped struct {
	Optimizer
	pool *par.Pool
	clip []par.Phase
}

// Step implements Optimizer.
func (c *clipped) Step(lr float64) {
	for _, ph := range c.clip {
		c.pool.Run(ph)
	}
	c.Optimizer.Step(lr)
}
