package contrast

import "clpipe/encoder"

// moco is Momentum Contrast (He et al. 2020, algorithm 1): keys come from a
// momentum encoder, negatives from a queue of past keys.
//
// In the order of the reference: the key encoder moves first, the batch's own
// keys are never its negatives, the query encoder alone is optimised. The
// symmetric form (MoCo CIFAR notebook) adds the loss with the views exchanged
// and enqueues both sets of keys after both losses.
type moco struct {
	query, key Net
	queue      Ring
	directions []direction
}

// A direction is one way through a pair: queries from one view, keys from the other.
type direction struct {
	q, k  Pass
	loss  Loss
	query View
	key   View
}

// newMoCo declares what MoCo needs for the network g.
func newMoCo(x Executor, g *encoder.Graph, symmetric bool) *moco {
	m := &moco{}
	m.query = x.Network("encoder_q", g)
	m.key = x.MomentumCopy("encoder_k", m.query)
	m.queue = x.Queue("queue")
	m.addDirection(x, Anchor, Positive)
	if symmetric {
		m.addDirection(x, Positive, Anchor)
	}
	return m
}

func (m *moco) addDirection(x Executor, query, key View) {
	d := direction{q: x.Pass(m.query, true), k: x.Pass(m.key, false), query: query, key: key}
	d.loss = x.InfoNCE(d.q, d.k, m.queue)
	m.directions = append(m.directions, d)
}

// Step implements Method.
func (m *moco) Step(x Executor) {
	x.Momentum(m.key)
	for _, d := range m.directions {
		x.Forward(d.q, d.query, InOrder)
		x.Forward(d.k, d.key, Shuffled)
		x.Contrast(d.loss)
	}
	for _, d := range m.directions {
		x.Enqueue(m.queue, d.k)
	}
	for _, d := range m.directions {
		x.Backward(d.q)
	}
	x.Optimise(m.query)
}
