package kernel

import "clpipe/internal/par"

// SGDArgs are the settings of a step of stochastic gradient descent, read at
// every run.
type SGDArgs struct {
	LR          float32
	Momentum    float32 // of the optimiser
	Dampening   float32
	WeightDecay float32
	Nesterov    bool
	First       bool // the first step: the momentum buffer starts as the gradient
}

// sgdCoef is a step as the kernel computes it:
//
//	d = g + decay·p   buf = keep·buf + take·d   p -= rate·(nesterov·d + step·buf)
type sgdCoef struct{ decay, keep, take, rate, nesterov, step float32 }

func (a *SGDArgs) coef() sgdCoef {
	c := sgdCoef{decay: a.WeightDecay, keep: a.Momentum, take: 1 - a.Dampening, rate: a.LR, step: 1}
	if a.First || a.Momentum == 0 {
		c.keep, c.take = 0, 1
	}
	if a.Nesterov {
		c.nesterov, c.step = 1, a.Momentum
	}
	return c
}

// SGD steps the parameters p by their gradients g with the momentum buffer
// buf, all of one length, as PyTorch's SGD does:
//
//	d = g + wd·p
//	buf = d at the first step, else momentum·buf + (1-dampening)·d
//	p -= lr·(d + momentum·buf with nesterov, else buf)
func SGD(p, g, buf []float32, a *SGDArgs) []par.Phase {
	n := len(p)
	checkLen("sgd", n, "g", len(g), n)
	checkLen("sgd", n, "buf", len(buf), n)
	k := active.vector.sgd
	return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
		lo, hi := vectorSpan(t, n)
		c := a.coef()
		if c.keep == 0 {
			clear(buf[lo:hi]) // 0·NaN would survive the product
		}
		k(p[lo:hi], g[lo:hi], buf[lo:hi], &c)
	}}}
}
