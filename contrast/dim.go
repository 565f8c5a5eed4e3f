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
	name: "dim", policy: "dim", uses: "estimator dim-objective critic prior hidden coordinates occlude", encoder: "dim-basic", oneView: true, build: buildDIM, check: checkDIM,
	recipe: func(c *Config, _ int) {
		c.Batch, c.Dim, c.Hidden, c.SplitBN = 64, 64, 2048, 1
		c.Estimator, c.Critic, c.Coordinates = JSD, DotCritic, NoCoordinates
		c.SetPairing(LocalPairs)
		c.Optimizer, c.WeightDecay = encoder.AdamOptimizer, 0
		c.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 1e-4, Epochs: 1000}
	},
	small: func(c *Config) { c.Hidden = 512 },
	graph: func(c Config) *encoder.Graph {
		global, local := c.Pairing.weights()
		return encoder.InfoMax(encoder.InfoMaxConfig{
			Size: c.Encoder.Size, Width: c.Encoder.Width, Code: c.Dim, Units: c.Hidden, Global: global > 0, Local: local > 0,
			Convolve: c.Critic == ConvolveCritic, Prior: c.Prior > 0,
			Absolute: c.Coordinates.absolute(), Relative: c.Coordinates.relative(), Normalize: c.Encoder.Normalize,
		})
	},
}

func checkDIM(c Config) []error {
	return slices.Concat(
		checkEstimator(c),
		expect(c.Encoder.Size == 32 || c.Encoder.Size == 64, "size", c.Encoder.Size, "32 or 64, which dim's network is for: give --size"),
		expect(c.Hidden >= 1, "hidden", c.Hidden, "at least 1"),
		expect(slices.Contains([]Pairing{LocalPairs, GlobalPairs, BothPairs}, c.Pairing), "dim-objective", fmt.Sprintf("%q", c.Pairing), "local, global or both"),
		expect(c.Critic == DotCritic || c.Critic == ConvolveCritic && c.Pairing == LocalPairs, "critic", fmt.Sprintf("%q", c.Critic), "dot, or convolve with local pairs"),
		expect(slices.Contains([]Coordinates{NoCoordinates, AbsoluteCoordinates, RelativeCoordinates, BothCoordinates}, c.Coordinates), "coordinates", fmt.Sprintf("%q", c.Coordinates), "none, absolute, relative or both"),
		expect(c.Occlude >= 0 && c.Occlude < 1, "occlude", c.Occlude, "in [0,1)"),
		expect(c.Occlude == 0 || c.Critic != ConvolveCritic, "occlude", c.Occlude, "0 with --critic convolve, which scores a code and cells of one pass"),
		expect(c.Prior >= 0 && c.Prior <= 1e6, "prior", c.Prior, "at least 0"))
}

type dim struct {
	net    Net
	passes []Pass // of the images, and of what is occluded of them
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
	scored := local > 0 && convolve
	// What tells of the image as a whole, from the occluded one if there is one,
	// and what of its parts.
	var ofCode, ofMap []string
	if global > 0 || local > 0 && !convolve {
		ofCode = append(ofCode, "global")
	}
	if c.Prior > 0 {
		ofCode = append(ofCode, "code")
	}
	for _, output := range []struct {
		name  string
		there bool
	}{{"local", local > 0 && !convolve}, {"score", scored}, {"whole", global > 0}, {"place", c.Coordinates.absolute()}, {"offset", c.Coordinates.relative()}} {
		if output.there {
			ofMap = append(ofMap, output.name)
		}
	}
	var seen, told Pass
	if c.Occlude > 0 {
		seen = x.Pass(m.net, PassSpec{Grads: ofMap, Part: append(slices.Clone(ofMap), "features")})
		told = x.Pass(m.net, PassSpec{View: Occluded, Grads: ofCode, Part: ofCode})
		m.passes = []Pass{seen, told}
	} else {
		seen = x.Pass(m.net, PassSpec{Grads: slices.Concat(ofCode, ofMap)})
		told, m.passes = seen, []Pass{seen}
	}

	contrast := func(against string, weight float64) {
		m.losses = append(m.losses, x.Loss(GlobalLocal{
			Global: Out{told, "global"}, Local: Out{seen, against}, Estimator: c.Estimator, Scale: 1, Weight: weight,
		}))
	}
	switch {
	case scored:
		m.losses = append(m.losses, x.Loss(ScorePairs{Scores: Out{seen, "score"}, Estimator: c.Estimator, Weight: local}))
	case local > 0:
		contrast("local", local)
	}
	if global > 0 {
		contrast("whole", global)
	}
	if c.Coordinates.absolute() {
		m.losses = append(m.losses, x.Loss(Places{Logits: Out{seen, "place"}}))
	}
	if c.Coordinates.relative() {
		m.losses = append(m.losses, x.Loss(Places{Logits: Out{seen, "offset"}, Relative: true}))
	}
	if c.Prior > 0 {
		m.prior = newDIMPrior(x, Out{told, "code"}, c)
	}
	x.Loss(Spread{Of: Out{seen, "features"}})
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
	for _, p := range m.passes {
		x.Forward(p)
	}
	for _, l := range m.losses {
		x.Contrast(l)
	}
	if m.prior != nil {
		m.prior.step(x)
	}
	for _, p := range m.passes {
		x.Backward(p)
	}
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
