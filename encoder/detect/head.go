package detect

import "clpipe/encoder"

// Outputs of a detector. Sizes and offsets are in cells.
const (
	heatmap = "heatmap" // [N,H,W,classes], logits
	sizes   = "size"    // [N,H,W,2], width and height
	offsets = "offset"  // [N,H,W,2], of the centre from the cell's upper left corner, x and y
)

// headPrefix begins the names of the head's layers.
const headPrefix = "head."

// headChannels is the width of the one hidden layer.
const headChannels = 64

// heatmapBias makes every cell begin with a probability of 0.1 (Lin et al. 2017,
// Focal Loss, section 4.1): most are of no object.
const heatmapBias = -2.19

// addHead puts the detector's layers on a map and names its outputs. The map is
// normalised first, so that one rate suits networks whose features differ in size, an
// untrained one's among them.
func addHead(g *encoder.Graph, cells encoder.Value, classes int) {
	x := g.Add(headPrefix+"norm", encoder.BatchNorm{NoGamma: true, NoBeta: true}, cells)
	x = g.Add(headPrefix+"conv", encoder.Conv{Out: headChannels, K: 3, Stride: 1, Pad: 1, Bias: true, Init: encoder.DefaultUniform}, x)
	x = g.Add(headPrefix+"relu", encoder.ReLU{}, x)
	for _, out := range []struct {
		name     string
		channels int
	}{{heatmap, classes}, {sizes, 2}, {offsets, 2}} {
		conv := encoder.Conv{Out: out.channels, K: 1, Stride: 1, Bias: true, Init: encoder.DefaultUniform}
		g.Output(out.name, g.Add(headPrefix+out.name, conv, x))
	}
}

// initialBias sets the bias of the heatmap.
func initialBias(params *encoder.Params) {
	bias, _ := params.Tensor(headPrefix + heatmap + ".bias")
	for i := range bias {
		bias[i] = heatmapBias
	}
	params.Changed()
}

// A grid is the map's cells over a view: cell (x, y) begins at (left+x·stride,
// top+y·stride). Without padding a network's map is smaller than its images are,
// and lies in their middle.
type grid struct {
	w, h      int
	stride    float64
	left, top float64
}

func gridOf(cells encoder.Shape, size, stride int) grid {
	margin := func(n int) float64 { return float64(size-n*stride) / 2 }
	return grid{cells.W, cells.H, float64(stride), margin(cells.W), margin(cells.H)}
}
