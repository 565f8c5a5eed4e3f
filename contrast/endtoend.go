package contrast

import "clpipe/encoder"

// endToEndMethod is InfoNCE within the batch, in one direction: the positives of
// the other pairs are an anchor's negatives, and gradients go to both views. With
// MoCo's recipes it is the end-to-end mechanism that MoCo is compared with (He et
// al. 2020, figure 2a).
var endToEndMethod = method{
	name: "infonce", uses: "encoder head temperature learn-temperature split-bn init", graph: resnetWithHead, build: buildEndToEnd, check: checkInBatch,
	recipe: func(c *Config, size int) {
		for _, m := range mocoMethods {
			if m.name == PolicyFor(size) {
				m.recipe(c, size)
			}
		}
		c.Queue, c.Momentum, c.MaskSameID, c.QueueInit = 0, 0, false, ""
	},
	small: func(c *Config) {
		c.Encoder.Depth = 18
		c.SetBatch(256)
	},
}

type endToEnd struct {
	net  Net
	q, k Pass
	loss Loss
}

func buildEndToEnd(x Executor, g *encoder.Graph, c Config) Method {
	m := &endToEnd{net: x.Network("encoder_q", g)}
	m.q = x.Pass(m.net, PassSpec{View: Anchor, Grads: []string{embedding}})
	m.k = x.Pass(m.net, PassSpec{View: Positive, Grouping: Shuffled, Grads: []string{embedding}})
	q, k := Out{m.q, embedding}, Out{m.k, embedding}
	m.loss = x.Loss(InfoNCE{Query: q, Key: k, Positive: rowsFrom(0, c.Batch, c.Batch), Unit: true, Temperature: c.Temperature})
	x.Loss(Spread{Of: q, Other: &k})
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
