package encoder_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/kernel"
)

func cpcNet(grid, patch int, width float64) *encoder.Graph {
	return encoder.CPC(encoder.CPCConfig{Grid: grid, Patch: patch, Blocks: 1, Width: width, Target: 6, Directions: 4, Normalize: pixelNorm})
}

func amdimNet(size, depth int, width float64, rkhs int) *encoder.Graph {
	return encoder.AMDIM(encoder.AMDIMConfig{Size: size, Width: width, RKHS: rkhs, Depth: depth, Normalize: pixelNorm})
}

func infoMaxNet(size int, width float64, units int) *encoder.Graph {
	return encoder.InfoMax(encoder.InfoMaxConfig{
		Size: size, Width: width, Code: 9, Units: units, Global: true, Local: true, Prior: true, Normalize: pixelNorm,
	})
}

func TestSelfSupervisedNetworksMatchReference(t *testing.T) {
	for _, c := range []struct {
		name  string
		graph *encoder.Graph
	}{
		{"cpc", cpcNet(5, 8, 1./16)},
		{"cpc of odd patches", cpcNet(6, 5, 3./64)},
		{"dim 32", infoMaxNet(32, 1./16, 20)},
		{"dim by concat-and-convolve", encoder.InfoMax(encoder.InfoMaxConfig{
			Size: 32, Width: 1. / 16, Code: 9, Local: true, Convolve: true, Prior: true, Normalize: pixelNorm,
		})},
		{"dim with coordinates", encoder.InfoMax(encoder.InfoMaxConfig{
			Size: 32, Width: 1. / 16, Code: 9, Units: 12, Local: true, Absolute: true, Relative: true, Normalize: pixelNorm,
		})},
		{"dim 64", infoMaxNet(64, 1./32, 12)},
		{"amdim 32", amdimNet(32, 2, 5./128, 20)},
		{"amdim of a mixture", encoder.AMDIM(encoder.AMDIMConfig{Size: 32, Width: 4. / 128, RKHS: 19, Depth: 1, Mixture: 3, Normalize: pixelNorm})},
		{"amdim 64, fewer channels at the end", amdimNet(64, 1, 3./128, 18)},
		{"amdim 128", amdimNet(128, 1, 4./128, 21)},
	} {
		t.Run(c.name, func(t *testing.T) {
			trial := trial{graph: c.graph, batch: 4, seed: 1}
			features, _ := c.graph.Find("features")
			for _, o := range c.graph.Outputs {
				if o.Name == "features" || o.Value != features { // AMDIM's are also r1, whose gradient that would be
					trial.grads = append(trial.grads, o.Name)
				}
			}
			t.Logf("largest deviation %.2g of a tensor's norm", trial.run(t, networkTolerance))
		})
	}
}

func TestSelfSupervisedNetworksHavePublishedShapes(t *testing.T) {
	cpc := encoder.CPCConfig{Grid: 7, Patch: 8, Blocks: 2, Width: 1, Target: 64, Directions: 2}
	dim := encoder.InfoMaxConfig{Size: 32, Width: 1, Code: 64, Units: 2048, Local: true}
	amdim := encoder.AMDIMConfig{Size: 32, Width: 1, RKHS: 1024, Depth: 3}
	for _, c := range []struct {
		name   string
		graph  *encoder.Graph
		output string
		want   encoder.Shape
	}{
		{"cpc", encoder.CPC(cpc), "features", encoder.Shape{Per: 1, H: 1, W: 1, C: 256}},
		{"cpc", encoder.CPC(cpc), "target", encoder.Shape{Per: 1, H: 7, W: 7, C: 64}},
		{"cpc", encoder.CPC(cpc), "down2", encoder.Shape{Per: 1, H: 5, W: 7, C: 64}},
		{"cpc", encoder.CPC(cpc), "up4", encoder.Shape{Per: 1, H: 3, W: 7, C: 64}},
		{"dim", encoder.InfoMax(dim), "features", encoder.Shape{Per: 1, H: 1, W: 1, C: 1024}},
		{"dim", encoder.InfoMax(dim), "local", encoder.Shape{Per: 1, H: 8, W: 8, C: 2048}},
		{"dim", encoder.InfoMax(dim), "global", encoder.Shape{Per: 1, H: 1, W: 1, C: 2048}},
		{"amdim", encoder.AMDIM(amdim), "r1", encoder.Shape{Per: 1, H: 1, W: 1, C: 1024}},
		{"amdim", encoder.AMDIM(amdim), "r5", encoder.Shape{Per: 1, H: 5, W: 5, C: 1024}},
		{"amdim", encoder.AMDIM(amdim), "r7", encoder.Shape{Per: 1, H: 7, W: 7, C: 1024}},
	} {
		v, ok := c.graph.Find(c.output)
		if !ok || c.graph.Shape(v) != c.want {
			t.Errorf("%s: %s is %v, want %v", c.name, c.output, c.graph.Shape(v), c.want)
		}
	}
}

// seen runs a network on an image and on the image changed at a set of pixels,
// and tells for every pixel of an output whether it changed.
func seen(t *testing.T, g *encoder.Graph, name string, change func(h, w int) bool) []bool {
	t.Helper()
	s := g.Inputs[0].Shape
	a := model(t, g, randomParams(t, g, 1), encoder.Options{Batch: 1, Mode: encoder.Eval, Conv: kernel.Direct}).NewArena()
	x := pixels(g, 1, 1)
	a.Forward(x)
	before := slices.Clone(output(a, name))
	for i := range x {
		if h, w := i/3/s.W, i/3%s.W; change(h, w) {
			x[i] ^= 0x55
		}
	}
	a.Forward(x)
	after, d := output(a, name), a.Output(name).D
	var out []bool
	for i := 0; i < len(after); i += d {
		out = append(out, !slices.Equal(before[i:i+d], after[i:i+d]))
	}
	return out
}

// The mask test of CPC: a prediction depends on its own and the five rows read
// before it, never on one that it is to predict.
func TestCPCPredictsFromWhatWasReadBefore(t *testing.T) {
	const grid, patch = 7, 4
	g := cpcNet(grid, patch, 1./16)
	for _, p := range encoder.CPCPredictions(4) {
		for line := range grid { // of the direction
			changed := seen(t, g, p.Output, func(h, _ int) bool {
				for place := range grid {
					if row, column := p.Direction.At(line, place, grid); h/patch == row*grid+column {
						return true
					}
				}
				return false
			})
			for i, got := range changed {
				from := i / grid // the line that predicts
				if want := line <= from && line >= from-5; got != want {
					t.Fatalf("%s: line %d depends on line %d: %v, want %v", p.Output, from, line, got, want)
				}
			}
		}
	}
}

// A whole image gives what its patches give.
func TestCPCOfWholeImages(t *testing.T) {
	const grid, patch, size = 7, 8, 32
	cut := cpcNet(grid, patch, 1./16)
	whole := encoder.CPC(encoder.CPCConfig{Grid: grid, Patch: patch, Whole: true, Blocks: 1, Width: 1. / 16, Target: 6, Directions: 4, Normalize: pixelNorm})
	params := randomParams(t, cut, 1)
	a := model(t, whole, params, encoder.Options{Batch: 2, Mode: encoder.Eval}).NewArena()
	b := model(t, cut, params, encoder.Options{Batch: 2, Mode: encoder.Eval}).NewArena()
	images := pixels(whole, 2, 1)
	var patches []byte
	for i := range 2 * grid * grid {
		n, top, left := i/(grid*grid), i/grid%grid*patch/2, i%grid*patch/2
		for y := range patch {
			at := ((n*size+top+y)*size + left) * 3
			patches = append(patches, images[at:at+patch*3]...)
		}
	}
	a.Forward(images)
	b.Forward(patches)
	if got, want := output(a, "features"), output(b, "features"); !slices.Equal(got, want) {
		t.Errorf("whole images give %v, their patches %v", got, want)
	}
}

// What a cell of each of AMDIM's maps sees of the image.
func TestAMDIMReceptiveFields(t *testing.T) {
	for _, c := range []struct {
		size, side    int
		field, stride int
		output        string
	}{
		{32, 7, 8, 4, "r7"}, {32, 5, 16, 4, "r5"}, {32, 1, 32, 4, "r1"},
		{64, 7, 16, 8, "r7"}, {64, 5, 32, 8, "r5"}, {64, 1, 64, 8, "r1"},
	} {
		t.Run(fmt.Sprint(c.size, c.output), func(t *testing.T) {
			g := amdimNet(c.size, 2, 4./128, 16)
			for _, line := range []int{0, 3, c.size / 2, c.size - 1} {
				for i, got := range seen(t, g, c.output, func(h, _ int) bool { return h == line }) {
					top := i / c.side * c.stride
					if want := line >= top && line < top+c.field; got != want {
						t.Errorf("row %d of the map sees line %d: %v, want %v", i/c.side, line, got, want)
					}
				}
			}
		})
	}
}

// A new AMDIM passes on the means of its windows: residual branches begin at
// zero, and cells are compared by what the shortcut passes on.
func TestAMDIMStartsAtItsShortcuts(t *testing.T) {
	g := amdimNet(32, 2, 4./128, 32)
	state := widened(t, encoder.NewParams(g, 1).State())
	for name, values := range state {
		switch {
		case len(name) > 13 && name[len(name)-13:] == ".conv2.weight":
			if slices.Max(values) != 0 || slices.Min(values) != 0 {
				t.Errorf("%s is not zero", name)
			}
		case len(name) > 16 && name[len(name)-16:] == ".shortcut.weight":
			for i, v := range values { // [out,in]
				if o, c := i/16, i%16; o == c && v != 1 || o != c && math.Abs(v) > 0.01 {
					t.Fatalf("%s[%d,%d] is %v", name, o, c, v)
				}
			}
		}
	}
}

// The discriminator of prior matching by itself, and frozen: then its gradient
// goes to the codes, and none to its weights.
func TestVectorNetworkMatchesReference(t *testing.T) {
	g := encoder.InfoMaxPrior(9)
	params := randomParams(t, g, 1)
	ref := reference{graph: g, batch: 5, groups: 1, params: widened(t, params.State())}
	trained := model(t, g, params, encoder.Options{Batch: 5, Grads: []string{"score"}}).NewArena()
	frozen := model(t, g, params, encoder.Options{Batch: 5, Grads: []string{"score"}, Frozen: true}).NewArena()
	for i, v := range widenedPixels(45) {
		ref.vectors = append(ref.vectors, v)
		trained.Input().Row(i / 9)[i%9] = float32(v)
		frozen.Input().Row(i / 9)[i%9] = float32(v)
	}
	ref.forward(nil)
	grads := image{}
	for _, a := range []*encoder.Arena{frozen, trained} {
		a.Forward(nil)
		v, _ := g.Find("score")
		if d := deviation(rowsOf(a.Output("score"), ref.values[v]).v, ref.values[v].v, 0); d > tolerance {
			t.Errorf("scores deviate by %.2g of their norm", d)
		}
		fillGrads(a, 1, "score")
		grads = rowsOf(a.OutputGrad("score"), ref.values[v])
		a.Backward()
		if a == frozen {
			for name, got := range widened(t, params.Grads()) {
				if slices.Max(got) != 0 || slices.Min(got) != 0 {
					t.Errorf("the frozen network has a gradient of %s", name)
				}
			}
		}
	}
	ref.backward(map[string]image{"score": grads})
	if d := deviation(rowsOf(frozen.InputGrad(), ref.dvals[0]).v, ref.dvals[0].v, 0); d > tolerance {
		t.Errorf("the codes' gradient deviates by %.2g of its norm", d)
	}
	for name, got := range widened(t, params.Grads()) {
		if d := deviation(got, ref.grads[name], 0); d > tolerance {
			t.Errorf("the gradient of %s deviates by %.2g of its norm", name, d)
		}
	}
}

// widenedPixels returns n numbers in [0,1) that float32 holds.
func widenedPixels(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(bits("codes", i)>>40) / (1 << 24)
	}
	return out
}

func TestFrozenNetworkCannotNormalise(t *testing.T) {
	_, err := encoder.Compile(sampleNorms(), encoder.Options{Batch: 2, Frozen: true, Grads: []string{"y"}})
	if err == nil {
		t.Error("compiled a frozen network with normalisation, want an error")
	}
}
