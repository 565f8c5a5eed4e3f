package encoder

import (
	"fmt"
	"math"
)

// AMDIMConfig chooses the network of Augmented Multiscale Deep InfoMax (Bachman
// et al. 2019).
type AMDIMConfig struct {
	Size      int     // side of the images: 32, 64 or 128
	Width     float64 // ndf is 128·Width
	RKHS      int     // n_rkhs, the size of the outputs
	Depth     int     // n_depth, blocks of a stage
	Mixture   int     // components of a mixture in place of r1 alone; 0: none
	Normalize Normalize
}

// AMDIM describes the encoder of the reference code. No convolution pads, so
// that what a cell has seen is known: at 32 px a cell of the 7×7 map has seen
// 8 pixels, one of the 5×5 map 16, the 1×1 map all 32. Outputs:
//
//	r1        [N,RKHS]
//	r5        [N,5,5,RKHS]
//	r7        [N,7,7,RKHS]
//	features  r1 again: for probes
//	mixture0 … [N,RKHS]: r1 plus what a network of one hidden layer makes of it for
//	          each component (Bachman et al. 2019, section 3.5; the layer's size,
//	          RKHS, is our choice)
func AMDIM(c AMDIMConfig) *Graph {
	ndf := max(1, int(math.Round(128*c.Width)))
	g := NewGraph(c.Size, c.Size)
	a := amdim{g, c}
	x := g.Add("normalize", c.Normalize, 0)
	wide := 8 * ndf // channels of the maps
	switch c.Size {
	case 32:
		wide = 4 * ndf
		x = a.stem("stem", x, ndf, 3, 1)
		x = a.residual("res0", x, ndf, 1, 1)
		x = a.stage("res1", x, 2*ndf, 4, 2)
	case 128:
		x = g.Add("mirror", Pad{2, 2, 2, 2, true}, x)
		x = a.stem("stem0", x, ndf, 5, 2)
		fallthrough
	case 64:
		x = a.stem("stem", x, ndf, 3, 1)
		x = a.stage("res0", x, 2*ndf, 4, 2)
		x = a.stage("res1", x, 4*ndf, 4, 2)
	default:
		panic(fmt.Sprintf("encoder: AMDIM: images of %d pixels, want 32, 64 or 128", c.Size))
	}
	r7 := a.stage("res2", x, wide, 2, 2)
	r5 := a.stage("res3", r7, wide, 3, 1)
	x = a.stage("res4", r5, wide, 3, 1)
	r1 := g.Add("rkhs1.bn", BatchNorm{}, a.residual("rkhs1", x, c.RKHS, 3, 1))
	g.Output("features", r1)
	g.Output("r1", r1)
	if c.Mixture > 0 {
		hidden := g.Add("mixture.relu", ReLU{}, g.Add("mixture.fc1", Linear{Out: c.RKHS, Bias: true}, r1))
		for i, name := range AMDIMComponents(c.Mixture) {
			own := g.Add(fmt.Sprintf("mixture.fc2.%d", i), Linear{Out: c.RKHS, Bias: true}, hidden)
			g.Output(name, g.Add(name, Add{}, own, r1))
		}
	}
	g.Output("r5", a.rkhs("rkhs5", r5))
	g.Output("r7", a.rkhs("rkhs7", r7))
	return g
}

// AMDIMComponents names the outputs of a mixture of k components.
func AMDIMComponents(k int) []string {
	names := make([]string, k)
	for i := range names {
		names[i] = fmt.Sprint("mixture", i)
	}
	return names
}

// amdim adds the parts of the network.
type amdim struct {
	*Graph
	AMDIMConfig
}

func (a amdim) stem(name string, x Value, out, k, stride int) Value {
	return a.Add(name+".relu", ReLU{}, a.Add(name, Conv{Out: out, K: k, Stride: stride, Init: DefaultUniform}, x))
}

// stage is one block that changes the resolution and Depth-1 on single pixels.
func (a amdim) stage(name string, x Value, out, k, stride int) Value {
	x = a.residual(name+".0", x, out, k, stride)
	for i := 1; i < a.Depth; i++ {
		x = a.residual(fmt.Sprintf("%s.%d", name, i), x, out, 1, 1)
	}
	return x
}

// residual adds a branch of two convolutions, the second of which starts at
// zero, to the mean of the same windows.
func (a amdim) residual(name string, x Value, out, k, stride int) Value {
	y := a.Add(name+".conv1", Conv{Out: out, K: k, Stride: stride, Init: DefaultUniform}, x)
	y = a.Add(name+".conv2", Conv{Out: out, K: 1, Stride: 1, Init: Zero}, a.Add(name+".relu", ReLU{}, y))
	if a.Shape(x).C > out { // fewer channels: no mean would do
		return a.Add(name+".add", Add{}, y, a.Add(name+".conv3", Conv{Out: out, K: k, Stride: stride, Bias: true, Init: DefaultUniform}, x))
	}
	if k > 1 {
		x = a.Add(name+".mean", AvgPool{K: k, Stride: stride}, x)
	}
	if a.Shape(x).C < out {
		x = a.Add(name+".grow", PadChannels{Out: out}, x)
	}
	return a.Add(name+".add", Add{}, y, x)
}

// rkhs maps the cells of a map to where they are compared.
func (a amdim) rkhs(name string, x Value) Value {
	y := a.Add(name+".conv1", Conv{Out: a.RKHS, K: 1, Stride: 1, Init: DefaultUniform}, x)
	y = a.Add(name+".conv2", Conv{Out: a.RKHS, K: 1, Stride: 1, Init: Zero}, a.Add(name+".relu", ReLU{}, y))
	shortcut := a.Add(name+".shortcut", Conv{Out: a.RKHS, K: 1, Stride: 1, Bias: true, Init: NearIdentity}, x)
	return a.Add(name+".bn", BatchNorm{}, a.Add(name+".add", Add{}, y, shortcut))
}
