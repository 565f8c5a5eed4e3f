package contrast

import (
	"fmt"
	"math"
	"slices"

	"clpipe/encoder"
)

const (
	amdimClip    = 20   // c of the soft clip
	amdimPenalty = 0.04 // λ of the penalty on scores
)

// amdimMethod is Augmented Multiscale Deep InfoMax (Bachman et al. 2019).
var amdimMethod = method{
	name: "amdim", policy: "amdim", uses: "depth mixture mixture-sharpness mixture-entropy", encoder: "amdim", build: buildAMDIM, check: checkAMDIM,
	recipe: func(c *Config, size int) {
		c.Batch, c.Dim, c.Depth, c.SplitBN, c.Encoder.Width = 200, 1024, 3, 1, 1
		c.MixtureSharpness, c.MixtureEntropy = 1, 1
		c.Optimizer, c.SGDMomentum, c.WeightDecay = encoder.AdamOptimizer, 0.8, 1e-5
		c.Schedule = encoder.Schedule{Kind: encoder.StepDecay, Base: 2e-4, Epochs: 300, Warmup: 500, Factor: 0.2, First: 250. / 300, Second: 280. / 300}
		switch {
		case size <= 48:
			c.Encoder.Normalize = encoder.Normalize{Mean: [3]float32{.4914, .4824, .4467}, Std: [3]float32{.2471, .2435, .2616}}
		case size <= largeView:
			c.Encoder.Normalize = encoder.Normalize{Mean: [3]float32{.43, .42, .39}, Std: [3]float32{.27, .26, .27}} // STL-10
		default:
			c.Batch, c.Dim, c.Depth, c.Encoder.Width = 480, 1536, 8, 1.5
			c.Schedule.Epochs, c.Schedule.First, c.Schedule.Second = 50, 30./50, 45./50
		}
	},
	small: func(c *Config) {
		c.Batch, c.Dim, c.Depth, c.Encoder.Width = 64, 256, 1, 0.5
	},
	graph: func(c Config) *encoder.Graph {
		return encoder.AMDIM(encoder.AMDIMConfig{Size: c.Encoder.Size, Width: c.Encoder.Width, RKHS: c.Dim, Depth: c.Depth, Mixture: c.Mixture, Normalize: c.Encoder.Normalize})
	},
}

func checkAMDIM(c Config) []error {
	return slices.Concat(
		expect(slices.Contains([]int{32, 64, 128}, c.Encoder.Size), "size", c.Encoder.Size, "32, 64 or 128, which amdim's network is for: give --size"),
		expect(c.Depth >= 1 && c.Depth <= maxDepth, "depth", c.Depth, fmt.Sprintf("1 to %d", maxDepth)),
		expect(c.Mixture >= 0 && c.Mixture <= maxMixture, "mixture", c.Mixture, fmt.Sprintf("0 to %d", maxMixture)),
		expect(c.MixtureSharpness >= 0 && c.MixtureSharpness <= 1e3, "mixture-sharpness", c.MixtureSharpness, "in [0,1000]"),
		expect(c.MixtureEntropy >= 0 && c.MixtureEntropy <= 1e3, "mixture-entropy", c.MixtureEntropy, "in [0,1000]"))
}

// amdim predicts across two views, each encoded by itself, and across scales:
// from the 1×1 map the cells of the 5×5 and the 7×7 map, and from one cell of
// the 5×5 map all of it. With a mixture the 7×7 map is predicted by all components
// of the 1×1 map's vector, the rest as without.
type amdim struct {
	net    Net
	passes [2]Pass
	losses []Loss
}

func buildAMDIM(x Executor, g *encoder.Graph, c Config) Method {
	m := &amdim{net: x.Network("encoder_q", g)}
	for v := range m.passes {
		m.passes[v] = x.Pass(m.net, PassSpec{View: View(v), Grads: append([]string{"r1", "r5", "r7"}, encoder.AMDIMComponents(c.Mixture)...)})
	}
	for _, task := range [][2]string{{"r1", "r5"}, {"r1", "r7"}, {"r5", "r5"}} {
		for v, from := range m.passes {
			loss := GlobalLocal{
				Global: Out{from, task[0]}, Local: Out{m.passes[1-v], task[1]}, RandomCell: task[0] == "r5", Draw: v,
				Estimator: NCE, Scale: 1 / math.Sqrt(float64(c.Dim)), Clip: amdimClip, Penalty: amdimPenalty, Weight: 0.5,
				Sharpness: c.MixtureSharpness, Entropy: c.MixtureEntropy,
			}
			if task[1] == "r7" {
				for _, name := range encoder.AMDIMComponents(c.Mixture) {
					loss.Components = append(loss.Components, Out{from, name})
				}
			}
			m.losses = append(m.losses, x.Loss(loss))
		}
	}
	x.Loss(Spread{Of: Out{m.passes[0], "features"}, Other: &Out{m.passes[1], "features"}})
	return m
}

// Step implements Method.
func (m *amdim) Step(x Executor) {
	for _, p := range m.passes {
		x.Forward(p)
	}
	for _, l := range m.losses {
		x.Contrast(l)
	}
	for _, p := range m.passes {
		x.Backward(p)
	}
	x.Optimise(m.net)
}
