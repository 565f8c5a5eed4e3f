package encoder_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// resnet describes a network of odd channel counts with a head.
func resnet(c encoder.ResNetConfig, head encoder.HeadKind) *encoder.Graph {
	c.Normalize = pixelNorm
	g := encoder.ResNet(c)
	g.AddHead(encoder.Head{Kind: head, Dim: 9})
	return g
}

var (
	small18 = encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 12, Width: 0.07}
	small50 = encoder.ResNetConfig{Depth: 50, Size: 40, Width: 0.05}
)

// algorithms of convolution, whose use of scratch memory differs.
var algorithms = []kernel.Algorithm{kernel.Auto, kernel.Direct, kernel.F2}

// model compiles and binds a graph; the pool ends with the test.
func model(t testing.TB, g *encoder.Graph, params *encoder.Params, o encoder.Options) *encoder.Model {
	t.Helper()
	o.Workers = max(o.Workers, 2)
	plan, err := encoder.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	pool := par.NewPool(o.Workers)
	t.Cleanup(pool.Close)
	return plan.Bind(params, pool)
}

// fillGrads draws the gradients of outputs.
func fillGrads(a *encoder.Arena, seed uint64, outputs ...string) {
	draw := rng.New(seed, rng.Benchmark, 4)
	for _, name := range outputs {
		rows := a.OutputGrad(name)
		for i := range rows.N {
			for j := range rows.Row(i) {
				rows.Row(i)[j] = float32(draw.Uniform(-1, 1))
			}
		}
	}
}

// output returns a copy of an output without padding.
func output(a *encoder.Arena, name string) []float32 {
	var out []float32
	rows := a.Output(name)
	for i := range rows.N {
		out = append(out, rows.Row(i)...)
	}
	return out
}

func TestResultsDoNotDependOnWhatAnArenaHeld(t *testing.T) {
	for _, mode := range []encoder.Mode{encoder.Train, encoder.TrainNoGrad, encoder.Eval} {
		for i, config := range []encoder.ResNetConfig{small18, small50, small18} {
			g := resnet(config, encoder.MLPHead)
			pass := func(fill func(*encoder.Arena)) ([]float32, string) {
				params := randomParams(t, g, 1)
				o := encoder.Options{Batch: 6, Groups: 2, Mode: mode, Conv: algorithms[i], Repack: i > 0}
				if mode == encoder.Train {
					o.Grads = []string{"embedding", "features"}
				}
				a := model(t, g, params, o).NewArena()
				fill(a)
				a.Forward(pixels(g, 6, 1))
				out := output(a, "embedding")
				if mode == encoder.Train {
					fillGrads(a, 1, "embedding") // features: left as Forward left it
					a.Backward()
				}
				return out, params.State().Digest() + params.Grads().Digest()
			}
			out, digest := pass(func(*encoder.Arena) {})
			outNaN, digestNaN := pass(func(a *encoder.Arena) { a.Fill(float32(math.NaN())) })
			if !slices.Equal(out, outNaN) || digest != digestNaN {
				t.Errorf("depth %d, mode %d: results differ in an arena full of NaN", config.Depth, mode)
			}
		}
	}
}

func TestGradientsOfTwoLiveArenasAdd(t *testing.T) {
	g := resnet(small18, encoder.LinearHead)
	o := encoder.Options{Batch: 6, Grads: []string{"embedding"}}
	grads := func(seeds ...uint64) map[string][]float64 {
		params := randomParams(t, g, 1)
		m := model(t, g, params, o)
		var live []*encoder.Arena
		for _, seed := range seeds {
			a := m.NewArena()
			a.Forward(pixels(g, 6, seed))
			fillGrads(a, seed, "embedding")
			live = append(live, a)
		}
		for _, a := range live {
			a.Backward()
		}
		return widened(t, params.Grads())
	}
	first, second, both := grads(1), grads(2), grads(1, 2)
	for name, got := range both {
		want := make([]float64, len(got))
		for i := range want {
			want[i] = first[name][i] + second[name][i]
		}
		if d := deviation(got, want, 0); !(d <= 1e-6) { // only the order of the sum differs
			t.Errorf("gradient of %s deviates by %.2g from the sum of two passes", name, d)
		}
	}
}

// Gradient caching and the momentum encoder rely on it.
func TestForwardIsTheSameWithAndWithoutGradients(t *testing.T) {
	for _, config := range []encoder.ResNetConfig{small18, small50} {
		g := resnet(config, encoder.MLPHead)
		var outs [][]float32
		var states []string
		for _, o := range []encoder.Options{{Batch: 6, Mode: encoder.Train, Grads: []string{"embedding"}}, {Batch: 6, Mode: encoder.TrainNoGrad}} {
			params := randomParams(t, g, 1)
			a := model(t, g, params, o).NewArena()
			a.Forward(pixels(g, 6, 1))
			outs = append(outs, slices.Concat(output(a, "features"), output(a, "embedding")))
			states = append(states, params.State().Digest())
		}
		if !slices.Equal(outs[0], outs[1]) {
			t.Errorf("depth %d: outputs of modes Train and TrainNoGrad differ", config.Depth)
		}
		if states[0] != states[1] {
			t.Errorf("depth %d: running statistics after modes Train and TrainNoGrad differ", config.Depth)
		}
	}
}

// Gradient caching: embeddings of several parts of a batch, then the loss over
// all of them, then every part once more with gradients.
func TestRepeatedForwardKeepsStatistics(t *testing.T) {
	g := resnet(small18, encoder.LinearHead)
	for _, groups := range []int{1, 3} {
		params := randomParams(t, g, 1)
		first := model(t, g, params, encoder.Options{Batch: 6, Groups: groups, Mode: encoder.TrainNoGrad}).NewArena()
		again := model(t, g, params, encoder.Options{Batch: 6, Groups: groups, Grads: []string{"embedding"}, KeepStatistics: true}).NewArena()
		var cached [][]float32
		for part := range uint64(2) {
			first.Forward(pixels(g, 6, part))
			cached = append(cached, output(first, "embedding"))
		}
		before := params.State().Digest()
		for part := range uint64(2) {
			again.Forward(pixels(g, 6, part))
			if !slices.Equal(output(again, "embedding"), cached[part]) {
				t.Errorf("%d groups: the embeddings of part %d differ the second time", groups, part)
			}
			fillGrads(again, part, "embedding")
			again.Backward()
		}
		if params.State().Digest() != before {
			t.Errorf("%d groups: the second passes moved the running statistics", groups)
		}
	}
}

func TestWorkersChangeNoBit(t *testing.T) {
	for i, config := range []encoder.ResNetConfig{small18, small50, small18} {
		g := resnet(config, encoder.MLPHead)
		var first string
		for _, workers := range []int{1, 2, 5} {
			pool := par.NewPool(workers)
			defer pool.Close()
			plan, err := encoder.Compile(g, encoder.Options{Batch: 10, Groups: 2, Conv: algorithms[i], Workers: workers, Grads: []string{"embedding"}, Repack: i > 0})
			if err != nil {
				t.Fatal(err)
			}
			params := randomParams(t, g, 1)
			sgd := encoder.NewSGD(params, encoder.SGDConfig{Momentum: .9, WeightDecay: 5e-4}, pool)
			a := plan.Bind(params, pool).NewArena()
			for step := range uint64(2) {
				a.Forward(pixels(g, 10, step))
				fillGrads(a, step, "embedding")
				a.Backward()
				sgd.Step(.1)
			}
			state := params.State()
			state.Add("optimizer.", sgd.State())
			switch digest := state.Digest(); {
			case workers == 1:
				first = digest
			case digest != first:
				t.Errorf("depth %d: two steps by %d workers differ from those by one", config.Depth, workers)
			}
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	g := resnet(small18, encoder.MLPHead)
	params := randomParams(t, g, 1)
	m := model(t, g, params, encoder.Options{Batch: 6, Groups: 3, Grads: []string{"embedding"}, Repack: true})
	pool := par.NewPool(2)
	defer pool.Close()
	sgd := encoder.NewSGD(params, encoder.SGDConfig{Momentum: .9}, pool)
	a, x := m.NewArena(), pixels(g, 6, 1)
	place := []int{3, 1, 5, 0, 2, 4}
	n := testing.AllocsPerRun(3, func() {
		a.SetGroups(place)
		a.Forward(x)
		a.OutputGrad("embedding").Row(0)[0] = 1
		a.Backward()
		sgd.Step(.1)
	})
	if n != 0 {
		t.Errorf("a step allocates %v times, want 0", n)
	}
}

// What keeps buffers alive for too long shows in the MiB of a pass, rounded up,
// and what places them badly in its distance from what is alive at once.
func TestBuffersShareMemory(t *testing.T) {
	for _, c := range []struct {
		config      encoder.ResNetConfig
		batch       int
		train, keys float64 // MiB
	}{
		{encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 1}, 128, 645, 105},
		{encoder.ResNetConfig{Depth: 18, Size: 224, Width: 1}, 32, 710, 135},
		{encoder.ResNetConfig{Depth: 50, Size: 224, Width: 1}, 16, 1345, 120},
		{encoder.ResNetConfig{Depth: 50, CIFAR: true, Size: 33, Width: 0.3}, 7, 72, 8},
	} {
		g := encoder.ResNet(c.config)
		g.AddHead(encoder.Head{Kind: encoder.LinearHead, Dim: 128})
		for mode, most := range []float64{encoder.Train: c.train, encoder.TrainNoGrad: c.keys, encoder.Eval: c.keys} {
			o := encoder.Options{Batch: c.batch, Mode: encoder.Mode(mode), Workers: 2, Repack: true}
			if o.Mode == encoder.Train {
				o.Grads = []string{"embedding"}
			}
			plan, err := encoder.Compile(g, o)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := plan.Overlap(); wrong != "" {
				t.Errorf("%+v, mode %d: %s", c.config, mode, wrong)
			}
			own, space := plan.ArenaBytes()
			mib := float64(own+space) / (1 << 20)
			share := float64(plan.SpaceLen()) / float64(plan.Alive())
			t.Logf("resnet%d, %d px, batch %d, mode %d: %.0f MiB, %.3f of what is alive at once", c.config.Depth, c.config.Size, c.batch, mode, mib, share)
			if mib > most || share > 1.1 {
				t.Errorf("resnet%d, %d px, batch %d, mode %d: a pass takes %.0f MiB, %.3f of what is alive at once; want at most %v and 1.1",
					c.config.Depth, c.config.Size, c.batch, mode, mib, share, most)
			}
		}
	}
}

// A space that another network's pass has run in gives the same results, as does
// packing in front of every operation.
func TestPassesShareASpace(t *testing.T) {
	for i, config := range []encoder.ResNetConfig{small18, small50, small18} {
		g := resnet(config, encoder.MLPHead)
		train := encoder.Options{Batch: 6, Groups: 2, Conv: algorithms[i], Grads: []string{"embedding"}, Workers: 2}
		keys := encoder.Options{Batch: 6, Groups: 2, Conv: algorithms[i], Mode: encoder.TrainNoGrad, Workers: 2}
		step := func(shared bool) (digests []string, values []float32) {
			train.Repack, keys.Repack = shared, shared
			query, key := randomParams(t, g, 1), randomParams(t, g, 2)
			q, k := model(t, g, query, train), model(t, g, key, keys)
			qa, ka := q.NewArena(), k.NewArena()
			if shared {
				space := kernel.Alloc(max(q.SpaceLen(), k.SpaceLen()))
				qa, ka = q.NewArenaIn(space), k.NewArenaIn(space)
				qa.Fill(float32(math.NaN()))
			}
			for n := range uint64(2) {
				ka.Forward(pixels(g, 6, 10+n))
				qa.Forward(pixels(g, 6, n))
				values = append(append(values, output(ka, "embedding")...), output(qa, "embedding")...)
				fillGrads(qa, n, "embedding")
				qa.Backward()
			}
			return []string{query.State().Digest(), query.Grads().Digest(), key.State().Digest()}, values
		}
		digests, values := step(false)
		sharedDigests, sharedValues := step(true)
		if !slices.Equal(values, sharedValues) || !slices.Equal(digests, sharedDigests) {
			t.Errorf("depth %d: results differ where two passes share a space and pack their weights in it", config.Depth)
		}
	}
}

func TestArenaRefusesASmallSpace(t *testing.T) {
	g := resnet(small18, encoder.NoHead)
	m := model(t, g, encoder.NewParams(g, 1), encoder.Options{Batch: 2, Mode: encoder.Eval})
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "a space of 1000 floats") {
			t.Errorf("got panic %q, want one with both lengths", got)
		}
	}()
	m.NewArenaIn(kernel.Alloc(1000))
}

func TestNetworksOfAnySizeMatchReference(t *testing.T) {
	for _, c := range []struct {
		config encoder.ResNetConfig
		batch  int
		mode   encoder.Mode
	}{
		{encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 5, Width: 0.15}, 1, encoder.Eval},
		{encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 7, Width: 0.07}, 12, encoder.TrainNoGrad},
		{encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.02}, 1, encoder.Eval},
		{encoder.ResNetConfig{Depth: 18, Size: 5, Width: 0.1}, 24, encoder.TrainNoGrad},
		{encoder.ResNetConfig{Depth: 18, Size: 33, Width: 0.05}, 1, encoder.Eval},
		{encoder.ResNetConfig{Depth: 50, CIFAR: true, Size: 11, Width: 0.07}, 9, encoder.TrainNoGrad},
		{encoder.ResNetConfig{Depth: 50, Size: 40, Width: 0.05}, 3, encoder.Eval},
	} {
		for _, head := range []encoder.HeadKind{encoder.LinearHead, encoder.MLPHead, encoder.NoHead} {
			t.Run(fmt.Sprintf("resnet%d size %d width %v head %s", c.config.Depth, c.config.Size, c.config.Width, head), func(t *testing.T) {
				trial{graph: resnet(c.config, head), batch: c.batch, mode: c.mode, seed: 1}.run(t, networkTolerance)
			})
		}
	}
}

func TestCompileReportsAllThatIsWrong(t *testing.T) {
	g := resnet(small18, encoder.LinearHead)
	for _, c := range []struct {
		options encoder.Options
		want    []string
	}{
		{encoder.Options{}, []string{"batch is 0"}},
		{encoder.Options{Batch: 6, Groups: 4}, []string{"a batch of 6", "4 groups"}},
		{encoder.Options{Batch: -1, Grads: []string{"logits", "map"}}, []string{"batch is -1", `"logits"`, `"map"`}},
		{encoder.Options{Batch: 6, Mode: encoder.Eval, Grads: []string{"embedding"}}, []string{"gradients"}},
	} {
		_, err := encoder.Compile(g, c.options)
		if err == nil {
			t.Errorf("%+v: compiled", c.options)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %q does not say %q", c.options, err, want)
			}
		}
	}

	one := resnet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 8, Width: 0.05}, encoder.NoHead) // layer4 is a single pixel
	for _, o := range []encoder.Options{{Batch: 1}, {Batch: 4, Groups: 4, Mode: encoder.TrainNoGrad}} {
		if _, err := encoder.Compile(one, o); err == nil || !strings.Contains(err.Error(), "layer4.0.bn1") {
			t.Errorf("%+v: got error %v, want one about the statistics of layer4.0.bn1", o, err)
		}
	}
	if _, err := encoder.Compile(one, encoder.Options{Batch: 1, Mode: encoder.Eval}); err != nil {
		t.Errorf("one image by running statistics: %v", err)
	}
}

func TestGraphRefusesWhatDoesNotFit(t *testing.T) {
	vector := func(g *encoder.Graph, x encoder.Value) encoder.Value {
		return g.Add("pool", encoder.GlobalAvgPool{}, x)
	}
	for _, c := range []struct {
		name, want string
		build      func(g *encoder.Graph, x encoder.Value)
	}{
		{"window larger than the image", "window", func(g *encoder.Graph, x encoder.Value) {
			g.Add("c", encoder.Conv{Out: 3, K: 7, Stride: 2}, x)
		}},
		{"pooling window larger than the image", "window", func(g *encoder.Graph, x encoder.Value) {
			g.Add("p", encoder.MaxPool{K: 7, Stride: 2}, x)
		}},
		{"sum of two shapes", "operands differ", func(g *encoder.Graph, x encoder.Value) {
			g.Add("s", encoder.Add{}, x, vector(g, x))
		}},
		{"linear layer on a map", "[1,1,C]", func(g *encoder.Graph, x encoder.Value) {
			g.Add("fc", encoder.Linear{Out: 3}, x)
		}},
		{"groups that do not divide the channels", "3 channels cannot be split into 2 groups", func(g *encoder.Graph, x encoder.Value) {
			g.Add("n", encoder.GroupNorm{Groups: 2}, x)
		}},
		{"no groups", "into 0 groups", func(g *encoder.Graph, x encoder.Value) { g.Add("n", encoder.GroupNorm{}, x) }},
		{"a mirror larger than the image", "mirror", func(g *encoder.Graph, x encoder.Value) {
			g.Add("p", encoder.Pad{Top: 6, Reflect: true}, x)
		}},
		{"no row left", "cannot be left out", func(g *encoder.Graph, x encoder.Value) { g.Add("p", encoder.CropRows{Top: 2, Bottom: 4}, x) }},
		{"no patch inside", "inside", func(g *encoder.Graph, x encoder.Value) { g.Add("p", encoder.Patches{Size: 7, Stride: 1}, x) }},
		{"maps of two sizes side by side", "more than their channels", func(g *encoder.Graph, x encoder.Value) { g.Add("c", encoder.Concat{}, x, vector(g, x)) }},
		{"a map repeated", "only a vector", func(g *encoder.Graph, x encoder.Value) { g.Add("t", encoder.Twice{H: 12, W: 12}, x) }},
		{"a map at every pixel", "want [1,1,C]", func(g *encoder.Graph, x encoder.Value) { g.Add("t", encoder.Repeat{H: 12, W: 12}, x) }},
		{"pairs of patches", "map of every image", func(g *encoder.Graph, x encoder.Value) {
			g.Add("p", encoder.PairCells{}, g.Add("q", encoder.Patches{Size: 2, Stride: 2}, x))
		}},
		{"fewer channels than there are", "want at least", func(g *encoder.Graph, x encoder.Value) { g.Add("p", encoder.PadChannels{Out: 2}, x) }},
		{"window of means larger than the image", "window", func(g *encoder.Graph, x encoder.Value) { g.Add("p", encoder.AvgPool{K: 7, Stride: 1}, x) }},
		{"patches that do not divide the image", "patches", func(g *encoder.Graph, x encoder.Value) {
			g.Add("u", encoder.Unfold{G: 2}, x)
		}},
		{"fold of what was not unfolded", "multiple of 4", func(g *encoder.Graph, x encoder.Value) {
			g.Add("f", encoder.Fold{G: 2}, vector(g, x))
		}},
		{"name used twice", "taken", func(g *encoder.Graph, x encoder.Value) {
			g.Add("normalize", encoder.ReLU{}, x)
		}},
		{"output name used twice", "taken", func(g *encoder.Graph, x encoder.Value) {
			g.Output("y", x)
			g.Output("y", x)
		}},
		{"pixels not normalised", "Normalize", func(g *encoder.Graph, x encoder.Value) {
			g.Add("c", encoder.Conv{Out: 3, K: 1, Stride: 1}, 0)
		}},
		{"layer on unit vectors", "output", func(g *encoder.Graph, x encoder.Value) {
			g.Add("fc", encoder.Linear{Out: 3}, g.Add("l2", encoder.L2Normalize{}, vector(g, x)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("got panic %q, want one that says %q", got, c.want)
				}
			}()
			g := encoder.NewGraph(6, 6)
			c.build(g, g.Add("normalize", pixelNorm, 0))
		})
	}
}

func TestForwardRefusesOtherBatches(t *testing.T) {
	g := resnet(small18, encoder.NoHead)
	a := model(t, g, encoder.NewParams(g, 1), encoder.Options{Batch: 2, Mode: encoder.Eval}).NewArena()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "432 bytes") || !strings.Contains(got, "864") {
			t.Errorf("got panic %q, want one with 432 and 864 bytes", got)
		}
	}()
	a.Forward(pixels(g, 1, 1))
}

func TestChangedParametersArePackedAgain(t *testing.T) {
	g := resnet(small18, encoder.LinearHead)
	params := randomParams(t, g, 1)
	a := model(t, g, params, encoder.Options{Batch: 2, Mode: encoder.Eval}).NewArena()
	x := pixels(g, 2, 1)
	a.Forward(x)
	before := output(a, "projection")
	other := randomParams(t, g, 2)
	if err := params.Load(other.State()); err != nil {
		t.Fatal(err)
	}
	a.Forward(x)
	b := model(t, g, other, encoder.Options{Batch: 2, Mode: encoder.Eval}).NewArena()
	b.Forward(x)
	if after := output(a, "projection"); slices.Equal(after, before) || !slices.Equal(after, output(b, "projection")) {
		t.Error("the outputs after Load are not those of the loaded parameters")
	}
}

func TestProfileNamesOperations(t *testing.T) {
	g := resnet(small18, encoder.LinearHead)
	m := model(t, g, encoder.NewParams(g, 1), encoder.Options{Batch: 6, Grads: []string{"embedding"}})
	a := m.NewArena()
	a.Profile()
	a.Forward(pixels(g, 6, 1))
	a.Backward()
	var flops int64
	names, bytes := map[string]bool{}, map[string]int64{}
	for _, op := range a.Times() {
		flops += op.Flops
		names[op.Name] = true
		bytes[op.Name] = op.Bytes
	}
	for _, want := range []string{"conv1", "layer1.0.bn2", "fc", "l2", "conv1 weight backward", "layer4.1.conv2 data backward"} {
		if !names[want] {
			t.Errorf("no operation is called %q", want)
		}
	}
	// x, y and dy, whose place dx takes, and the saved statistics.
	features, _ := g.Find("features")
	c := g.Shape(features).C
	norm := kernel.BatchNormShape{N: 6, HW: 4, C: c, Groups: 1}
	if got, want := bytes["layer4.1.bn1 backward"], int64(4*(3*kernel.ActLen(6, 2, 2, c)+norm.SavedLen())); got != want {
		t.Errorf("layer4.1.bn1 backward: %d bytes of operands, want %d", got, want)
	}
	if got, least := bytes["layer4.1.conv2"], int64(4*(9*c*c+2*kernel.ActLen(6, 2, 2, c))); got < least {
		t.Errorf("layer4.1.conv2: %d bytes, want at least the %d of its weights and images", got, least)
	}
	forward, backward := planOf(t, g).Flops()
	if flops != forward+backward || backward >= 2*forward || backward <= forward {
		t.Errorf("operations sum to %d flops, the plan to %d forward and %d backward", flops, forward, backward)
	}
}

func planOf(t *testing.T, g *encoder.Graph) *encoder.Plan {
	t.Helper()
	plan, err := encoder.Compile(g, encoder.Options{Batch: 6, Grads: []string{"embedding"}})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
