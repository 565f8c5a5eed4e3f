package encoder

import (
	"fmt"
	"slices"

	"clpipe/internal/kernel"
)

// A Graph describes a network: nodes in topological order, each made of values
// that come before it. It is data; Compile turns it into work.
type Graph struct {
	Inputs  []Input
	Nodes   []Node
	Outputs []Output
	shapes  []Shape // of every value
}

// A Value is a result in the graph: first the inputs, then one for every node.
type Value int

// An Input is a named input: images, uint8 [N,H,W,3] RGB, or float32 features.
type Input struct {
	Name  string
	Shape Shape
	Float bool // features [H,W,C], which the caller fills in, see Arena.Input
}

// An Output is a named result of the network.
type Output struct {
	Name  string
	Value Value
}

// A Node is an operation on earlier values. Its parameters are named after it,
// as in layer1.0.conv1.weight.
type Node struct {
	Name string
	Op   Op
	In   []Value
}

// Shape is that of a value: Per*N samples of [H,W,C] in a batch of N. Per is 1
// but between Unfold and Fold.
type Shape struct{ Per, H, W, C int }

func (s Shape) String() string { return fmt.Sprintf("%dN×[%d,%d,%d]", s.Per, s.H, s.W, s.C) }

// An Op is one of the operations below.
type Op interface {
	// infer returns the shape of the result, or what is wrong with the operands.
	infer(in []Shape) (Shape, error)
	// params lists the parameters the operation has on these operands.
	params(in []Shape) []paramSpec
}

type (
	// Normalize turns pixels into numbers, (x/255 - Mean)/Std by channel.
	Normalize struct{ Mean, Std [3]float32 }
	// Conv is a convolution, [K,K] window, zero padding on all sides.
	Conv struct {
		Out, K, Stride, Pad int
		KW                  int // width of a window that is not square; 0: K
		Bias                bool
		Init                Init
	}
	// BatchNorm normalises each channel over batch and pixels (Ioffe and
	// Szegedy 2015), with PyTorch's eps 1e-5 and momentum 0.1.
	// NoBeta leaves out what it adds to each channel, its parameter "bias";
	// NoGamma what it multiplies by, "weight".
	// ZeroGamma starts gamma at 0: a residual block whose last normalisation
	// does begins as the identity (Goyal et al. 2017, section 5.1).
	BatchNorm struct{ NoBeta, NoGamma, ZeroGamma bool }
	// GroupNorm normalises each sample by itself, C/Groups channels over all
	// pixels together (Wu and He 2018), with PyTorch's eps 1e-5; Groups divides
	// C. With one group it is layer normalisation over [H,W,C].
	GroupNorm struct{ Groups int }
	// LayerNorm normalises each pixel over its channels (Ba et al. 2016), with
	// PyTorch's eps 1e-5.
	LayerNorm struct{}
	// ReLU is max(x, 0).
	ReLU struct{}
	// Sigmoid is 1/(1+exp(-x)).
	Sigmoid struct{}
	// MaxPool takes the maximum of [K,K] windows; padding counts as -inf.
	MaxPool struct{ K, Stride, Pad int }
	// GlobalAvgPool averages over all pixels: [H,W,C] to [1,1,C].
	GlobalAvgPool struct{}
	// Add sums two values of one shape.
	Add struct{}
	// Concat puts the channels of two values side by side.
	Concat struct{}
	// Linear is a fully connected layer on [1,1,C].
	Linear struct {
		Out  int
		Bias bool
	}
	// L2Normalize scales each sample of [1,1,C] to unit length.
	L2Normalize struct{}
	// Unfold takes a sample [G,G,P,P,C] given as [G*G*P,P,C] apart into G*G
	// samples [P,P,C]. No byte moves: the batch axis takes the grid in.
	Unfold struct{ G int }
	// Fold puts G*G samples [1,1,C] together as the grid [G,G,C] they came from.
	Fold struct{ G int }
)

// Init is the initial distribution of a convolution's weights.
type Init int

const (
	// KaimingFanOut is N(0, sqrt(2/(out*K*K))), ResNet's own.
	KaimingFanOut Init = iota
	// DefaultUniform is U(±1/sqrt(in*K*K)), PyTorch's for a layer that ResNet's
	// loop does not see, such as a stem exchanged later.
	DefaultUniform
	// Zero starts the branch of a residual block at nothing.
	Zero
	// NearIdentity passes channel c of the input on as channel c, with
	// U(±0.01) of every other: for 1x1 convolutions to at least as many
	// channels, else it is DefaultUniform.
	NearIdentity
)

// NewGraph returns a graph with one input: images of height×width RGB pixels.
func NewGraph(height, width int) *Graph {
	s := Shape{1, height, width, 3}
	return &Graph{Inputs: []Input{{Name: "input", Shape: s}}, shapes: []Shape{s}}
}

// NewVectorGraph returns a graph with one input: vectors of dim floats.
func NewVectorGraph(dim int) *Graph { return NewMapGraph(1, 1, dim) }

// NewMapGraph returns a graph with one input: maps of height×width pixels of
// channels floats, as a network's output is one.
func NewMapGraph(height, width, channels int) *Graph {
	s := Shape{1, height, width, channels}
	return &Graph{Inputs: []Input{{Name: "input", Shape: s, Float: true}}, shapes: []Shape{s}}
}

// Shape returns the shape of a value.
func (g *Graph) Shape(v Value) Shape { return g.shapes[v] }

// Add appends an operation and returns its value. A name that is taken and
// operands that do not fit are errors of the program: Add panics with the shapes.
func (g *Graph) Add(name string, op Op, in ...Value) Value {
	shapes := g.shapesOf(in)
	s, err := op.infer(shapes)
	if err == nil {
		err = g.check(name, op, in)
	}
	if err != nil {
		panic(fmt.Sprintf("encoder: %s: %T of %v: %v", name, op, shapes, err))
	}
	g.Nodes = append(g.Nodes, Node{name, op, slices.Clone(in)})
	g.shapes = append(g.shapes, s)
	return Value(len(g.shapes) - 1)
}

// check returns what shapes do not show: the name, and how operands are stored.
func (g *Graph) check(name string, op Op, in []Value) error {
	for _, n := range g.Nodes {
		if n.Name == name {
			return fmt.Errorf("the name is taken")
		}
	}
	_, normalizes := op.(Normalize)
	for _, v := range in {
		isInput := int(v) < len(g.Inputs)
		if arePixels := isInput && !g.Inputs[v].Float; arePixels != normalizes {
			return fmt.Errorf("pixels go through Normalize, and only they do")
		}
		if isInput {
			continue
		}
		if _, ok := g.Nodes[int(v)-len(g.Inputs)].Op.(L2Normalize); ok {
			return fmt.Errorf("unit vectors lie without padding and can only be an output")
		}
	}
	return nil
}

// Output names a value as a result of the network. A name that is taken and
// pixels are errors of the program.
func (g *Graph) Output(name string, v Value) {
	if _, taken := g.Find(name); taken || int(v) < len(g.Inputs) {
		panic(fmt.Sprintf("encoder: output %s: the name is taken or the value an input", name))
	}
	g.Outputs = append(g.Outputs, Output{name, v})
}

// Find returns the value of a named output.
func (g *Graph) Find(name string) (Value, bool) {
	for _, o := range g.Outputs {
		if o.Name == name {
			return o.Value, true
		}
	}
	return 0, false
}

// Part returns the part of the network that the named outputs need, with those
// outputs alone. Its parameters are some of the whole network's, under the same
// names. A name that is no output is an error of the program.
func (g *Graph) Part(outputs ...string) *Graph {
	needed := make([]bool, len(g.shapes))
	for _, name := range outputs {
		v, ok := g.Find(name)
		if !ok {
			panic("encoder: part of a network: no output is called " + name)
		}
		needed[v] = true
	}
	for i, n := range slices.Backward(g.Nodes) {
		for _, v := range n.In {
			needed[v] = needed[v] || needed[g.value(i)]
		}
	}
	part := &Graph{Inputs: g.Inputs, shapes: slices.Clone(g.shapes[:len(g.Inputs)])}
	place := make([]Value, len(g.shapes))
	for v := range g.Inputs {
		place[v] = Value(v)
	}
	for i, n := range g.Nodes {
		if !needed[g.value(i)] {
			continue
		}
		in := make([]Value, len(n.In))
		for k, v := range n.In {
			in[k] = place[v]
		}
		place[g.value(i)] = part.Add(n.Name, n.Op, in...)
	}
	for _, o := range g.Outputs {
		if slices.Contains(outputs, o.Name) {
			part.Output(o.Name, place[o.Value])
		}
	}
	return part
}

// Features returns the size of the output "features", 0 if there is none.
func (g *Graph) Features() int {
	if v, ok := g.Find("features"); ok {
		return g.shapes[v].C
	}
	return 0
}

// value returns the value that node i makes.
func (g *Graph) value(i int) Value { return Value(len(g.Inputs) + i) }

// shapesOf returns the shapes of values.
func (g *Graph) shapesOf(values []Value) []Shape {
	out := make([]Shape, len(values))
	for i, v := range values {
		out[i] = g.shapes[v]
	}
	return out
}

func one(in []Shape) (Shape, error) {
	if len(in) != 1 {
		return Shape{}, fmt.Errorf("got %d operands, want 1", len(in))
	}
	return in[0], nil
}

func (Normalize) infer(in []Shape) (Shape, error) { return one(in) }

func (c Conv) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err != nil {
		return s, err
	}
	s.H, s.W, s.C = window(s.H, c.K, c.Stride, c.Pad), window(s.W, c.width(), c.Stride, c.Pad), c.Out
	return s, fits(s, max(c.K, c.width()))
}

// width returns the width of the window.
func (c Conv) width() int {
	if c.KW > 0 {
		return c.KW
	}
	return c.K
}

// window returns how many windows fit along an axis of n pixels.
func window(n, k, stride, pad int) int {
	if n+2*pad < k {
		return 0
	}
	return (n+2*pad-k)/stride + 1
}

// fits returns what is wrong with a result of windows.
func fits(s Shape, k int) error {
	if s.H < 1 || s.W < 1 || s.C < 1 {
		return fmt.Errorf("a window of %d leaves %v", k, s)
	}
	return nil
}

func (BatchNorm) infer(in []Shape) (Shape, error) { return one(in) }
func (ReLU) infer(in []Shape) (Shape, error)      { return one(in) }
func (Sigmoid) infer(in []Shape) (Shape, error)   { return one(in) }

func (m MaxPool) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err != nil {
		return s, err
	}
	s.H, s.W = window(s.H, m.K, m.Stride, m.Pad), window(s.W, m.K, m.Stride, m.Pad)
	return s, fits(s, m.K)
}

func (GlobalAvgPool) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	s.H, s.W = 1, 1
	return s, err
}

func (Add) infer(in []Shape) (Shape, error) {
	if len(in) != 2 || in[0] != in[1] {
		return Shape{}, fmt.Errorf("operands differ")
	}
	return in[0], nil
}

func (Concat) infer(in []Shape) (Shape, error) {
	if len(in) != 2 || in[0].Per != in[1].Per || in[0].H != in[1].H || in[0].W != in[1].W {
		return Shape{}, fmt.Errorf("operands differ in more than their channels")
	}
	s := in[0]
	s.C += in[1].C
	return s, nil
}

// vector returns the one operand, which must be [1,1,C].
func vector(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && (s.H != 1 || s.W != 1) {
		err = fmt.Errorf("want [1,1,C]")
	}
	return s, err
}

func (l Linear) infer(in []Shape) (Shape, error) {
	s, err := vector(in)
	if err == nil && l.Out < 1 {
		err = fmt.Errorf("%d outputs, want at least 1", l.Out)
	}
	s.C = l.Out
	return s, err
}

func (L2Normalize) infer(in []Shape) (Shape, error) { return vector(in) }

func (u Unfold) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err != nil {
		return s, err
	}
	if g := u.G * u.G; s.H%g != 0 || s.H/g != s.W {
		return s, fmt.Errorf("rows are not %d patches of %d", g, s.W)
	}
	return Shape{s.Per * u.G * u.G, s.H / (u.G * u.G), s.W, s.C}, nil
}

func (f Fold) infer(in []Shape) (Shape, error) {
	s, err := vector(in)
	if err == nil && s.Per%(f.G*f.G) != 0 {
		err = fmt.Errorf("not a multiple of %d samples", f.G*f.G)
	}
	return Shape{s.Per / (f.G * f.G), f.G, f.G, s.C}, err
}

// len returns the floats of an activation of this shape in a batch of n.
func (s Shape) len(n int) int { return kernel.ActLen(n*s.Per, s.H, s.W, s.C) }
