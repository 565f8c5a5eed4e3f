package contrast

import (
	"fmt"
	"slices"

	"clpipe/encoder"
)

// Pairing says what Deep InfoMax scores the code against.
type Pairing string

const (
	LocalPairs  Pairing = "local"  // every cell of the local map: DIM(L)
	GlobalPairs Pairing = "global" // the local map as a whole: DIM(G)
	BothPairs   Pairing = "both"   // DIM(L+G)
)

// weights returns alpha and beta of the paper's alpha·global + beta·local.
func (p Pairing) weights() (global, local float64) {
	switch p {
	case GlobalPairs:
		return 1, 0
	case BothPairs:
		return 0.5, 0.1
	}
	return 0, 1
}

// prior returns the published weight of prior matching.
func (p Pairing) prior() float64 {
	switch p {
	case GlobalPairs:
		return 1
	case BothPairs:
		return 0
	}
	return 0.1
}

// SetPairing changes what is scored, and the weight of prior matching with it.
func (c *Config) SetPairing(p Pairing) { c.Pairing, c.Prior = p, p.prior() }

// dimMethod is Deep InfoMax (Hjelm et al. 2019): one view, and nothing augmented
// on CIFAR.
var dimMethod = method{
	name: "dim", policy: "dim", uses: "estimator dim-objective critic prior hidden", encoder: "dim-basic", oneView: true, build: buildDIM, check: checkDIM,
	recipe: func(c *Config, _ int) {
		c.Batch, c.Dim, c.Hidden, c.SplitBN = 64, 64, 2048, 1
		c.Estimator, c.Critic = JSD, DotCritic
		c.SetPairing(LocalPairs)
		c.Optimizer, c.WeightDecay = encoder.AdamOptimizer, 0
		c.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 1e-4, Epochs: 1000}
	},
	small: func(c *Config) { c.Hidden = 512 },
	graph: func(c Config) *encoder.Graph {
		global, local := c.Pairing.weights()
		return encoder.InfoMax(encoder.InfoMaxConfig{
			Size: c.Encoder.Size, Width: c.Encoder.Width, Code: c.Dim, Units: c.Hidden, Global: global > 0, Local: local > 0,
			Convolve: c.Critic == ConvolveCritic, Prior: c.Prior > 0, Normalize: c.Encoder.Normalize,
		})
	},
}

func checkDIM(c Config) []error {
	return slices.Concat(
		checkEstimator(c),
		expect(c.Encoder.Size == 32 || c.Encoder.Size == 64, "size", c.Encoder.Size, "32 or 64"),
		expect(c.Hidden >= 1, "hidden", c.Hidden, "at least 1"),
		expect(slices.Contains([]Pairing{LocalPairs, GlobalPairs, BothPairs}, c.Pairing), "dim-objective", fmt.Sprintf("%q", c.Pairing), "local, global or both"),
		expect(c.Critic == DotCritic || c.Critic == ConvolveCritic && c.Pairing == LocalPairs, "critic", fmt.Sprintf("%q", c.Critic), "dot, or convolve with local pairs"),
		expect(c.Prior >= 0 && c.Prior <= 1e6, "prior", c.Prior, "at least 0"))
}

type dim struct {
	net    Net
	pass   Pass
	losses []Loss
	prior  *dimPrior // nil: nothing is matched
}

// dimPrior drives the codes towards a uniform prior: a discriminator learns to
// tell them from its draws, and the encoder to be taken for one.
type dimPrior struct {
	net                 Net
	drawn, codes        Pass // train the discriminator
	through             Pass // sends the encoder's gradient back
	real, fake, deceive Loss
	code                Out
}

func buildDIM(x Executor, g *encoder.Graph, c Config) Method {
	m := &dim{net: x.Network("encoder_q", g)}
	global, local := c.Pairing.weights()
	convolve := c.Critic == ConvolveCritic
	var outputs []string
	if local > 0 && convolve {
		outputs = append(outputs, "score")
	} else if local > 0 {
		outputs = append(outputs, "global", "local")
	}
	if global > 0 {
		outputs = append(outputs, "global", "whole")
	}
	if c.Prior > 0 {
		outputs = append(outputs, "code")
	}
	m.pass = x.Pass(m.net, PassSpec{Grads: outputs})

	score := func(against string, weight float64) Objective {
		return GlobalLocal{Global: Out{m.pass, "global"}, Local: Out{m.pass, against}, Estimator: c.Estimator, Scale: 1, Weight: weight}
	}
	if local > 0 && convolve {
		m.losses = append(m.losses, x.Loss(ScorePairs{Scores: Out{m.pass, "score"}, Estimator: c.Estimator, Weight: local}))
	} else if local > 0 {
		m.losses = append(m.losses, x.Loss(score("local", local)))
	}
	if global > 0 {
		m.losses = append(m.losses, x.Loss(score("whole", global)))
	}
	if c.Prior > 0 {
		m.prior = newDIMPrior(x, Out{m.pass, "code"}, c)
	}
	x.Loss(Spread{Of: Out{m.pass, "features"}})
	return m
}

func newDIMPrior(x Executor, code Out, c Config) *dimPrior {
	score := []string{"score"}
	p := &dimPrior{net: x.Network("discriminator", encoder.InfoMaxPrior(c.Dim)), code: code}
	p.drawn = x.Pass(p.net, PassSpec{View: Fed, Grads: score})
	p.codes = x.Pass(p.net, PassSpec{View: Fed, Grads: score})
	p.through = x.Pass(p.net, PassSpec{View: Fed, Grads: score, Frozen: true})
	p.real = x.Loss(Logistic{Scores: Out{p.drawn, "score"}, Real: true, Weight: 1, Apart: true})
	p.fake = x.Loss(Logistic{Scores: Out{p.codes, "score"}, Weight: 1, Apart: true})
	p.deceive = x.Loss(Logistic{Scores: Out{p.through, "score"}, Real: true, Weight: c.Prior})
	return p
}

// Step implements Method. Both players move by gradients of the same weights.
func (m *dim) Step(x Executor) {
	x.Forward(m.pass)
	for _, l := range m.losses {
		x.Contrast(l)
	}
	if m.prior != nil {
		m.prior.step(x)
	}
	x.Backward(m.pass)
	x.Optimise(m.net)
	if m.prior != nil {
		x.Optimise(m.prior.net)
	}
}

func (p *dimPrior) step(x Executor) {
	x.Draw(p.drawn)
	x.Forward(p.drawn)
	x.Contrast(p.real)
	x.Backward(p.drawn)
	x.Feed(p.codes, p.code)
	x.Forward(p.codes)
	x.Contrast(p.fake)
	x.Backward(p.codes)
	x.Feed(p.through, p.code)
	x.Forward(p.through)
	x.Contrast(p.deceive)
	x.Backward(p.through)
	x.Return(p.through, p.code)
}
