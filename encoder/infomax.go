package encoder

import (
	"fmt"
	"math"
)

// InfoMaxConfig chooses the network of Deep InfoMax (Hjelm et al. 2019).
type InfoMaxConfig struct {
	Size      int     // side of the images, 32 or 64
	Width     float64 // factor of all channel counts but Code and Units
	Code      int     // size of the code Y
	Units     int     // size in which the critic compares
	Global    bool    // the outputs of DIM(G)
	Local     bool    // the outputs of DIM(L)
	Convolve  bool    // DIM(L) by concat-and-convolve instead of encode-and-dot
	Prior     bool    // the output of prior matching
	Absolute  bool    // the output of coordinate prediction
	Relative  bool    // the output of relative coordinate prediction
	Normalize Normalize
}

// InfoMax describes the encoder of the reference code, basic32x32 or basic64x64,
// with its critics. Those of encode-and-dot have inner products as scores, that
// of concat-and-convolve scores an image's local map beside its own code and
// beside the next image's. Outputs:
//
//	features  [N,1024·Width]  the fully connected layer below the code ("fc" of
//	                          the paper's tables): for probes
//	conv      [N,4,4,C]       the convolution below that ("conv"): for probes
//	y         [N,Code]        the code ("Y"): for probes
//	global    [N,Units]       the code, encoded
//	local     [N,8,8,Units]   the local map, encoded (Local)
//	whole     [N,Units]       the local map as a whole, encoded (Global)
//	score     [2N,8,8,1]      in turn of an image's own code and the next one's
//	                          (Local and Convolve, instead of local)
//	code      [N,Code]        the code's logistic function, in [0,1] (Prior)
//	place     [N,8,8,16]      logits of each cell's row, then of its column, from
//	                          the cell and the code (Absolute)
//	offset    [N,8,8,30]      logits of the rows, then of the columns, from each
//	                          cell's partner of PairCells to itself, -7 to 7, from
//	                          the two and the code (Relative)
//
// The encoders of code and local map end in layer normalisation; the reference
// code has it on the local one alone. Coordinates come from networks of the same
// form, as in the reference code, which predicts no relative ones.
func InfoMax(c InfoMaxConfig) *Graph {
	channels := map[int][]int{32: {64, 128, 256}, 64: {64, 128, 256, 512}}[c.Size]
	if channels == nil {
		panic(fmt.Sprintf("encoder: InfoMax: images of %d pixels, want 32 or 64", c.Size))
	}
	width := func(n int) int { return max(1, int(math.Round(float64(n)*c.Width))) }
	g := NewGraph(c.Size, c.Size)
	x := g.Add("normalize", c.Normalize, 0)
	last := len(channels) - 1
	for i, out := range channels[:last] {
		x = infoMaxLayer(g, fmt.Sprintf("conv%d", i+1), x, Conv{Out: width(out), K: 4, Stride: 2, Pad: 1})
	}
	local := x // 8×8
	upper := func(prefix string) (conv, fc Value) {
		conv = infoMaxLayer(g, fmt.Sprintf("%sconv%d", prefix, last+1), local, Conv{Out: width(channels[last]), K: 4, Stride: 2, Pad: 1})
		// A fully connected layer on the 4×4 map.
		return conv, infoMaxLayer(g, prefix+"fc", conv, Conv{Out: width(1024), K: 4, Stride: 1})
	}
	conv, features := upper("")
	g.Output("features", features)
	g.Output("conv", conv)
	code := g.Add("code", Linear{Out: c.Code, Bias: true}, features)
	g.Output("y", code)
	if c.Global || !c.Convolve {
		g.Output("global", infoMaxCritic(g, "global_net", code, c.Units))
	}
	switch {
	case c.Local && c.Convolve:
		g.Output("score", infoMaxScore(g, "score_net", local, code))
	case c.Local:
		g.Output("local", infoMaxCritic(g, "local_net", local, c.Units))
	}
	if c.Global {
		_, whole := upper("whole.")
		g.Output("whole", g.Add("whole.code", Linear{Out: c.Units, Bias: true}, whole))
	}
	if c.Absolute || c.Relative {
		s := g.Shape(local)
		known := g.Add("coordinates.given", Concat{}, local, g.Add("coordinates.codes", Repeat{H: s.H, W: s.W}, code))
		if c.Absolute {
			g.Output("place", infoMaxCritic(g, "place_net", known, s.H+s.W))
		}
		if c.Relative {
			pairs := g.Add("coordinates.pairs", Concat{}, known, g.Add("coordinates.partners", PairCells{}, local))
			g.Output("offset", infoMaxCritic(g, "offset_net", pairs, 2*s.H-1+2*s.W-1))
		}
	}
	if c.Prior {
		g.Output("code", g.Add("sigmoid", Sigmoid{}, code))
	}
	return g
}

func infoMaxLayer(g *Graph, name string, x Value, c Conv) Value {
	c.Init = DefaultUniform
	return g.Add(name+".relu", ReLU{}, g.Add(name+".bn", BatchNorm{}, g.Add(name, c, x)))
}

// infoMaxCritic encodes vectors or a map, pixel by pixel, for the inner product.
func infoMaxCritic(g *Graph, name string, x Value, units int) Value {
	layer := Conv{Out: units, K: 1, Stride: 1, Init: DefaultUniform}
	y := infoMaxLayer(g, name+".conv1", x, layer)
	layer.Bias = true
	y = g.Add(name+".conv2", layer, y)
	shortcut := g.Add(name+".shortcut", Conv{Out: units, K: 1, Stride: 1, Init: NearIdentity}, x)
	return g.Add(name+".norm", LayerNorm{}, g.Add(name+".add", Add{}, y, shortcut))
}

// infoMaxScore scores every cell of a map beside a code.
func infoMaxScore(g *Graph, name string, local, code Value) Value {
	s := g.Shape(local)
	layer := Conv{Out: 512, K: 1, Stride: 1, Bias: true, Init: DefaultUniform}
	codes := g.Add(name+".codes", Twice{H: s.H, W: s.W, Next: true}, code)
	x := g.Add(name+".concat", Concat{}, g.Add(name+".maps", Twice{}, local), codes)
	x = g.Add(name+".relu1", ReLU{}, g.Add(name+".conv1", layer, x))
	x = g.Add(name+".relu2", ReLU{}, g.Add(name+".conv2", layer, x))
	layer.Out = 1
	return g.Add(name+".conv3", layer, x)
}

// InfoMaxPrior describes the discriminator of prior matching, which tells codes
// of dim values from draws of the prior. Its output "score" is [N,1].
func InfoMaxPrior(dim int) *Graph {
	g := NewVectorGraph(dim)
	x := g.Add("relu1", ReLU{}, g.Add("fc1", Linear{Out: 1000, Bias: true}, 0))
	x = g.Add("relu2", ReLU{}, g.Add("fc2", Linear{Out: 200, Bias: true}, x))
	g.Output("score", g.Add("fc3", Linear{Out: 1, Bias: true}, x))
	return g
}
