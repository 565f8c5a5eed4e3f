package encoder_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// tolerance of float32 results against the float64 reference, relative to the
// norm of each tensor. Graphs are at most a dozen operations deep, each of
// which rounds at 6e-8 and, behind small groups of batch statistics, magnifies
// what came before a few times. The largest deviation seen is about a tenth.
const tolerance = 2e-5

// networkTolerance is that of whole networks. Their fifty layers of batch
// statistics magnify rounding further: PyTorch's own float32 deviates from its
// float64 as much (testdata/resnet.py prints it).
const networkTolerance = 1e-4

var pixelNorm = encoder.Normalize{Mean: [3]float32{.5, .4, .3}, Std: [3]float32{.25, .2, .3}}

// placement of a batch of 12, for groups of batch statistics.
var placement = []int{3, 11, 5, 0, 2, 4, 8, 1, 10, 7, 9, 6}

// trial is a graph with the way it is run.
type trial struct {
	graph  *encoder.Graph
	batch  int
	groups int
	place  []int
	mode   encoder.Mode
	grads  []string // outputs that receive gradients
	seed   uint64
}

// pixels returns random pixels for a batch of n.
func pixels(g *encoder.Graph, n int, seed uint64) []byte {
	s := g.Inputs[0].Shape
	draw := rng.New(seed, rng.Benchmark)
	out := make([]byte, n*s.H*s.W*s.C)
	for i := range out {
		out[i] = byte(draw.Uint64())
	}
	return out
}

// randomParams returns parameters none of which is at a neutral value.
func randomParams(t *testing.T, g *encoder.Graph, seed uint64) *encoder.Params {
	t.Helper()
	p := encoder.NewParams(g, seed)
	state := p.State()
	draw := rng.New(seed, rng.Benchmark, 1)
	for _, name := range slices.Sorted(maps.Keys(state.Tensors)) {
		if len(state.Tensors[name].Shape()) != 1 {
			continue
		}
		values, err := batch.Values[float32](state.Tensors[name])
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] += float32(draw.Uniform(-.5, .5))
		}
	}
	if err := p.Load(state); err != nil {
		t.Fatal(err)
	}
	return p
}

// widened returns the tensors of a state as float64.
func widened(t *testing.T, s batch.State) map[string][]float64 {
	t.Helper()
	out := map[string][]float64{}
	for name, tensor := range s.Tensors {
		if counter, err := batch.Values[int64](tensor); err == nil {
			out[name] = []float64{float64(counter[0])}
			continue
		}
		values, err := batch.Values[float32](tensor)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			out[name] = append(out[name], float64(v))
		}
	}
	return out
}

// rowsOf returns rows as the reference lays them out.
func rowsOf(r encoder.Rows, like image) image {
	out := newImage(like.n, like.c, like.h, like.w)
	size := like.h * like.w
	for i := range r.N {
		for c, v := range r.Row(i) {
			out.v[(i/size*like.c+c)*size+i%size] = float64(v)
		}
	}
	return out
}

// deviation is the distance of got from want, relative to the norm of want,
// but at least to floor.
func deviation(got, want []float64, floor float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var distance, norm float64
	for i, w := range want {
		distance += (got[i] - w) * (got[i] - w)
		norm += w * w
	}
	if distance == 0 {
		return 0
	}
	return math.Sqrt(distance) / max(math.Sqrt(norm), floor)
}

// run compares one forward and backward pass with the reference and returns
// the largest deviation.
func (c trial) run(t *testing.T, tolerance float64) float64 {
	t.Helper()
	pool := par.NewPool(2)
	defer pool.Close()
	plan, err := encoder.Compile(c.graph, encoder.Options{Batch: c.batch, Mode: c.mode, Groups: c.groups, Conv: kernel.Direct, Workers: 2, Grads: c.grads})
	if err != nil {
		t.Fatal(err)
	}
	params := randomParams(t, c.graph, c.seed)
	arena := plan.Bind(params, pool).NewArena()
	arena.SetGroups(c.place)
	for i := range arena.Cells() {
		cells := len(arena.Cells()) / c.batch
		arena.Cells()[i] = int32(partner(i/cells, i%cells, cells))
	}
	x := pixels(c.graph, c.batch, c.seed)
	ref := reference{graph: c.graph, batch: c.batch, groups: max(c.groups, 1), place: c.place, eval: c.mode == encoder.Eval, params: widened(t, params.State())}
	ref.forward(x)
	arena.Forward(x)

	worst := 0.0
	check := func(what string, got, want []float64, floor float64) {
		d := deviation(got, want, floor)
		if !(d <= tolerance) {
			t.Errorf("%s deviates by %.2g of its norm, want at most %.0g", what, d, tolerance)
		}
		worst = max(worst, d)
	}
	draw := rng.New(c.seed, rng.Benchmark, 2)
	grads := map[string]image{}
	for _, out := range c.graph.Outputs {
		want := ref.values[out.Value]
		check("output "+out.Name, rowsOf(arena.Output(out.Name), want).v, want.v, 0)
		if !slices.Contains(c.grads, out.Name) {
			continue
		}
		rows := arena.OutputGrad(out.Name)
		for i := range rows.N {
			for j := range rows.Row(i) {
				rows.Row(i)[j] = float32(draw.Uniform(-1, 1))
			}
		}
		grads[out.Name] = rowsOf(rows, want)
	}
	if c.mode == encoder.Train {
		arena.Backward()
		ref.backward(grads)
	}
	got := widened(t, params.Grads())
	floor := 0.0 // gradients may cancel to nothing: measure those by the others
	for name := range got {
		floor = max(floor, 0.1*length(image{c: len(got[name]), v: ref.grads[name]}, 0))
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		check("gradient of "+name, got[name], ref.grads[name], floor)
	}
	state := widened(t, params.State())
	for _, name := range slices.Sorted(maps.Keys(state)) {
		check(name, state[name], ref.params[name], 0)
	}
	return worst
}

func TestOperationsMatchReference(t *testing.T) {
	type graph = *encoder.Graph
	type value = encoder.Value
	conv := func(out, k, stride, pad int) encoder.Conv {
		return encoder.Conv{Out: out, K: k, Stride: stride, Pad: pad}
	}
	linear := func(out int) encoder.Linear { return encoder.Linear{Out: out, Bias: true} }
	var norm encoder.BatchNorm
	var relu encoder.ReLU
	var add encoder.Add
	var avg encoder.GlobalAvgPool

	for _, c := range []struct {
		name          string
		height, width int
		build         func(g graph, x value) // x is the normalised input
	}{
		{"normalize", 5, 5, func(g graph, x value) { g.Output("y", x) }},
		{"conv 3x3", 7, 7, func(g graph, x value) { g.Output("y", g.Add("c", conv(17, 3, 1, 1), x)) }},
		{"conv 3x3 stride 2", 7, 7, func(g graph, x value) { g.Output("y", g.Add("c", conv(5, 3, 2, 1), x)) }},
		{"conv 7x7 stride 2", 9, 9, func(g graph, x value) { g.Output("y", g.Add("c", conv(8, 7, 2, 3), x)) }},
		{"conv 1x1 stride 2", 6, 6, func(g graph, x value) { g.Output("y", g.Add("c", conv(3, 1, 2, 0), x)) }},
		{"conv 4x4 without padding", 6, 6, func(g graph, x value) { g.Output("y", g.Add("c", conv(33, 4, 2, 0), x)) }},
		{"conv with bias", 5, 5, func(g graph, x value) {
			x = g.Add("a", encoder.Conv{Out: 20, K: 3, Stride: 1, Pad: 1, Bias: true}, x)
			g.Output("y", g.Add("b", encoder.Conv{Out: 18, K: 3, Stride: 2, Bias: true}, g.Add("r", relu, x)))
		}},
		{"conv of a window that is not square", 6, 5, func(g graph, x value) {
			x = g.Add("a", encoder.Conv{Out: 20, K: 1, KW: 3, Stride: 1, Bias: true}, x)
			g.Output("y", g.Add("b", encoder.Conv{Out: 18, K: 2, KW: 1, Stride: 1}, x))
		}},
		{"zeros around", 4, 5, func(g graph, x value) {
			x = g.Add("p", encoder.Pad{Top: 1, Left: 2}, g.Add("a", conv(20, 3, 1, 1), x))
			g.Output("y", g.Add("b", conv(5, 2, 1, 0), g.Add("q", encoder.Pad{Bottom: 3, Right: 1}, x)))
		}},
		{"a mirrored edge", 4, 5, func(g graph, x value) {
			x = g.Add("p", encoder.Pad{Top: 2, Bottom: 1, Left: 3, Right: 2, Reflect: true}, g.Add("a", conv(6, 3, 1, 1), x))
			g.Output("y", g.Add("b", conv(5, 3, 2, 0), x))
		}},
		{"a mirrored edge of pixels", 6, 6, func(g graph, x value) {
			g.Output("y", g.Add("b", conv(17, 5, 2, 0), g.Add("p", encoder.Pad{Top: 2, Bottom: 2, Left: 2, Right: 2, Reflect: true}, x)))
		}},
		{"rows flipped and left out", 6, 4, func(g graph, x value) {
			x = g.Add("a", conv(6, 3, 1, 1), x)
			g.Output("y", g.Add("crop", encoder.CropRows{Bottom: 2}, g.Add("flip", encoder.FlipRows{}, x)))
			g.Output("z", g.Add("crop2", encoder.CropRows{Top: 1, Bottom: 1}, x))
			g.Output("t", g.Add("turn", encoder.Transpose{}, x))
			g.Output("u", g.Add("c", conv(5, 3, 1, 1), g.Add("turn2", encoder.Transpose{}, g.Add("d", conv(7, 1, 1, 0), x))))
		}},
		{"means of windows", 6, 6, func(g graph, x value) {
			x = g.Add("a", conv(20, 3, 1, 1), x)
			g.Output("y", g.Add("p", encoder.AvgPool{K: 4, Stride: 2}, x))
			g.Output("z", g.Add("q", encoder.AvgPool{K: 3, Stride: 1}, x))
			g.Output("w", g.Add("r", encoder.AvgPool{K: 1, Stride: 1}, x))
		}},
		{"patches", 7, 5, func(g graph, x value) {
			x = g.Add("p", encoder.Patches{Size: 3, Stride: 2}, g.Add("a", conv(6, 3, 1, 1), x))
			g.Output("y", g.Add("b", conv(5, 3, 1, 1), x))
		}},
		{"maps beside vectors of the next sample", 5, 3, func(g graph, x value) {
			x = g.Add("a", conv(18, 3, 1, 1), x)
			v := g.Add("fc", linear(5), g.Add("pool", avg, x))
			both := g.Add("both", encoder.Concat{}, g.Add("x2", encoder.Twice{}, x), g.Add("v2", encoder.Twice{H: 5, W: 3, Next: true}, v))
			g.Output("y", g.Add("b", conv(6, 1, 1, 0), both))
			g.Output("z", g.Add("self", encoder.Concat{}, x, x))
		}},
		{"a vector at every pixel, beside pairs of pixels", 3, 5, func(g graph, x value) {
			x = g.Add("a", conv(18, 3, 1, 1), x)
			v := g.Add("r", encoder.Repeat{H: 3, W: 5}, g.Add("fc", linear(5), g.Add("pool", avg, x)))
			y := g.Add("p", encoder.PairCells{}, x)
			g.Output("y", g.Add("b", conv(6, 1, 1, 0), g.Add("both", encoder.Concat{}, y, v)))
			g.Output("z", g.Add("q", encoder.PairCells{}, g.Add("b2", conv(6, 1, 1, 0), x)))
		}},
		{"channels of zeros", 4, 4, func(g graph, x value) {
			x = g.Add("a", conv(18, 3, 1, 1), x)
			g.Output("y", g.Add("s", add, g.Add("b", conv(37, 1, 1, 0), x), g.Add("w", encoder.PadChannels{Out: 37}, x)))
			g.Output("z", g.Add("v", encoder.PadChannels{Out: 20}, x))
		}},
		{"sigmoid", 4, 4, func(g graph, x value) {
			x = g.Add("s", encoder.Sigmoid{}, g.Add("a", conv(18, 3, 1, 1), x))
			g.Output("y", g.Add("b", conv(6, 3, 1, 1), x))
			g.Output("z", g.Add("t", encoder.Sigmoid{}, x))
		}},
		{"conv on conv", 5, 5, func(g graph, x value) {
			x = g.Add("a", conv(20, 3, 1, 1), x)
			g.Output("y", g.Add("b", conv(18, 3, 2, 1), x))
		}},
		{"batch norm on pixels", 4, 4, func(g graph, x value) { g.Output("y", g.Add("n", norm, x)) }},
		{"batch norm", 4, 4, func(g graph, x value) {
			g.Output("y", g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x)))
		}},
		{"batch norm twice", 4, 4, func(g graph, x value) {
			x = g.Add("n1", norm, g.Add("c", conv(6, 3, 1, 1), x))
			g.Output("y", g.Add("n2", norm, x))
		}},
		{"group norm on pixels", 4, 4, func(g graph, x value) { g.Output("y", g.Add("n", encoder.GroupNorm{Groups: 3}, x)) }},
		{"group norm", 5, 5, func(g graph, x value) {
			x = g.Add("n", encoder.GroupNorm{Groups: 3}, g.Add("c", conv(18, 3, 1, 1), x))
			g.Output("y", g.Add("d", conv(5, 3, 1, 1), g.Add("r", relu, x)))
		}},
		{"group norm of one group beside another consumer", 4, 4, func(g graph, x value) {
			x = g.Add("c", conv(6, 3, 1, 1), x)
			g.Output("y", g.Add("n", encoder.GroupNorm{Groups: 1}, x))
			g.Output("z", g.Add("d", conv(5, 3, 1, 1), x))
		}},
		{"group norm of patches", 20, 5, func(g graph, x value) {
			x = g.Add("c", conv(6, 3, 1, 1), g.Add("open", encoder.Unfold{G: 2}, x))
			g.Output("y", g.Add("p", avg, g.Add("r", relu, g.Add("n", encoder.GroupNorm{Groups: 2}, x))))
		}},
		{"group norm on a vector", 4, 4, func(g graph, x value) {
			x = g.Add("fc1", linear(20), g.Add("p", avg, x))
			g.Output("y", g.Add("fc2", linear(7), g.Add("n", encoder.GroupNorm{Groups: 2}, x)))
		}},
		{"layer norm", 5, 5, func(g graph, x value) {
			x = g.Add("n", encoder.LayerNorm{}, g.Add("c", conv(18, 3, 1, 1), x))
			g.Output("y", g.Add("d", conv(5, 3, 1, 1), g.Add("r", relu, x)))
		}},
		{"layer norm beside another consumer", 4, 4, func(g graph, x value) {
			x = g.Add("c", conv(6, 3, 1, 1), x)
			g.Output("y", g.Add("n", encoder.LayerNorm{}, x))
			g.Output("z", g.Add("d", conv(5, 3, 1, 1), x))
		}},
		{"conv, batch norm, relu", 5, 5, func(g graph, x value) {
			x = g.Add("n", norm, g.Add("c", conv(19, 3, 1, 1), x))
			g.Output("y", g.Add("r", relu, x))
		}},
		{"relu alone", 5, 5, func(g graph, x value) {
			g.Output("y", g.Add("r", relu, g.Add("c", conv(4, 1, 1, 0), x)))
		}},
		{"relu beside another consumer", 5, 5, func(g graph, x value) {
			x = g.Add("c", conv(4, 1, 1, 0), x)
			g.Output("y", g.Add("r", relu, x))
			g.Output("z", g.Add("d", conv(5, 3, 1, 1), x))
		}},
		{"batch norm output used outside and inside", 5, 5, func(g graph, x value) {
			x = g.Add("n", norm, g.Add("c", conv(7, 3, 1, 1), x))
			g.Output("inner", x)
			x = g.Add("r", relu, x)
			g.Output("y", x)
			g.Output("z", g.Add("d", conv(5, 3, 1, 1), x))
		}},
		{"residual computed first", 5, 5, func(g graph, x value) {
			x = g.Add("stem", conv(6, 3, 1, 1), x)
			y := g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x))
			g.Output("y", g.Add("r", relu, g.Add("sum", add, y, x)))
		}},
		{"residual computed last", 5, 5, func(g graph, x value) {
			x = g.Add("stem", conv(6, 3, 1, 1), x)
			y := g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x))
			s := g.Add("m", norm, g.Add("d", conv(6, 1, 1, 0), x))
			g.Output("y", g.Add("r", relu, g.Add("sum", add, y, s)))
		}},
		{"batch norm as second operand", 5, 5, func(g graph, x value) {
			x = g.Add("stem", conv(6, 3, 1, 1), x)
			y := g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x))
			g.Output("y", g.Add("r", relu, g.Add("sum", add, x, y)))
		}},
		{"residual is the input of the batch norm", 5, 5, func(g graph, x value) {
			x = g.Add("c", conv(6, 3, 1, 1), x)
			g.Output("y", g.Add("sum", add, g.Add("n", norm, x), x))
		}},
		{"sum of sums", 5, 5, func(g graph, x value) {
			a := g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x))
			b := g.Add("d", conv(6, 1, 1, 0), x)
			s := g.Add("s", add, g.Add("ab", add, a, b), b)
			g.Output("y", g.Add("r", relu, s))
		}},
		{"value added to itself", 5, 5, func(g graph, x value) {
			x = g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x))
			g.Output("y", g.Add("s", add, x, x))
		}},
		{"residual without trained values", 4, 4, func(g graph, x value) {
			y := g.Add("n", norm, g.Add("c", conv(3, 3, 1, 1), x))
			g.Output("y", g.Add("s", add, y, x))
		}},
		{"max pooling", 7, 7, func(g graph, x value) {
			x = g.Add("c", conv(5, 3, 1, 1), x)
			g.Output("y", g.Add("p", encoder.MaxPool{K: 3, Stride: 2, Pad: 1}, x))
		}},
		{"max pooling beside another consumer", 6, 6, func(g graph, x value) {
			x = g.Add("r", relu, g.Add("c", conv(5, 3, 1, 1), x))
			g.Output("z", g.Add("q", avg, x))
			g.Output("y", g.Add("p", encoder.MaxPool{K: 2, Stride: 2}, x))
		}},
		{"average pooling beside another consumer", 6, 6, func(g graph, x value) {
			x = g.Add("c", conv(18, 3, 1, 1), x)
			g.Output("y", g.Add("p", encoder.MaxPool{K: 3, Stride: 1, Pad: 1}, x))
			g.Output("z", g.Add("q", avg, x))
		}},
		{"linear", 4, 4, func(g graph, x value) {
			g.Output("y", g.Add("fc", linear(10), g.Add("p", avg, x)))
		}},
		{"linear without bias, relu", 4, 4, func(g graph, x value) {
			x = g.Add("fc", encoder.Linear{Out: 21}, g.Add("p", avg, x))
			g.Output("y", g.Add("r", relu, x))
		}},
		{"linear, relu, linear", 4, 4, func(g graph, x value) {
			x = g.Add("r", relu, g.Add("fc1", linear(20), g.Add("p", avg, x)))
			g.Output("y", g.Add("fc2", linear(7), x))
		}},
		{"linear, batch norm, relu", 4, 4, func(g graph, x value) {
			x = g.Add("n", norm, g.Add("fc1", linear(20), g.Add("p", avg, x)))
			g.Output("y", g.Add("r", relu, x))
		}},
		{"unit length", 4, 4, func(g graph, x value) {
			x = g.Add("fc", linear(10), g.Add("p", avg, x))
			g.Output("y", g.Add("l2", encoder.L2Normalize{}, x))
		}},
		{"unit length beside its operand", 4, 4, func(g graph, x value) {
			x = g.Add("fc", linear(10), g.Add("p", avg, x))
			g.Output("x", x)
			g.Output("y", g.Add("l2", encoder.L2Normalize{}, x))
			g.Output("z", g.Add("fc2", linear(3), x))
		}},
		{"unfold and fold", 20, 5, func(g graph, x value) {
			x = g.Add("open", encoder.Unfold{G: 2}, x)
			x = g.Add("n", norm, g.Add("c", conv(6, 3, 1, 1), x))
			x = g.Add("close", encoder.Fold{G: 2}, g.Add("p", avg, g.Add("r", relu, x)))
			g.Output("z", g.Add("context", conv(9, 3, 1, 1), x))
		}},
		{"unfolded value beside its operand", 20, 5, func(g graph, x value) {
			x = g.Add("c", conv(6, 1, 1, 0), x)
			g.Output("x", x)
			y := g.Add("r", relu, g.Add("open", encoder.Unfold{G: 2}, x))
			g.Output("y", y)
		}},
		{"folded value beside its operand", 12, 3, func(g graph, x value) {
			x = g.Add("open", encoder.Unfold{G: 2}, x)
			x = g.Add("p", avg, g.Add("c", conv(6, 3, 1, 1), x))
			g.Output("z", g.Add("n", norm, g.Add("close", encoder.Fold{G: 2}, x)))
			g.Output("y", g.Add("fc", linear(5), x))
		}},
		{"three outputs of one trunk", 7, 7, func(g graph, x value) { // as AMDIM's
			x = g.Add("r1", relu, g.Add("c1", conv(9, 3, 1, 0), x))
			g.Output("5", g.Add("n5", norm, g.Add("h5", conv(8, 1, 1, 0), x)))
			x = g.Add("r2", relu, g.Add("c2", conv(9, 3, 1, 0), x))
			g.Output("3", g.Add("n3", norm, g.Add("h3", conv(8, 1, 1, 0), x)))
			g.Output("1", g.Add("n1", norm, g.Add("c3", conv(8, 3, 1, 0), x)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, groups := range []int{1, 3} {
				for _, mode := range []encoder.Mode{encoder.Train, encoder.TrainNoGrad, encoder.Eval} {
					g := encoder.NewGraph(c.height, c.width)
					c.build(g, g.Add("normalize", pixelNorm, 0))
					tr := trial{graph: g, batch: 12, groups: groups, mode: mode, seed: 1}
					if mode == encoder.Train {
						for _, o := range g.Outputs {
							tr.grads = append(tr.grads, o.Name)
						}
					}
					if groups > 1 {
						tr.place = placement
					}
					tr.run(t, tolerance)
				}
			}
		})
	}
}

// Graphs nobody thought of. Seeds whose trial magnifies rounding beyond the
// tolerance exist (a channel that batch statistics find almost constant, a
// vector of almost no length); the first is 308.
func TestRandomGraphsMatchReference(t *testing.T) {
	for _, variant := range kernel.Variants() {
		t.Run(variant, func(t *testing.T) {
			use(t, variant)
			worst, trials := 0.0, uint64(200)
			if testing.Short() {
				trials = 30
			}
			for seed := range trials {
				c := randomTrial(seed)
				worst = max(worst, c.run(t, tolerance))
				if t.Failed() {
					t.Fatalf("seed %d, mode %d, groups %d, gradients of %q:\n%s", seed, c.mode, c.groups, c.grads, listing(c.graph))
				}
			}
			t.Logf("largest deviation %.2g of a tensor's norm", worst)
		})
	}
}

// use selects a row of kernels until the test ends.
func use(t *testing.T, variant string) {
	t.Helper()
	before := kernel.Selected()
	if err := kernel.Select(variant); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kernel.Select(before) })
}

// listing prints a graph.
func listing(g *encoder.Graph) string {
	out := ""
	for i, n := range g.Nodes {
		v := encoder.Value(len(g.Inputs) + i)
		out += fmt.Sprintf("%2d %v %T%+v of %v\n", v, g.Shape(v), n.Op, n.Op, n.In)
	}
	return out + fmt.Sprintf("outputs %v", g.Outputs)
}

// randomTrial draws a graph of up to ten operations on values drawn among all
// before them. What nobody uses becomes an output, and so does some of the rest.
func randomTrial(seed uint64) trial {
	draw, among := rng.New(seed, rng.Benchmark, 3), rng.New(seed, rng.Benchmark, 4)
	side := 3 + draw.IntN(3)
	folded := draw.IntN(3) == 0
	height := side
	if folded {
		height *= 4
	}
	g := encoder.NewGraph(height, side)
	x := g.Add("normalize", pixelNorm, 0)
	if folded {
		x = g.Add("open", encoder.Unfold{G: 2}, x)
	}
	values, used := []encoder.Value{x}, map[encoder.Value]bool{}
	channels := []int{1, 3, 6, 17}
	for i := range 3 + draw.IntN(8) {
		x := values[max(draw.IntN(len(values)), draw.IntN(len(values)))]
		in, s := []encoder.Value{x}, g.Shape(x)
		var op encoder.Op
		vector := s.H == 1 && s.W == 1
		switch kind := draw.IntN(10); {
		case kind < 2 && vector:
			op = encoder.Linear{Out: channels[draw.IntN(4)], Bias: kind == 0}
		case kind < 3:
			k := min(1+2*draw.IntN(2), s.H)
			op = encoder.Conv{Out: channels[draw.IntN(4)], K: k, Stride: 1 + draw.IntN(2), Pad: draw.IntN(k/2 + 1)}
		case kind < 5:
			op = encoder.BatchNorm{}
		case kind < 6:
			op = []encoder.Op{
				encoder.ReLU{}, encoder.ReLU{}, encoder.Sigmoid{}, encoder.FlipRows{}, encoder.PadChannels{Out: s.C + 5},
				encoder.AvgPool{K: (s.H + 1) / 2, Stride: 1}, encoder.Pad{Top: 1, Left: 2}, encoder.CropRows{Top: (s.H - 1) / 2},
			}[among.IntN(8)]
		case kind < 7 && s.H >= 3:
			op = encoder.MaxPool{K: 3, Stride: 1 + draw.IntN(2), Pad: draw.IntN(2)}
		case kind < 7 && vector && s.Per == 4:
			op = encoder.Fold{G: 2}
		case kind < 8 && !vector:
			op = encoder.GlobalAvgPool{}
		default:
			var same []encoder.Value
			for _, v := range values {
				if g.Shape(v) == s {
					same = append(same, v)
				}
			}
			op, in = encoder.Add{}, append(in, same[draw.IntN(len(same))])
		}
		for _, v := range in {
			used[v] = true
		}
		values = append(values, g.Add(fmt.Sprint("op", i), op, in...))
	}
	c := trial{graph: g, batch: 12, groups: 1 + draw.IntN(3), mode: encoder.Mode(draw.IntN(2) * draw.IntN(3)), seed: seed}
	for _, v := range values {
		if used[v] && draw.IntN(4) > 0 {
			continue
		}
		name := fmt.Sprint("out", v)
		if s := g.Shape(v); s.H == 1 && s.W == 1 && s.C > 1 && draw.IntN(2) == 0 {
			v = g.Add(name+"l2", encoder.L2Normalize{}, v)
		}
		g.Output(name, v)
		if c.mode == encoder.Train {
			c.grads = append(c.grads, name)
		}
	}
	if c.groups == 3 {
		c.place = placement
	}
	return c
}

// A part computes what the whole network does, on parameters of the whole.
func TestPartOfANetwork(t *testing.T) {
	whole := encoder.InfoMax(encoder.InfoMaxConfig{Size: 32, Width: 1. / 16, Code: 9, Units: 12, Local: true, Global: true, Prior: true, Normalize: pixelNorm})
	part := whole.Part("code", "global")
	if len(part.Outputs) != 2 || len(part.Nodes) >= len(whole.Nodes) {
		t.Fatalf("%d outputs of %d nodes, want 2 of fewer than %d", len(part.Outputs), len(part.Nodes), len(whole.Nodes))
	}
	for _, n := range part.Nodes {
		if strings.HasPrefix(n.Name, "local_net") || strings.HasPrefix(n.Name, "whole") {
			t.Errorf("%s is in the part", n.Name)
		}
	}
	params := randomParams(t, whole, 3)
	o := encoder.Options{Batch: 3, Mode: encoder.TrainNoGrad, KeepStatistics: true}
	all, some := model(t, whole, params, o).NewArena(), model(t, part, params, o).NewArena()
	x := pixels(whole, 3, 1)
	all.Forward(x)
	some.Forward(x)
	for _, name := range []string{"code", "global"} {
		if !slices.Equal(output(some, name), output(all, name)) {
			t.Errorf("%s differs from that of the whole network", name)
		}
	}
}
