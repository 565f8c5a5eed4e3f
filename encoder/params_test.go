package encoder_test

import (
	"bufio"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
)

// full describes a network of full width with a classifier's head.
func full(depth, classes int, cifar bool) *encoder.Graph {
	g := encoder.ResNet(encoder.ResNetConfig{Depth: depth, CIFAR: cifar, Size: 224, Width: 1, Normalize: pixelNorm})
	if classes > 0 {
		g.AddHead(encoder.Head{Kind: encoder.LinearHead, Dim: classes})
	}
	return g
}

// The names and shapes are torchvision's own, written by testdata/resnet.py.
func TestStateHasTorchvisionNames(t *testing.T) {
	for _, depth := range []int{18, 50} {
		file, err := os.Open(fmt.Sprintf("testdata/resnet%d.names", depth))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		want := map[string]string{}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			name, shape, _ := strings.Cut(lines.Text(), " ")
			want[name] = "[" + shape + "]"
		}
		got := map[string]string{}
		for name, tensor := range encoder.ZeroParams(full(depth, 1000, false)).State().Tensors {
			got[name] = fmt.Sprint([]int(tensor.Shape()))
		}
		if !maps.Equal(got, want) {
			t.Errorf("resnet%d has tensors\n%v\nwant\n%v", depth, got, want)
		}
	}
}

func TestCountOfParameters(t *testing.T) {
	for _, c := range []struct {
		depth, classes int
		cifar          bool
		want           int
	}{
		{18, 1000, false, 11_689_512}, {18, 0, false, 11_176_512}, {18, 0, true, 11_168_832},
		{50, 1000, false, 25_557_032}, {50, 0, false, 23_508_032},
	} {
		if got := encoder.ZeroParams(full(c.depth, c.classes, c.cifar)).Count(); got != c.want {
			t.Errorf("resnet%d with %d classes, cifar %v: %d parameters, want %d", c.depth, c.classes, c.cifar, got, c.want)
		}
	}
}

func TestInitialParameters(t *testing.T) {
	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.5, Normalize: pixelNorm})
	g.AddHead(encoder.Head{Kind: encoder.MLPHead, Dim: 128})
	params := encoder.NewParams(g, 1)
	state := widened(t, params.State())
	places := func(name string) []int {
		all := make([]int, len(state[name]))
		for i := range all {
			all[i] = i
		}
		return all
	}
	for _, c := range []struct {
		name     string
		variance float64
	}{
		{"layer4.1.conv2.weight", 2. / (256 * 9)}, // normal, by fan out
		{"layer2.0.downsample.0.weight", 2. / 64}, // its window is 1x1
		{"conv1.weight", 1. / (3 * 27)},           // uniform, by fan in
		{"fc.0.weight", 1. / (3 * 256)}, {"fc.2.weight", 1. / (3 * 256)}, {"fc.0.bias", 1. / (3 * 256)},
	} {
		mean, variance := moments(state[c.name], places(c.name))
		n := float64(len(state[c.name]))
		// Six standard errors; a normal's variance has a relative one of sqrt(2/n).
		if mean*mean > 36*c.variance/n || variance/c.variance > 1+6*1.42/math.Sqrt(n) || variance/c.variance < 1-6*1.42/math.Sqrt(n) {
			t.Errorf("%s: mean %.2g and variance %.4g, want 0 and %.4g", c.name, mean, variance, c.variance)
		}
	}
	for name, want := range map[string]float64{"bn1.weight": 1, "bn1.bias": 0, "bn1.running_mean": 0, "bn1.running_var": 1, "bn1.num_batches_tracked": 0} {
		if mean, variance := moments(state[name], places(name)); mean != want || variance != 0 {
			t.Errorf("%s is not %v everywhere", name, want)
		}
	}
	if again := encoder.NewParams(g, 1).State().Digest(); again != params.State().Digest() {
		t.Error("the same seed gave other parameters")
	}
	if other := encoder.NewParams(g, 2).State().Digest(); other == params.State().Digest() {
		t.Error("another seed gave the same parameters")
	}
}

func TestStateLoadRoundTrip(t *testing.T) {
	g := resnet(small50, encoder.MLPHead)
	params := randomParams(t, g, 1)
	a := model(t, g, params, encoder.Options{Batch: 6, Mode: encoder.TrainNoGrad}).NewArena()
	a.Forward(pixels(g, 6, 1)) // counts a batch
	state := params.State()
	if shape := state.Tensors["bn1.num_batches_tracked"].Shape(); len(shape) != 0 {
		t.Errorf("num_batches_tracked has shape %v, want a scalar's", shape)
	}
	other := encoder.NewParams(g, 2)
	if err := other.Load(state); err != nil {
		t.Fatal(err)
	}
	if got, want := other.State().Digest(), state.Digest(); got != want {
		t.Error("the state after Load is not the loaded one")
	}
	if got := encoder.CopyOf(params, g).State().Digest(); got != state.Digest() {
		t.Error("the state of a copy is not that of the original")
	}
	a.Forward(pixels(g, 6, 1))
	if state.Digest() == params.State().Digest() {
		t.Error("a state changes with the parameters it was taken from")
	}
}

// Writers disagree on the shape of a counter, and old files have none.
func TestLoadTakesCountersOfOtherWriters(t *testing.T) {
	g := resnet(small18, encoder.NoHead)
	params := encoder.NewParams(g, 1)
	state := params.State()
	state.Tensors["bn1.num_batches_tracked"] = batch.NewTensor([]int64{7}, 1)
	delete(state.Tensors, "layer1.0.bn1.num_batches_tracked")
	if err := params.Load(state); err != nil {
		t.Fatal(err)
	}
	if got := widened(t, params.State())["bn1.num_batches_tracked"][0]; got != 7 {
		t.Errorf("the counter is %v, want 7", got)
	}
}

func TestLoadReportsAllThatIsWrongAndChangesNothing(t *testing.T) {
	g := resnet(small18, encoder.LinearHead)
	params := randomParams(t, g, 1)
	before := params.State().Digest()
	state := randomParams(t, g, 2).State()
	delete(state.Tensors, "conv1.weight")
	delete(state.Tensors, "bn1.running_var")
	state.Tensors["fc.weight"] = batch.NewTensor(make([]float32, 6), 2, 3)
	state.Tensors["fc.bias"] = batch.NewTensor(make([]float64, 9), 9)
	state.Tensors["bn1.num_batches_tracked"] = batch.NewTensor([]float32{1})
	state.Tensors["fc.2.weight"] = batch.NewTensor([]float32{1}, 1)
	err := params.Load(state)
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{
		"conv1.weight [4 3 3 3] is missing", "bn1.running_var [4] is missing",
		"fc.weight: has shape [2 3], want [9 36]", "fc.bias: ", "float64", "bn1.num_batches_tracked: ",
		"fc.2.weight is not part of the network",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if params.State().Digest() != before {
		t.Error("a failed Load changed the parameters")
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	g := resnet(small50, encoder.LinearHead)
	err := encoder.NewParams(g, 1).Load(batch.State{})
	if err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "more") {
		t.Errorf("got error %v, want a short one", err)
	}
}

func TestGradsHaveTheNamesOfTrainedTensors(t *testing.T) {
	params := encoder.NewParams(resnet(small18, encoder.MLPHead), 1)
	var want []string
	for name := range params.State().Tensors {
		if !strings.Contains(name, "running") && !strings.HasSuffix(name, "num_batches_tracked") {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(params.Grads().Tensors)); !slices.Equal(got, want) {
		t.Errorf("got gradients of %v, want of %v", got, want)
	}
}

func TestTrainedCountsTheParameters(t *testing.T) {
	for _, depth := range []int{18, 50} {
		g := full(depth, 0, false)
		if got, want := g.Trained(), encoder.ZeroParams(g).Count(); got != want {
			t.Errorf("resnet%d has %d trained values, want %d", depth, got, want)
		}
	}
}
