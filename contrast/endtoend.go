package contrast

import (
	"slices"

	"clpipe/encoder"
)

// endToEndMethod is InfoNCE within the batch, in one direction: the positives of
// the other pairs are an anchor's negatives, and gradients go to both views. With
// MoCo's recipes it is the end-to-end mechanism that MoCo is compared with (He et
// al. 2020, figure 2a).
var endToEndMethod = method{
	name: "infonce", uses: "encoder head temperature learn-temperature split-bn init hidden critic bound bound-alpha", graph: criticised, build: buildEndToEnd, check: checkEndToEnd,
	recipe: func(c *Config, size int) {
		for _, m := range mocoMethods {
			if m.name == PolicyFor(size) {
				m.recipe(c, size)
			}
		}
		c.Queue, c.Momentum, c.MaskSameID, c.QueueInit = 0, 0, false, ""
		c.Bound, c.BoundAlpha = BoundNCE, estimateAlpha
	},
	small: func(c *Config) {
		c.Encoder.Depth = 18
		c.SetBatch(256)
	},
}

func checkEndToEnd(c Config) []error {
	return slices.Concat(checkInBatch(c), checkCritic(c, CosineCritic, DotCritic, BilinearCritic, MLPCritic), checkBound(c))
}

type endToEnd struct {
	net  Net
	q, k Pass
	loss Loss
	last *Net // of a perceptron's scores; nil: the critic has no network of its own
}

func buildEndToEnd(x Executor, g *encoder.Graph, c Config) Method {
	m := &endToEnd{net: x.Network("encoder_q", g), last: pairCritic(x, c)}
	query, key := c.scored()
	asked := outputs(query)
	if c.Bound.hasBaseline() {
		asked = outputs(query, baseline)
	}
	m.q = x.Pass(m.net, PassSpec{View: Anchor, Grads: asked})
	m.k = x.Pass(m.net, PassSpec{View: Positive, Grouping: Shuffled, Grads: outputs(key)})
	q, k := Out{m.q, query}, Out{m.k, key}
	if c.holdsScores() {
		o := PairBound{Query: q, Key: k, Last: m.last, Bound: c.Bound, Alpha: c.BoundAlpha, Temperature: c.Temperature}
		if c.Bound.hasBaseline() {
			o.Baseline = &Out{m.q, baseline}
		}
		m.loss = x.Loss(o)
	} else {
		m.loss = x.Loss(InfoNCE{
			Query: q, Key: k, Positive: rowsFrom(0, c.Batch, c.Batch), Unit: c.Critic == CosineCritic, Temperature: c.Temperature, Pairs: true,
		})
	}
	other := Out{m.k, embedding}
	x.Loss(Spread{Of: Out{m.q, embedding}, Other: &other})
	return m
}

// Step implements Method.
func (m *endToEnd) Step(x Executor) {
	x.Forward(m.q)
	x.Forward(m.k)
	x.Contrast(m.loss)
	x.Backward(m.q)
	x.Backward(m.k)
	x.Optimise(m.net)
	if m.last != nil {
		x.Optimise(*m.last)
	}
}

// rowsFrom returns n row numbers from first on, of so many rows, after the last
// the first again.
func rowsFrom(first, n, rows int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32((first + i) % rows)
	}
	return out
}

// checkInBatch returns what is wrong for methods whose negatives are the batch.
func checkInBatch(c Config) []error {
	return append(checkResNet(c), checkNegatives(c)...)
}
