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
		keep, take := a.Momentum, 1-a.Dampening
		if a.First || a.Momentum == 0 {
			keep, take = 0, 1
			clear(buf[lo:hi]) // 0·NaN would survive the product
		}
		grad, step := float32(0), float32(1)
		if a.Nesterov {
			grad, step = 1, a.Momentum
		}
		k(p[lo:hi], g[lo:hi], buf[lo:hi], a.WeightDecay, keep, take, a.LR, grad, step)
	}}}
}
