package encoder_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"

	"github.com/nlpodyssey/safetensors"
)

// golden is one file that testdata/resnet.py wrote.
type golden struct {
	Name        string
	Depth       int
	CIFAR       bool
	Size        int
	Width       int // channels where the full network has 64
	Head        encoder.HeadKind
	Batch       int
	Groups      int
	Permutation []int
	SGD         bool
	Pixels      string // what they are drawn by

	tensors map[string][][]float64 // rows
}

func readGolden(t *testing.T, path string) golden {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Deserialize(data)
	if err != nil {
		t.Fatal(err)
	}
	_, header, err := safetensors.ReadMetadata(data)
	if err != nil {
		t.Fatal(err)
	}
	g := golden{Pixels: "pixels", tensors: map[string][][]float64{}}
	if err := json.Unmarshal([]byte(header.Metadata()["case"]), &g); err != nil {
		t.Fatal(err)
	}
	for _, tensor := range file.Tensors() {
		view := tensor.TensorView
		shape, raw := view.Shape(), view.Data()
		for range shape[0] {
			row := make([]float64, shape[1])
			for i := range row {
				row[i] = float64(math.Float32frombits(uint32(raw[0]) | uint32(raw[1])<<8 | uint32(raw[2])<<16 | uint32(raw[3])<<24))
				raw = raw[4:]
			}
			g.tensors[tensor.Name] = append(g.tensors[tensor.Name], row)
		}
	}
	return g
}

// bits are those of resnet.py: SplitMix64's finaliser of the place under the
// name's CRC-32.
func bits(name string, i int) uint64 {
	z := uint64(crc32.ChecksumIEEE([]byte(name)))<<32 | uint64(i)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// uniform is a number in [-1,1).
func uniform(name string, i int) float64 { return float64(bits(name, i)>>40)/(1<<23) - 1 }

// sketch is the sums of t under 16 fixed rows of signs.
func sketch(t []float64) []float64 {
	sums := make([]float64, 16)
	for i, v := range t {
		signs := bits("sketch", i)
		for j := range sums {
			if signs>>j&1 == 1 {
				sums[j] -= v
			} else {
				sums[j] += v
			}
		}
	}
	return sums
}

// goldenParams returns the parameters at the values that resnet.py gives them.
func goldenParams(t *testing.T, g *encoder.Graph) *encoder.Params {
	t.Helper()
	params := encoder.NewParams(g, 1)
	state := params.State()
	for name, tensor := range state.Tensors {
		values, err := batch.Values[float32](tensor)
		if err != nil {
			continue // a counter
		}
		shape := []int(tensor.Shape())
		from, scale := 0.0, 0.25
		switch {
		case strings.HasSuffix(name, "running_mean"):
			scale = 0.125
		case strings.HasSuffix(name, "running_var"):
			from, scale = 1, 0.5
		case len(shape) > 1:
			scale = math.Sqrt(6 / float64(len(values)/shape[0]))
		case strings.HasSuffix(name, "bn3.weight"):
			from, scale = 1./8, 0.25/8
		case strings.HasSuffix(name, "weight"):
			from = 1
		}
		for i := range values {
			values[i] = float32(from + scale*uniform(name, i))
		}
	}
	if err := params.Load(state); err != nil {
		t.Fatal(err)
	}
	return params
}

// step runs forward and backward from the case's gradient of the embedding.
func (g golden) step(a *encoder.Arena, x []byte) {
	a.Forward(x)
	rows := a.OutputGrad("embedding")
	for i := range rows.N {
		for j := range rows.D {
			rows.Row(i)[j] = float32(uniform("gradient", i*rows.D+j))
		}
	}
	a.Backward()
}

// check compares rows with the golden ones; each may deviate by a part of its
// own norm.
func (g golden) check(t *testing.T, what string, names []string, got [][]float64, tolerance float64) {
	t.Helper()
	want := g.tensors[what]
	if len(got) != len(want) {
		t.Fatalf("%s: got %d rows, want %d", what, len(got), len(want))
	}
	worst, where := 0.0, 0
	for i := range want {
		if d := deviation(got[i], want[i], 0); !(d <= worst) {
			worst, where = d, i
		}
	}
	name := fmt.Sprint("sample ", where)
	if names != nil {
		name = names[where]
	}
	t.Logf("%s: %.1e at %s", what, worst, name)
	if !(worst <= tolerance) {
		t.Errorf("%s: deviates by %.1e of the norm at %s, want at most %.0e", what, worst, name, tolerance)
	}
}

// sketches returns the sketches of a state's tensors whose names contain
// part, sorted by name, and the names.
func sketches(t *testing.T, s batch.State, part string) (rows [][]float64, names []string) {
	t.Helper()
	tensors := widened(t, s)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if strings.Contains(name, part) {
			rows, names = append(rows, sketch(tensors[name])), append(names, name)
		}
	}
	return rows, names
}

func outputRows(a *encoder.Arena, name string) [][]float64 {
	var out [][]float64
	rows := a.Output(name)
	for i := range rows.N {
		row := make([]float64, rows.D)
		for j, v := range rows.Row(i) {
			row[j] = float64(v)
		}
		out = append(out, row)
	}
	return out
}

// Tolerances: PyTorch's own float32 is up to 2e-6 off in outputs and running
// statistics, 1e-5 in gradients and momentum; the order of a sum makes a few
// times that.
const (
	goldenForward  = 1e-5
	goldenGradient = 5e-5
)

func TestNetworksMatchPyTorch(t *testing.T) {
	for _, gold := range goldens(t) {
		variants := kernel.Variants()
		if testing.Short() {
			variants = variants[len(variants)-1:]
		}
		for _, variant := range variants {
			t.Run(gold.Name+"/"+variant, func(t *testing.T) {
				use(t, variant)
				gold.pass(t, kernel.Direct)
			})
		}
		t.Run(gold.Name+"/f2", func(t *testing.T) { gold.pass(t, kernel.F2) })
	}
}

// pass compares a pass in mode Train and one in mode Eval after it.
func (g golden) pass(t *testing.T, conv kernel.Algorithm) {
	graph, params, x := g.network(t)
	a := g.arena(t, graph, params, encoder.Options{Conv: conv, Grads: []string{"embedding"}})
	g.step(a, x)
	g.checkForward(t, a, params, goldenForward)
	grads, names := sketches(t, params.Grads(), "")
	g.check(t, "gradients", names, grads, goldenGradient)

	a = g.arena(t, graph, params, encoder.Options{Conv: conv, Mode: encoder.Eval})
	a.Forward(x)
	g.check(t, "eval.features", nil, outputRows(a, "features"), goldenForward)
	g.check(t, "eval.embedding", nil, outputRows(a, "embedding"), goldenForward)
}

// The fastest convolutions round more coarsely. Gradients are left out: where
// rounding turns a ReLU over they are a few per cent off.
func TestFastForwardMatchesPyTorch(t *testing.T) {
	for _, gold := range goldens(t) {
		graph, params, x := gold.network(t)
		a := gold.arena(t, graph, params, encoder.Options{Conv: kernel.Auto, Mode: encoder.TrainNoGrad})
		a.Forward(x)
		gold.checkForward(t, a, params, 10*goldenForward)
	}
}

func TestStepsMatchPyTorch(t *testing.T) {
	for _, gold := range goldens(t) {
		if !gold.SGD {
			continue
		}
		for name, config := range map[string]encoder.SGDConfig{
			"plain":     {Momentum: .9, WeightDecay: 5e-4},
			"nesterov":  {Momentum: .9, WeightDecay: 5e-4, Nesterov: true},
			"dampening": {Momentum: .8, WeightDecay: 5e-4, Dampening: .3},
		} {
			t.Run(name, func(t *testing.T) {
				graph, params, x := gold.network(t)
				pool := par.NewPool(2)
				defer pool.Close()
				sgd := encoder.NewSGD(params, config, pool)
				a := gold.arena(t, graph, params, encoder.Options{Conv: kernel.Direct, Grads: []string{"embedding"}})
				for range 2 {
					gold.step(a, x)
					sgd.Step(.05)
				}
				trained := params.State()
				for name := range trained.Tensors {
					if strings.Contains(name, "running") || strings.HasSuffix(name, "num_batches_tracked") {
						delete(trained.Tensors, name)
					}
				}
				values, names := sketches(t, trained, "")
				gold.check(t, "sgd."+name, names, values, goldenGradient)
				momentum, names := sketches(t, sgd.State(), "momentum_buffer.")
				gold.check(t, "sgd."+name+".momentum", names, momentum, goldenGradient)
			})
		}
	}
}

// goldens reads all golden files.
func goldens(t *testing.T) []golden {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(paths) != 7 {
		t.Fatalf("got %d golden files (%v), want 7", len(paths), err)
	}
	var all []golden
	for _, path := range paths {
		all = append(all, readGolden(t, path))
	}
	return all
}

// network returns what the case runs.
func (g golden) network(t *testing.T) (*encoder.Graph, *encoder.Params, []byte) {
	t.Helper()
	graph := encoder.ResNet(encoder.ResNetConfig{Depth: g.Depth, CIFAR: g.CIFAR, Size: g.Size, Width: float64(g.Width) / 64, Normalize: pixelNorm})
	graph.AddHead(encoder.Head{Kind: g.Head, Dim: 9})
	x := make([]byte, g.Batch*g.Size*g.Size*3)
	for i := range x {
		x[i] = byte(bits(g.Pixels, i) >> 56)
	}
	return graph, goldenParams(t, graph), x
}

// arena returns an arena for the case's batch, its samples placed as the case
// permutes them.
func (g golden) arena(t *testing.T, graph *encoder.Graph, params *encoder.Params, o encoder.Options) *encoder.Arena {
	t.Helper()
	o.Batch, o.Groups = g.Batch, g.Groups
	a := model(t, graph, params, o).NewArena()
	if g.Permutation != nil {
		place := make([]int, g.Batch)
		for at, sample := range g.Permutation {
			place[sample] = at
		}
		a.SetGroups(place)
	}
	return a
}

// checkForward compares what one forward pass by batch statistics left.
func (g golden) checkForward(t *testing.T, a *encoder.Arena, params *encoder.Params, tolerance float64) {
	t.Helper()
	for _, name := range []string{"features", "projection", "embedding"} {
		g.check(t, name, nil, outputRows(a, name), tolerance)
	}
	stats, names := sketches(t, params.State(), "running")
	g.check(t, "running", names, stats, tolerance)
	for name, count := range widened(t, params.State()) {
		if strings.HasSuffix(name, "num_batches_tracked") && count[0] != 1 {
			t.Errorf("%s is %v after one batch, want 1", name, count[0])
		}
	}
}
