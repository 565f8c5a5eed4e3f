package encoder_test

import (
	"math"
	"testing"

	"clpipe/encoder"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// pixels returns n random images of the given side.
func pixels(n, side int, seed uint64) []byte {
	s := rng.New(seed, rng.Benchmark)
	out := make([]byte, n*side*side*3)
	for i := range out {
		out[i] = byte(s.Uint64())
	}
	return out
}

func small(head encoder.HeadKind) *encoder.Graph {
	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 12, Width: 0.125,
		Normalize: encoder.Normalize{Mean: [3]float32{.5, .5, .5}, Std: [3]float32{.25, .25, .25}}})
	g.AddHead(encoder.Head{Kind: head, Dim: 8})
	return g
}

// The directional derivative of a random projection of the embedding, by
// backward and by central differences.
func TestBackwardMatchesFiniteDifferences(t *testing.T) {
	const n = 6
	for _, head := range []encoder.HeadKind{encoder.LinearHead, encoder.MLPHead, encoder.NoHead} {
		for _, groups := range []int{1, 3} {
			g := small(head)
			pool := par.NewPool(2)
			defer pool.Close()
			plan, err := encoder.Compile(g, encoder.Options{Batch: n, Mode: encoder.Train, Groups: groups, Workers: 2, Grads: []string{"embedding"}})
			if err != nil {
				t.Fatal(err)
			}
			params := encoder.NewParams(g, 3)
			arena := plan.Bind(params, pool).NewArena()
			x := pixels(n, 12, 1)
			draw := rng.New(9, rng.Benchmark, 2)
			weight := make([]float32, len(arena.OutputGrad("embedding").Data))
			for i := range weight {
				weight[i] = float32(draw.Normal())
			}
			loss := func() float64 {
				arena.Forward(x)
				sum := 0.0
				for i, v := range arena.Output("embedding").Data {
					sum += float64(v) * float64(weight[i])
				}
				return sum
			}
			loss()
			copy(arena.OutputGrad("embedding").Data, weight)
			arena.Backward()

			direction := make([]float32, len(params.Data))
			want := 0.0
			for i, grad := range params.Grad {
				if grad != 0 {
					direction[i] = float32(draw.Normal())
					want += float64(direction[i]) * float64(grad)
				}
			}
			base := append([]float32{}, params.Data...)
			at := func(eps float32) float64 {
				for i := range base {
					params.Data[i] = base[i] + eps*direction[i]
				}
				params.Changed()
				return loss()
			}
			const eps = 1e-6
			got := (at(eps) - at(-eps)) / (2 * eps)
			if math.Abs(got-want) > 0.02*math.Abs(want) {
				t.Errorf("head %s, groups %d: derivative by differences %.5f, by backward %.5f", head, groups, got, want)
			}
		}
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	g := small(encoder.LinearHead)
	pool := par.NewPool(2)
	defer pool.Close()
	plan, err := encoder.Compile(g, encoder.Options{Batch: 4, Mode: encoder.Train, Workers: 2, Grads: []string{"embedding"}})
	if err != nil {
		t.Fatal(err)
	}
	arena := plan.Bind(encoder.NewParams(g, 1), pool).NewArena()
	x := pixels(4, 12, 1)
	if n := testing.AllocsPerRun(3, func() { arena.Forward(x); arena.Backward() }); n != 0 {
		t.Errorf("a forward and backward pass allocates %v times, want 0", n)
	}
}
