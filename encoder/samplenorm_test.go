package encoder_test

import (
	"math"
	"slices"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/par"
)

// sampleNorms is a network with every normalisation that looks at one sample.
func sampleNorms() *encoder.Graph {
	g := encoder.NewGraph(7, 7)
	x := g.Add("normalize", pixelNorm, 0)
	x = g.Add("gn", encoder.GroupNorm{Groups: 3}, g.Add("conv1", encoder.Conv{Out: 18, K: 3, Stride: 1, Pad: 1}, x))
	x = g.Add("ln", encoder.LayerNorm{}, g.Add("conv2", encoder.Conv{Out: 20, K: 3, Stride: 2, Pad: 1}, g.Add("relu", encoder.ReLU{}, x)))
	x = g.Add("fc", encoder.Linear{Out: 6, Bias: true}, g.Add("pool", encoder.GlobalAvgPool{}, x))
	g.Output("y", g.Add("norm", encoder.GroupNorm{Groups: 1}, x))
	return g
}

// A pass gives the same whatever the arena held and whoever works on it.
func TestSampleNormsAreReproducible(t *testing.T) {
	g := sampleNorms()
	var want string
	for _, workers := range []int{1, 2, 5} {
		pool := par.NewPool(workers)
		defer pool.Close()
		plan, err := encoder.Compile(g, encoder.Options{Batch: 5, Workers: workers, Grads: []string{"y"}})
		if err != nil {
			t.Fatal(err)
		}
		params := randomParams(t, g, 1)
		a := plan.Bind(params, pool).NewArena()
		a.Fill(float32(math.NaN()))
		pass := func() {
			a.Forward(pixels(g, 5, 1))
			fillGrads(a, 1, "y")
			a.Backward()
		}
		pass()
		if got := params.Grads().Digest(); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%d workers: gradients differ from those of one", workers)
		}
	}
}

// A sample's result is its own: the rest of the batch does not matter, in no mode.
func TestSampleNormsLookAtOneSample(t *testing.T) {
	g := sampleNorms()
	params := randomParams(t, g, 1)
	x := pixels(g, 5, 1)
	all := model(t, g, params, encoder.Options{Batch: 5}).NewArena()
	all.Forward(x)
	want := output(all, "y")
	for _, mode := range []encoder.Mode{encoder.Train, encoder.TrainNoGrad, encoder.Eval} {
		one := model(t, g, params, encoder.Options{Batch: 1, Mode: mode}).NewArena()
		for i := range 5 {
			one.Forward(x[i*7*7*3 : (i+1)*7*7*3])
			if got := output(one, "y"); !slices.Equal(got, want[i*6:(i+1)*6]) {
				t.Errorf("mode %d: sample %d alone gives %v, in a batch %v", mode, i, got, want[i*6:(i+1)*6])
			}
		}
	}
}

func TestSampleNormsAllocateNothing(t *testing.T) {
	g := sampleNorms()
	a := model(t, g, randomParams(t, g, 1), encoder.Options{Batch: 5, Grads: []string{"y"}}).NewArena()
	x := pixels(g, 5, 1)
	if n := testing.AllocsPerRun(3, func() { a.Forward(x); a.Backward() }); n != 0 {
		t.Errorf("a pass allocates %v times, want 0", n)
	}
}

func TestSampleNormsHaveTorchNames(t *testing.T) {
	params := encoder.NewParams(sampleNorms(), 1)
	state := widened(t, params.State())
	for _, name := range []string{"gn", "ln", "norm"} {
		weight, bias := state[name+".weight"], state[name+".bias"]
		if len(weight) == 0 || len(bias) != len(weight) || slices.Min(weight) != 1 || slices.Max(weight) != 1 || slices.Min(bias) != 0 || slices.Max(bias) != 0 {
			t.Errorf("%s: weight %v and bias %v, want ones and zeros", name, weight, bias)
		}
	}
	if want := 2 + 1 + 1 + 6; len(state) != want {
		t.Errorf("%d tensors, want %d", len(state), want)
	}
}
