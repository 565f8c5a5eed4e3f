package contrast

import (
	"clpipe/encoder"
	"clpipe/internal/kernel"
)

// simclrMethod is SimCLR (Chen et al. 2020): both views of all pairs go through
// one network as one batch, and NT-Xent takes each row as query in turn, its
// other view as positive and the remaining 2N-2 rows as negatives.
//
// The recipes are those of the reference code; the small one, with plain SGD, is
// lightly's.
var simclrMethod = method{
	name: "simclr", policy: "simclr", uses: "encoder head temperature learn-temperature chunk init hidden critic", graph: criticised, build: buildSimCLR, check: checkSimCLR,
	recipe: func(c *Config, size int) {
		c.Queue, c.Momentum, c.MaskSameID, c.QueueInit, c.SplitBN = 0, 0, false, "", 1
		c.Head, c.Encoder.Normalize, c.Encoder.ZeroGamma = encoder.SimCLRHead, NormalizeNone, true
		c.Optimizer, c.LARS = encoder.LARSOptimizer, kernel.LARSSimCLR
		if size <= largeView {
			c.Encoder.Depth, c.Batch, c.Temperature, c.WeightDecay = 18, 512, 0.5, 1e-4
			c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 2, Epochs: 1000, WarmupEpochs: 10}
			return
		}
		c.Batch, c.Temperature, c.WeightDecay = 4096, 0.1, 1e-6
		c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 4.8, Epochs: 100, WarmupEpochs: 10}
	},
	small: func(c *Config) {
		c.Encoder.Depth, c.Encoder.ZeroGamma, c.Batch, c.Temperature = 18, false, 256, 0.5
		c.Optimizer, c.WeightDecay = encoder.SGDOptimizer, 5e-4
		c.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 0.12, Epochs: 200}
	},
}

func checkSimCLR(c Config) []error {
	return append(checkInBatch(c), checkCritic(c, CosineCritic, DotCritic, BilinearCritic)...)
}

type simclr struct {
	net  Net
	pass Pass
	loss Loss
}

func buildSimCLR(x Executor, g *encoder.Graph, c Config) Method {
	m := &simclr{net: x.Network("encoder_q", g)}
	query, key := c.scored()
	m.pass = x.Pass(m.net, PassSpec{View: Both, Grads: outputs(query, key), Chunk: c.Chunk})
	z, n := Out{m.pass, key}, c.Batch
	m.loss = x.Loss(InfoNCE{
		Query: Out{m.pass, query}, Key: z, Positive: rowsFrom(n, 2*n, 2*n), Self: rowsFrom(0, 2*n, 2*n),
		Unit: c.Critic == CosineCritic, Temperature: c.Temperature, Pairs: true,
	})
	x.Loss(Spread{Of: z, Halves: true})
	return m
}

// Step implements Method.
func (m *simclr) Step(x Executor) {
	x.Forward(m.pass)
	x.Contrast(m.loss)
	x.Backward(m.pass)
	x.Optimise(m.net)
}
