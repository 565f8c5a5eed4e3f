package encoder

import (
	"fmt"
	"math"
	"strings"
)

// ResNetConfig chooses a residual network (He et al. 2016, in torchvision's
// form: the stride of a bottleneck is in its 3x3 convolution).
type ResNetConfig struct {
	Depth     int     // 18 or 50
	CIFAR     bool    // 3x3 stem without pooling, for images up to 96 px
	Size      int     // side of the images
	Width     float64 // factor of all channel counts, which are rounded and at least 1
	Normalize Normalize
	ZeroGamma bool // blocks start as the identity, see BatchNorm
}

// blocks per stage.
var resnetBlocks = map[int][4]int{18: {2, 2, 2, 2}, 50: {3, 4, 6, 3}}

// ParseResNet reads a name such as resnet18, resnet50 or resnet18-cifar.
func ParseResNet(name string) (ResNetConfig, error) {
	base, cifar := strings.CutSuffix(name, "-cifar")
	for depth := range resnetBlocks {
		if base == fmt.Sprintf("resnet%d", depth) {
			return ResNetConfig{Depth: depth, CIFAR: cifar}, nil
		}
	}
	return ResNetConfig{}, fmt.Errorf("encoder: %q is not known: want resnet18, resnet50, resnet18-cifar or resnet50-cifar", name)
}

// ResNet describes the network up to its pooled features, the output
// "features" [N,512*Width] (Depth 18) or [N,2048*Width] (Depth 50). Another
// depth is an error of the program.
func ResNet(c ResNetConfig) *Graph {
	if _, ok := resnetBlocks[c.Depth]; !ok {
		panic(fmt.Sprintf("encoder: ResNet: depth %d, want 18 or 50", c.Depth))
	}
	width := func(n int) int { return max(1, int(math.Round(float64(n)*c.Width))) }
	g := NewGraph(c.Size, c.Size)
	x := g.Add("normalize", c.Normalize, 0)
	if c.CIFAR {
		x = g.Add("conv1", Conv{Out: width(64), K: 3, Stride: 1, Pad: 1, Init: DefaultUniform}, x)
	} else {
		x = g.Add("conv1", Conv{Out: width(64), K: 7, Stride: 2, Pad: 3}, x)
	}
	x = g.Add("bn1", BatchNorm{}, x)
	x = g.Add("relu", ReLU{}, x)
	if !c.CIFAR {
		x = g.Add("maxpool", MaxPool{K: 3, Stride: 2, Pad: 1}, x)
	}
	for stage, blocks := range resnetBlocks[c.Depth] {
		for block := range blocks {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			name := fmt.Sprintf("layer%d.%d.", stage+1, block)
			if c.Depth < 50 {
				x = basicBlock(g, name, x, width(64<<stage), stride, BatchNorm{}, BatchNorm{ZeroGamma: c.ZeroGamma})
			} else {
				x = bottleneck(g, name, x, width(64<<stage), width(256<<stage), stride, BatchNorm{ZeroGamma: c.ZeroGamma})
			}
		}
	}
	g.Output("features", g.Add("avgpool", GlobalAvgPool{}, x))
	return g
}

func basicBlock(g *Graph, name string, x Value, out, stride int, norm, last Op) Value {
	y := g.Add(name+"conv1", Conv{Out: out, K: 3, Stride: stride, Pad: 1}, x)
	y = g.Add(name+"bn1", norm, y)
	y = g.Add(name+"relu1", ReLU{}, y)
	y = g.Add(name+"conv2", Conv{Out: out, K: 3, Stride: 1, Pad: 1}, y)
	y = g.Add(name+"bn2", last, y)
	return join(g, name, x, y, stride, norm)
}

func bottleneck(g *Graph, name string, x Value, mid, out, stride int, last Op) Value {
	y := g.Add(name+"conv1", Conv{Out: mid, K: 1, Stride: 1}, x)
	y = g.Add(name+"bn1", BatchNorm{}, y)
	y = g.Add(name+"relu1", ReLU{}, y)
	y = g.Add(name+"conv2", Conv{Out: mid, K: 3, Stride: stride, Pad: 1}, y)
	y = g.Add(name+"bn2", BatchNorm{}, y)
	y = g.Add(name+"relu2", ReLU{}, y)
	y = g.Add(name+"conv3", Conv{Out: out, K: 1, Stride: 1}, y)
	y = g.Add(name+"bn3", last, y)
	return join(g, name, x, y, stride, BatchNorm{})
}

// join adds the block's input to its output, through a projection where the
// shape changes.
func join(g *Graph, name string, x, y Value, stride int, norm Op) Value {
	if g.Shape(x) != g.Shape(y) {
		x = g.Add(name+"downsample.0", Conv{Out: g.Shape(y).C, K: 1, Stride: stride}, x)
		x = g.Add(name+"downsample.1", norm, x)
	}
	return g.Add(name+"relu", ReLU{}, g.Add(name+"add", Add{}, y, x))
}

// A Head is the projection head on the pooled features.
type Head struct {
	Kind   HeadKind
	Hidden int // width of the MLP's hidden layer; 0: that of the features
	Dim    int // D, the size of the embedding
}

// HeadKind is the form of a projection head.
type HeadKind string

const (
	// LinearHead is one layer, named fc.
	LinearHead HeadKind = "linear"
	// MLPHead is fc.0, ReLU, fc.2, without batch normalisation (MoCo v2).
	MLPHead HeadKind = "mlp"
	// SimCLRHead is fc.0, BatchNorm, ReLU, fc.3, BatchNorm without beta; the
	// linear layers have no biases (SimCLR's reference code).
	SimCLRHead HeadKind = "mlp-bn"
	// MoCoV3Head is SimCLRHead with a last BatchNorm of neither gamma nor beta,
	// in front of a predictor, see AddPredictor.
	MoCoV3Head HeadKind = "moco-v3"
	// NoHead uses the features themselves.
	NoHead HeadKind = "none"
)

// ParseHead reads linear, mlp, mlp-bn or none; MoCoV3Head is its method's alone.
func ParseHead(s string) (HeadKind, error) {
	switch k := HeadKind(s); k {
	case LinearHead, MLPHead, SimCLRHead, NoHead:
		return k, nil
	}
	return "", fmt.Errorf("encoder: head %q is not known: want linear, mlp, mlp-bn or none", s)
}

// AddHead puts a projection head on the output "features" and adds the outputs
// "projection" [N,D] and, of unit length, "embedding" [N,D].
func (g *Graph) AddHead(h Head) {
	x, ok := g.Find("features")
	if !ok {
		panic("encoder: AddHead: the graph has no output features")
	}
	hidden := h.Hidden
	if hidden == 0 {
		hidden = g.Shape(x).C
	}
	switch h.Kind {
	case LinearHead:
		x = g.Add("fc", Linear{Out: h.Dim, Bias: true}, x)
	case MLPHead:
		x = g.Add("fc.0", Linear{Out: hidden, Bias: true}, x)
		x = g.Add("fc.1", ReLU{}, x)
		x = g.Add("fc.2", Linear{Out: h.Dim, Bias: true}, x)
	case SimCLRHead:
		x = g.Add("fc.0", Linear{Out: hidden}, x)
		x = g.Add("fc.1", BatchNorm{}, x)
		x = g.Add("fc.2", ReLU{}, x)
		x = g.Add("fc.3", Linear{Out: h.Dim}, x)
		x = g.Add("fc.4", BatchNorm{NoBeta: true}, x)
	case MoCoV3Head:
		x = g.Add("fc.0", Linear{Out: hidden}, x)
		x = g.Add("fc.1", BatchNorm{}, x)
		x = g.Add("fc.2", ReLU{}, x)
		x = g.Add("fc.3", Linear{Out: h.Dim}, x)
		x = g.Add("fc.4", BatchNorm{NoBeta: true, NoGamma: true}, x)
	case NoHead:
	default:
		panic(fmt.Sprintf("encoder: AddHead: head %q is not known", h.Kind))
	}
	g.Output("projection", x)
	g.Output("embedding", g.Add("l2", L2Normalize{}, x))
}

// AddPredictor puts MoCo v3's predictor on the output "projection": predictor.0,
// BatchNorm, ReLU, predictor.3, without biases and without a last BatchNorm. It
// adds the output "prediction" [N,D] of unit length, D that of the projection.
func (g *Graph) AddPredictor(hidden int) {
	x := g.projection("AddPredictor")
	dim := g.Shape(x).C
	x = g.Add("predictor.0", Linear{Out: hidden}, x)
	x = g.Add("predictor.1", BatchNorm{}, x)
	x = g.Add("predictor.2", ReLU{}, x)
	x = g.Add("predictor.3", Linear{Out: dim}, x)
	g.Output("prediction", g.Add("predictor.l2", L2Normalize{}, x))
}
