package contrast

import (
	"fmt"
	"slices"

	"clpipe/encoder"
)

const mocoUses = "encoder head queue temperature learn-temperature momentum momentum-schedule symmetric queue-init mask-same-id split-bn init hidden critic"

var mocoMethods = []*method{
	{
		name: "moco-v1", policy: "moco-v1", uses: mocoUses, graph: criticised, build: buildMoCo, check: checkMoCo, local: true,
		recipe: func(c *Config, _ int) { c.Temperature, c.Schedule.Kind = 0.07, encoder.StepDecay },
	},
	{
		name: "moco-v2", policy: "moco-v2", uses: mocoUses, graph: criticised, build: buildMoCo, check: checkMoCo, local: true,
		recipe: func(c *Config, _ int) { c.Temperature, c.Head = 0.2, encoder.MLPHead },
	},
	{
		name: "moco-cifar", policy: "moco-cifar", uses: mocoUses, graph: criticised, build: buildMoCo, check: checkMoCo, local: true,
		recipe: func(c *Config, _ int) {
			c.Temperature, c.Momentum, c.WeightDecay, c.Queue = 0.1, 0.99, 5e-4, 4096
			c.Encoder.Depth, c.Encoder.Normalize = 18, NormalizeCIFAR10
			c.Batch, c.Schedule.Base = 512, 0.06
		},
	},
}

// moco is Momentum Contrast (He et al. 2020, algorithm 1): keys come from a
// momentum encoder, negatives from a queue of past keys.
//
// As in the reference the key encoder moves first, the batch's own keys are never
// its negatives, the query encoder alone is optimised. The
// symmetric form (MoCo CIFAR notebook) adds the loss with the views exchanged
// and enqueues both sets of keys after both losses. Local views are further queries
// against the positives' keys (see Locals).
type moco struct {
	query, key Net
	queue      Ring
	directions []direction
	locals     []local
}

// A local is the way of the local views of one place.
type local struct {
	q    Pass
	loss Loss
}

// A direction is one way through a pair: queries from one view, keys from the other.
type direction struct {
	q, k Pass
	loss Loss
}

// buildMoCo declares what MoCo needs.
func buildMoCo(x Executor, g *encoder.Graph, c Config) Method {
	m := &moco{}
	m.query = x.Network("encoder_q", g)
	m.key = x.MomentumCopy("encoder_k", m.query, resnetWithHead(c)) // a critic's W is the query's alone
	m.queue = x.Queue("queue")
	m.addDirection(x, c, Anchor, Positive)
	if c.Symmetric {
		m.addDirection(x, c, Positive, Anchor)
	}
	first := m.directions[0]
	of, _ := c.scored()
	for v := range c.Local {
		l := local{q: x.Pass(m.query, PassSpec{View: Local + View(v), Grads: []string{of}})}
		l.loss = x.Loss(m.nce(c, l.q, first.k))
		m.locals = append(m.locals, l)
	}
	x.Loss(Spread{Of: Out{first.q, embedding}, Other: &Out{first.k, embedding}})
	return m
}

// checkMoCo returns what is wrong with the settings of heads and queues.
func checkMoCo(c Config) []error {
	rows := c.Batch
	if c.Symmetric {
		rows *= 2
	}
	return slices.Concat(checkResNet(c), checkCritic(c, CosineCritic, BilinearCritic),
		expect(c.Queue >= rows && c.Queue <= maxQueue, "queue", c.Queue, fmt.Sprintf("at least the %d keys of a step and at most %d", rows, maxQueue)),
		expect(c.QueueInit == QueueRandom || c.QueueInit == QueueEmpty, "queue-init", c.QueueInit, "random or empty"),
		checkMomentum(c),
	)
}

func (m *moco) addDirection(x Executor, c Config, query, key View) {
	of, _ := c.scored()
	d := direction{
		q: x.Pass(m.query, PassSpec{View: query, Grads: []string{of}}),
		k: x.Pass(m.key, PassSpec{View: key, Grouping: Shuffled}),
	}
	d.loss = x.Loss(m.nce(c, d.q, d.k))
	m.directions = append(m.directions, d)
}

// nce is the loss of the queries of a pass, a term of the mean over all queries of a
// key.
func (m *moco) nce(c Config, q, k Pass) QueueNCE {
	of, _ := c.scored()
	return QueueNCE{Query: Out{q, of}, Key: Out{k, embedding}, Queue: m.queue, AnyLength: of != embedding, Weight: 1 / float64(1+c.Local)}
}

// Step implements Method.
func (m *moco) Step(x Executor) {
	x.Momentum(m.key)
	for _, d := range m.directions { // before a query's activations take the space
		x.Forward(d.k)
	}
	for _, d := range m.directions {
		x.Forward(d.q)
		x.Contrast(d.loss)
	}
	for _, l := range m.locals {
		x.Forward(l.q)
		x.Contrast(l.loss)
	}
	for _, d := range slices.Backward(m.directions) { // the anchors' keys first, as the notebook
		x.Enqueue(m.queue, d.k)
	}
	for _, d := range m.directions {
		x.Backward(d.q)
	}
	for _, l := range m.locals {
		x.Backward(l.q)
	}
	x.Optimise(m.query)
}
