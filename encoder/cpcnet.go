package encoder

import (
	"fmt"
	"math"
)

// CPCConfig chooses the network of Contrastive Predictive Coding for images
// (van den Oord et al. 2018, section 3.3; Hénaff et al. 2020).
type CPCConfig struct {
	Grid, Patch int // a view is Grid×Grid patches of Patch pixels each side
	// Whole takes images [S,S,3] and cuts the patches itself, half a patch
	// apart: for probes. Training augments every patch, so that views come cut.
	Whole  bool
	Blocks int     // residual blocks of a stage
	Width  float64 // factor of all channel counts but Target
	Target int     // size of targets and predictions
	// Directions is how many ways predictions go: 1, 2 or 4, see CPCPredictions.
	Directions int
	Normalize  Normalize
}

// A CPCDirection is the way that predictions go over the grid.
type CPCDirection string

const (
	CPCDown  CPCDirection = "down"
	CPCUp    CPCDirection = "up"
	CPCRight CPCDirection = "right"
	CPCLeft  CPCDirection = "left"
)

// cpcDirections are the directions in the order in which they are added: down
// alone is van den Oord et al.'s, all four are Hénaff et al.'s.
var cpcDirections = []CPCDirection{CPCDown, CPCUp, CPCRight, CPCLeft}

// A CPCPrediction is one of the network's predictions: the target of the patch
// Offset lines further on in a direction, where a line lies across it. The output
// of its name is [N,Grid-Offset,Grid,Target], for those lines, the first of the
// direction first, that have a line so far on; see At.
type CPCPrediction struct {
	Output    string
	Offset    int
	Direction CPCDirection
}

// CPCPredictions lists the predictions in the first so many directions, of which
// there are four. Patches overlap by half, so that the next line shares pixels
// with its own: the first offset is 2.
func CPCPredictions(directions int) []CPCPrediction {
	var out []CPCPrediction
	for _, d := range cpcDirections[:directions] {
		for offset := 2; offset <= 4; offset++ {
			out = append(out, CPCPrediction{fmt.Sprint(d, offset), offset, d})
		}
	}
	return out
}

// At returns the row and column of the grid at a place of a line.
func (d CPCDirection) At(line, place, grid int) (row, column int) {
	switch d {
	case CPCUp:
		return grid - 1 - line, place
	case CPCRight:
		return place, line
	case CPCLeft:
		return place, grid - 1 - line
	}
	return line, place
}

// cpcContextBlocks is the depth of the context network, which so sees the five
// lines before its own.
const cpcContextBlocks = 5

// CPC describes the network. Every patch is encoded by itself, by residual
// blocks with group normalisation of one group: batch statistics would tell one
// patch about the others. Outputs:
//
//	features  [N,C]                 the codes' mean over the grid: for probes
//	target    [N,Grid,Grid,Target]  V·z, a projection of each patch's code z
//	down2 …   the predictions, see CPCPrediction
//
// The predictions' factor of 0.1 (the embed scale) is left to the loss.
func CPC(c CPCConfig) *Graph {
	width := func(n int) int { return max(1, int(math.Round(float64(n)*c.Width))) }
	var g *Graph
	var x Value
	if stride := c.Patch / 2; c.Whole {
		size := c.Patch + (c.Grid-1)*stride
		g = NewGraph(size, size)
		x = g.Add("patches", Patches{c.Patch, stride}, g.Add("normalize", c.Normalize, 0))
	} else {
		g = NewGraph(c.Grid*c.Grid*c.Patch, c.Patch)
		x = g.Add("patches", Unfold{G: c.Grid}, g.Add("normalize", c.Normalize, 0))
	}
	x = g.Add("conv1", Conv{Out: width(64), K: 3, Stride: 1, Pad: 1}, x)
	x = g.Add("relu", ReLU{}, g.Add("bn1", GroupNorm{Groups: 1}, x))
	for stage := range 3 {
		for block := range c.Blocks {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			x = basicBlock(g, fmt.Sprintf("layer%d.%d.", stage+1, block), x, width(64<<stage), stride, GroupNorm{Groups: 1}, GroupNorm{Groups: 1})
		}
	}
	z := g.Add("grid", Fold{G: c.Grid}, g.Add("avgpool", GlobalAvgPool{}, x))
	g.Output("features", g.Add("mean", GlobalAvgPool{}, z))
	g.Output("target", g.Add("target", Conv{Out: c.Target, K: 1, Stride: 1, Init: DefaultUniform}, z))

	// Contexts are read from the grid turned so that lines become rows from above.
	contexts := map[CPCDirection]Value{}
	across := z
	for i, d := range cpcDirections[:c.Directions] {
		turned := z
		if d == CPCRight {
			across = g.Add("turn", Transpose{}, z)
		}
		if d == CPCRight || d == CPCLeft {
			turned = across
		}
		if i%2 == 1 {
			turned = g.Add("flip_"+string(d), FlipRows{}, turned)
		}
		contexts[d] = cpcContext(g, "context_"+string(d), turned, width(256))
	}
	for _, p := range CPCPredictions(c.Directions) {
		seen := g.Add(p.Output+".rows", CropRows{Bottom: p.Offset}, contexts[p.Direction])
		g.Output(p.Output, g.Add(p.Output, Conv{Out: c.Target, K: 1, Stride: 1, Init: DefaultUniform}, seen))
	}
	return g
}

// cpcContext sums up, for every patch, what was read before it: masked
// convolutions in the manner of PixelCNN, whose row r depends on rows up to r.
func cpcContext(g *Graph, name string, z Value, hidden int) Value {
	layer := func(out, k, kw int) Conv {
		return Conv{Out: out, K: k, KW: kw, Stride: 1, Bias: true, Init: DefaultUniform}
	}
	x := z
	for i := range cpcContextBlocks {
		at := fmt.Sprintf("%s.%d.", name, i)
		y := g.Add(at+"relu1", ReLU{}, g.Add(at+"conv1", layer(hidden, 1, 1), x))
		y = g.Add(at+"conv2", layer(hidden, 1, 3), g.Add(at+"sides", Pad{Left: 1, Right: 1}, y))
		y = g.Add(at+"conv3", layer(hidden, 2, 1), g.Add(at+"top", Pad{Top: 1}, y))
		y = g.Add(at+"conv4", layer(g.Shape(z).C, 1, 1), g.Add(at+"relu2", ReLU{}, y))
		x = g.Add(at+"add", Add{}, y, x)
	}
	return g.Add(name+".relu", ReLU{}, x)
}
