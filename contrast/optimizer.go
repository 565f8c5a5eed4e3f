package contrast

import (
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// Settings that no recipe varies.
const (
	adamBeta2          = 0.999 // PyTorch's defaults
	adamEps            = 1e-8
	larsTrust          = 0.001 // MoCo v3's and SimCLR's
	larsTrustSoloLearn = 0.02
)

// SetOptimizer changes the optimiser. If it is not the recipe's own, learning
// rate and weight decay become those it is published with, for a batch of N:
//
//	sgd    0.03·N/256 and 1e-4 (MoCo)
//	lars   0.3·N/256 and 1e-6 (MoCo v3, ResNet-50)
//	adam   2e-4 and 1e-5 (AMDIM)
//	adamw  1.5e-4·N/256 and 0.1 (MoCo v3, ViT)
//
// Momentum and Adam's beta 1 become 0.9, its epsilon 1e-8. LARS warms up for ten epochs, as in both
// papers, where the recipe has no warm-up.
func (c *Config) SetOptimizer(kind encoder.OptimizerKind) {
	if kind == c.Optimizer {
		return
	}
	c.Optimizer, c.SGDMomentum, c.AdamEps = kind, 0.9, 0
	scale := float64(c.Batch) / 256
	switch kind {
	case encoder.SGDOptimizer:
		c.Schedule.Base, c.WeightDecay = 0.03*scale, 1e-4
	case encoder.LARSOptimizer:
		c.Schedule.Base, c.WeightDecay = 0.3*scale, 1e-6
		if c.Schedule.Warmup == 0 && c.Schedule.WarmupEpochs == 0 {
			c.Schedule.WarmupEpochs = 10
		}
	case encoder.AdamOptimizer:
		c.Schedule.Base, c.WeightDecay = 2e-4, 1e-5
	case encoder.AdamWOptimizer:
		c.Schedule.Base, c.WeightDecay = 1.5e-4*scale, 0.1
	}
}

// newOptimizer returns the configuration's optimiser of params, which clips
// their gradients if it says so.
func (c Config) newOptimizer(params *encoder.Params, pool *par.Pool) encoder.Optimizer {
	o := c.plainOptimizer(params, pool)
	if c.ClipNorm > 0 {
		return encoder.Clip(o, params, c.ClipNorm, pool)
	}
	return o
}

// epsOf is the guard of Adam's square root.
func (c Config) epsOf() float64 {
	if c.AdamEps == 0 {
		return adamEps
	}
	return c.AdamEps
}

// plainOptimizer returns the optimiser without clipping.
func (c Config) plainOptimizer(params *encoder.Params, pool *par.Pool) encoder.Optimizer {
	switch c.Optimizer {
	case encoder.LARSOptimizer:
		lars := encoder.LARSConfig{Form: c.LARS, Momentum: c.SGDMomentum, WeightDecay: c.WeightDecay, Trust: larsTrust}
		if c.LARS == kernel.LARSSoloLearn {
			lars.Trust, lars.ClipLR = larsTrustSoloLearn, true
		}
		return encoder.NewLARS(params, lars, pool)
	case encoder.AdamOptimizer, encoder.AdamWOptimizer:
		return encoder.NewAdam(params, encoder.AdamConfig{
			Beta1: c.SGDMomentum, Beta2: adamBeta2, Eps: c.epsOf(), WeightDecay: c.WeightDecay,
			Decoupled: c.Optimizer == encoder.AdamWOptimizer,
		}, pool)
	}
	return encoder.NewSGD(params, encoder.SGDConfig{Momentum: c.SGDMomentum, WeightDecay: c.WeightDecay, Nesterov: c.Nesterov}, pool)
}
