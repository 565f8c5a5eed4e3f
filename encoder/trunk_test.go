package encoder

import (
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/internal/par"
)

// Every network has a trunk on images of another size, which ends where a block does.
func TestTrunk(t *testing.T) {
	std := Normalize{Std: [3]float32{1, 1, 1}}
	// Two branches that shrink before they join: neither is the trunk.
	branches := NewGraph(32, 32)
	conv := func(name string, stride int, x Value) Value {
		return branches.Add(name, Conv{Out: 8, K: 3, Stride: stride, Pad: 1}, x)
	}
	stem := conv("stem", 1, branches.Add("normalize", std, 0))
	left, right := conv("left", 1, stem), conv("right", 1, stem)
	joined := branches.Add("add", Add{}, conv("left.down", 2, left), conv("right.down", 2, right))
	branches.Output("features", branches.Add("avgpool", GlobalAvgPool{}, joined))
	for name, c := range map[string]struct {
		g            *Graph
		size, stride int
		want         Shape
		at           int
		last         string
	}{
		"resnet18":           {ResNet(ResNetConfig{Depth: 18, Size: 64, Width: 0.25, Normalize: std}), 96, 16, Shape{1, 6, 6, 64}, 16, "layer3.1.relu"},
		"resnet18, stride 8": {ResNet(ResNetConfig{Depth: 18, Size: 64, Width: 0.25, Normalize: std}), 96, 8, Shape{1, 12, 12, 32}, 8, "layer2.1.relu"},
		"resnet18-cifar":     {ResNet(ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.25, Normalize: std}), 96, 16, Shape{1, 12, 12, 128}, 8, "layer4.1.relu"},
		// The first convolution of a bottleneck has the stride of the block before.
		"resnet50":           {ResNet(ResNetConfig{Depth: 50, Size: 64, Width: 0.25, Normalize: std}), 96, 16, Shape{1, 6, 6, 256}, 16, "layer3.5.relu"},
		"resnet18, stride 3": {ResNet(ResNetConfig{Depth: 18, Size: 64, Width: 0.25, Normalize: std}), 96, 3, Shape{1, 48, 48, 16}, 2, "relu"},
		"dim":                {InfoMax(InfoMaxConfig{Size: 32, Width: 0.25, Code: 16, Units: 32, Local: true, Normalize: std}), 64, 16, Shape{1, 5, 5, 256}, 8, "fc.relu"},
		"amdim":              {AMDIM(AMDIMConfig{Size: 32, Width: 0.25, RKHS: 64, Depth: 1, Normalize: std}), 64, 16, Shape{1, 9, 9, 64}, 4, "rkhs1.bn"},
		"cpc":                {CPC(CPCConfig{Grid: 7, Patch: 16, Whole: true, Blocks: 1, Width: 0.25, Target: 16, Directions: 1, Normalize: std}), 96, 16, Shape{1, 24, 24, 64}, 4, "layer3.0.relu"},
		"branches":           {branches, 32, 2, Shape{1, 16, 16, 8}, 2, "add"},
		"branches, stride 1": {branches, 32, 1, Shape{1, 32, 32, 8}, 1, "stem"},
	} {
		trunk, err := c.g.Trunk(c.size, c.size, c.stride)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out, _ := trunk.Graph.Find(Map)
		last := trunk.Graph.Nodes[len(trunk.Graph.Nodes)-1].Name
		if got := trunk.Graph.Shape(out); got != c.want || trunk.Stride != c.at || last != c.last {
			t.Errorf("%s: a map of %v at a stride of %d behind %s, want %v, %d and %s", name, got, trunk.Stride, last, c.want, c.at, c.last)
		}
	}
}

// The mean of a trunk's map is the network's features, with the same parameters.
func TestTrunkIsTheNetwork(t *testing.T) {
	const n, size = 2, 16
	g := ResNet(ResNetConfig{Depth: 18, CIFAR: true, Size: size, Width: 0.125, Normalize: Normalize{Std: [3]float32{1, 1, 1}}})
	trunk, err := g.Trunk(size, size, 16)
	if err != nil {
		t.Fatal(err)
	}
	params := NewParams(g, 3)
	part := NewParams(trunk.Graph, 4)
	state := batch.State{Tensors: part.State().Tensors}
	for name := range state.Tensors {
		state.Tensors[name] = params.State().Tensors[name]
	}
	if err := part.Load(state); err != nil {
		t.Fatal(err)
	}
	pixels := make([]byte, n*size*size*3)
	for i := range pixels {
		pixels[i] = byte(i * i % 251)
	}
	pool := par.NewPool(1)
	defer pool.Close()
	run := func(g *Graph, p *Params, output string) Rows {
		plan, err := Compile(g, Options{Batch: n, Mode: Eval})
		if err != nil {
			t.Fatal(err)
		}
		a := plan.Bind(p, pool).NewArena()
		a.Forward(pixels)
		return a.Output(output)
	}
	features, cells := run(g, params, "features"), run(trunk.Graph, part, Map)
	for i := range n {
		for c, want := range features.Row(i) {
			per, sum := cells.N/n, float32(0)
			for p := i * per; p < (i+1)*per; p++ {
				sum += cells.Row(p)[c] / float32(per)
			}
			if d := sum - want; d > 1e-5 || d < -1e-5 {
				t.Fatalf("image %d, channel %d: the mean of the map is %v, the feature %v", i, c, sum, want)
			}
		}
	}
}

func TestTrunkRefuses(t *testing.T) {
	g := AMDIM(AMDIMConfig{Size: 32, Width: 0.25, RKHS: 64, Depth: 1, Normalize: Normalize{Std: [3]float32{1, 1, 1}}})
	for _, c := range []struct {
		size, stride int
		want         string
	}{{12, 16, "too small for the network: "}, {64, 0, "no layer whose cells lie at most 0 pixels apart"}} {
		if _, err := g.Trunk(c.size, c.size, c.stride); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("size %d, stride %d: got %v, want %q", c.size, c.stride, err, c.want)
		}
	}
}

// A network on maps gives for a trunk's map what the two as one give.
func TestMapsAreAnInput(t *testing.T) {
	const n, size = 2, 16
	whole := NewGraph(size, size)
	x := whole.Add("normalize", Normalize{Std: [3]float32{1, 1, 1}}, 0)
	x = whole.Add("conv", Conv{Out: 5, K: 3, Stride: 2, Pad: 1}, x)
	shape := whole.Shape(x)
	part := NewMapGraph(shape.H, shape.W, shape.C)
	for _, g := range []*Graph{whole, part} {
		v := Value(0)
		if g == whole {
			whole.Output(Map, x)
			v = x
		}
		v = g.Add("next", Conv{Out: 3, K: 3, Stride: 1, Pad: 1, Bias: true}, v)
		g.Output("out", g.Add("relu", ReLU{}, v))
	}
	params, own := NewParams(whole, 3), NewParams(part, 3) // initial values go by name
	pool := par.NewPool(1)
	defer pool.Close()
	var arenas []*Arena
	for _, g := range []*Graph{whole, part} {
		plan, err := Compile(g, Options{Batch: n, Mode: Train, Grads: []string{"out"}})
		if err != nil {
			t.Fatal(err)
		}
		p := params
		if g == part {
			p = own
		}
		arenas = append(arenas, plan.Bind(p, pool).NewArena())
	}
	pixels := make([]byte, n*size*size*3)
	for i := range pixels {
		pixels[i] = byte(i * i % 251)
	}
	arenas[0].Forward(pixels)
	from, to := arenas[0].Output(Map), arenas[1].Input()
	for i := range from.N {
		copy(to.Row(i), from.Row(i))
	}
	arenas[1].Forward(nil)
	for _, a := range arenas {
		g := a.OutputGrad("out")
		for i := range g.N {
			for c := range g.Row(i) {
				g.Row(i)[c] = float32(i%7) - 3
			}
		}
		a.Backward()
	}
	for i := range arenas[0].Output("out").N {
		for c, want := range arenas[0].Output("out").Row(i) {
			if got := arenas[1].Output("out").Row(i)[c]; got != want {
				t.Fatalf("row %d: %v, want %v", i, got, want)
			}
		}
	}
	for _, name := range []string{"next.weight", "next.bias"} {
		_, want := params.Tensor(name)
		_, got := own.Tensor(name)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("gradient of %s: %v, want %v", name, got, want)
			}
		}
	}
}
