package contrast

import (
	"slices"

	"clpipe/encoder"
	"clpipe/internal/kernel"
)

// mocoV3Method is MoCo v3 (Chen et al. 2021, algorithm 1): no queue, the keys of
// a query are the momentum encoder's embeddings of the batch's other views, and
// a predictor stands between the projection and the query. Momentum rises to 1.
//
// The recipes are those of the reference code for ResNet-50 (its 100 epochs), for
// small views solo-learn's; the small preset takes plain SGD and
// hidden layers of twice the features, as ResNet-50 has.
var mocoV3Method = method{
	name: "moco-v3", policy: "moco-v3", uses: "encoder temperature momentum momentum-schedule split-bn init hidden",
	graph: mocoV3Graph, build: buildMoCoV3, check: checkMoCoV3,
	recipe: func(c *Config, size int) {
		c.Queue, c.MaskSameID, c.QueueInit, c.SplitBN = 0, false, "", 1
		c.Head, c.Hidden, c.Dim = encoder.MoCoV3Head, 4096, 256
		c.Momentum, c.MomentumSchedule = 0.99, encoder.Cosine
		c.Optimizer, c.WeightDecay = encoder.LARSOptimizer, 1e-6
		if size <= largeView {
			c.Encoder.Depth, c.Batch, c.Temperature, c.LARS = 18, 256, 0.2, kernel.LARSSoloLearn
			c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 0.3, Epochs: 1000, WarmupEpochs: 10}
			return
		}
		c.Batch, c.Temperature, c.LARS = 4096, 1, kernel.LARSMoCoV3
		c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 9.6, Epochs: 100, WarmupEpochs: 10}
	},
	small: func(c *Config) {
		c.Encoder.Depth, c.Batch, c.Temperature, c.Hidden = 18, 256, 0.2, 0
		c.Optimizer, c.WeightDecay = encoder.SGDOptimizer, 1e-4
		c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 0.3, Epochs: 200, WarmupEpochs: 10}
	},
}

// prediction is the output of the query network that is contrasted, predictor
// the beginning of the names of the layers that only it has.
const (
	prediction = "prediction"
	predictor  = "predictor."
)

// mocoV3Graph describes the query network, mocoV3Base its part that the key
// network is too: all but the predictor.
func mocoV3Graph(c Config) *encoder.Graph {
	g := mocoV3Base(c)
	g.AddPredictor(mocoV3Hidden(c, g))
	return g
}

func mocoV3Base(c Config) *encoder.Graph {
	g := encoder.ResNet(c.Encoder)
	g.AddHead(encoder.Head{Kind: encoder.MoCoV3Head, Hidden: mocoV3Hidden(c, g), Dim: c.Dim})
	return g
}

// mocoV3Hidden is the width of the hidden layers.
func mocoV3Hidden(c Config, g *encoder.Graph) int {
	if c.Hidden > 0 {
		return c.Hidden
	}
	return 2 * g.Features()
}

func checkMoCoV3(c Config) []error {
	return slices.Concat(checkBackbone(c), checkMomentum(c), checkNegatives(c))
}

// mocoV3 holds two passes of each network, by view; loss i is that of the
// queries of view i.
type mocoV3 struct {
	query, key Net
	q, k       [2]Pass
	loss       [2]Loss
}

func buildMoCoV3(x Executor, g *encoder.Graph, c Config) Method {
	m := &mocoV3{query: x.Network("encoder_q", g)}
	m.key = x.MomentumCopy("encoder_k", m.query, mocoV3Base(c))
	for i, view := range []View{Anchor, Positive} {
		m.q[i] = x.Pass(m.query, PassSpec{View: view, Grads: []string{prediction}})
		m.k[i] = x.Pass(m.key, PassSpec{View: view, Grouping: Shuffled})
	}
	for i := range m.loss {
		m.loss[i] = x.Loss(InfoNCE{
			Query: Out{m.q[i], prediction}, Key: Out{m.k[1-i], embedding}, Positive: rowsFrom(0, c.Batch, c.Batch),
			Unit: true, Temperature: c.Temperature,
			Weight: 2 * c.Temperature, // gradients are alike over temperatures
			Pairs:  true,
		})
	}
	x.Loss(Spread{Of: Out{m.q[0], embedding}, Other: &Out{m.k[1], embedding}})
	return m
}

// Step implements Method.
func (m *mocoV3) Step(x Executor) {
	x.Momentum(m.key)
	for i := range m.k { // before a query's activations take the space
		x.Forward(m.k[i])
	}
	for i := range m.q {
		x.Forward(m.q[i])
	}
	for i := range m.q {
		x.Contrast(m.loss[i])
		x.Backward(m.q[i])
	}
	x.Optimise(m.query)
}
