package contrast

import (
	"fmt"
	"slices"

	"clpipe/encoder"
)

// cpcGrid is the number of patches beside and below one another. They overlap by
// half, so that a patch is a quarter of the view.
const cpcGrid = 7

// cpcEmbedScale is the factor of the predictions in the paper's code. It enters
// as a temperature: scores are <0.1·W·c, V·z>.
const cpcEmbedScale = 0.1

// cpcMethod is Contrastive Predictive Coding with a small network:
// predictions two to four lines on of patches among those of the whole batch; no
// batch statistics, which would tell patches of others. In the paper preset they
// go in four directions and patches are augmented as in CPC v2, in the small one
// they go down and up.
var cpcMethod = method{
	name: "cpc", policy: "cpc", uses: "depth directions", encoder: "cpc", oneView: true, build: buildCPC, check: checkCPC,
	recipe: func(c *Config, _ int) {
		c.Batch, c.Dim, c.Depth, c.SplitBN, c.Augmentation = 128, 64, 2, 1, "cpc-v2"
		c.Directions = 4
		c.Optimizer, c.SGDMomentum, c.AdamEps, c.WeightDecay = encoder.AdamOptimizer, 0.8, 1e-7, 1e-5
		c.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: 4e-4, Epochs: 200}
	},
	small: func(c *Config) {
		c.Depth, c.Augmentation, c.Directions = 1, "", 2
		c.Batch = 64
	},
	graph: func(c Config) *encoder.Graph { return encoder.CPC(cpcNetwork(c, false)) },
	whole: func(c Config) *encoder.Graph { return encoder.CPC(cpcNetwork(c, true)) },
	shape: func(c Config) []int {
		patch := c.Encoder.Size / 4
		return []int{cpcGrid, cpcGrid, patch, patch, 3}
	},
}

func cpcNetwork(c Config, whole bool) encoder.CPCConfig {
	return encoder.CPCConfig{
		Grid: cpcGrid, Patch: c.Encoder.Size / 4, Whole: whole, Blocks: c.Depth, Width: c.Encoder.Width, Target: c.Dim, Directions: c.Directions, Normalize: c.Encoder.Normalize,
	}
}

func checkCPC(c Config) []error {
	return slices.Concat(
		expect(c.Encoder.Size%8 == 0 && c.Encoder.Size >= 16, "size", c.Encoder.Size, "a multiple of 8 from 16 on: patches of a quarter overlap by half"),
		expect(slices.Contains([]int{1, 2, 4}, c.Directions), "directions", c.Directions, "1, 2 or 4"),
		expect(c.Depth >= 1 && c.Depth <= maxDepth, "depth", c.Depth, fmt.Sprintf("1 to %d", maxDepth)))
}

type cpc struct {
	net    Net
	pass   Pass
	losses []Loss
}

func buildCPC(x Executor, g *encoder.Graph, c Config) Method {
	m := &cpc{net: x.Network("encoder_q", g)}
	outputs := []string{"target"}
	for _, p := range encoder.CPCPredictions(c.Directions) {
		outputs = append(outputs, p.Output)
	}
	m.pass = x.Pass(m.net, PassSpec{Grads: outputs})
	for _, p := range encoder.CPCPredictions(c.Directions) {
		m.losses = append(m.losses, x.Loss(InfoNCE{
			Query: Out{m.pass, p.Output}, Key: Out{m.pass, "target"}, Positive: cpcTargets(c.Batch, p), Temperature: 1 / cpcEmbedScale,
		}))
	}
	x.Loss(Spread{Of: Out{m.pass, "features"}})
	return m
}

// cpcTargets returns the row of the target that each row of a prediction is of:
// the patch of the same image and place across, so many lines on.
func cpcTargets(images int, p encoder.CPCPrediction) []int32 {
	var rows []int32
	for i := range images {
		for line := range cpcGrid - p.Offset {
			for place := range cpcGrid {
				row, column := p.Direction.At(line+p.Offset, place, cpcGrid)
				rows = append(rows, int32((i*cpcGrid+row)*cpcGrid+column))
			}
		}
	}
	return rows
}

// Step implements Method.
func (m *cpc) Step(x Executor) {
	x.Forward(m.pass)
	for _, l := range m.losses {
		x.Contrast(l)
	}
	x.Backward(m.pass)
	x.Optimise(m.net)
}
