package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/par"
)

// eachVariant runs f once for every implementation of this machine.
func eachVariant(t *testing.T, f func(t *testing.T)) {
	was := Selected()
	t.Cleanup(func() {
		if err := Select(was); err != nil {
			t.Fatal(err)
		}
	})
	for _, name := range Variants() {
		t.Run("impl="+name, func(t *testing.T) {
			if err := Select(name); err != nil {
				t.Fatal(err)
			}
			f(t)
		})
	}
}

// guard is written behind every buffer; a kernel that leaves its buffer
// changes it.
const guard = 1.25e30

// guarded is a buffer with guard words behind it.
type guarded struct{ all, buf []float32 }

func newGuarded(n int) guarded {
	g := guarded{all: Alloc(n + 64)}
	g.buf = g.all[:n]
	for i := range g.all[n:] {
		g.all[n+i] = guard
	}
	return g
}

func (g guarded) check(t *testing.T, name string) {
	t.Helper()
	for i, v := range g.all[len(g.buf):] {
		if v != guard {
			t.Errorf("%s: guard word %d behind the buffer is %g", name, i, v)
			return
		}
	}
}

// spread fills an activation from unpadded pixels of c channels.
func spread(act []float32, pixels []float64, c int) {
	for i := range len(pixels) / c {
		for j, v := range pixels[i*c : (i+1)*c] {
			act[i*PadC(c)+j] = float32(v)
		}
	}
}

// gathered returns the unpadded pixels of an activation, and fails where a
// padding channel or the zero pixel is not zero.
func gathered(t *testing.T, name string, act []float32, pixels, c int) []float64 {
	t.Helper()
	out := make([]float64, 0, pixels*c)
	for i := range pixels + 1 {
		for j, v := range act[i*PadC(c) : (i+1)*PadC(c)] {
			if i < pixels && j < c {
				out = append(out, float64(v))
			} else if v != 0 {
				t.Fatalf("%s: pixel %d of %d, channel %d of %d: got %g, want 0", name, i, pixels, j, c, v)
			}
		}
	}
	return out
}

func randoms(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(float32(r.NormFloat64()))
	}
	return v
}

func narrowed(v []float64) []float32 {
	out := Alloc(len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// errorBound is what a method may be off, relative to the root mean square of
// the result: on average and at most.
type errorBound struct{ mean, max float64 }

func compare(t *testing.T, name string, got, want []float64, bound errorBound) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d values, want %d", name, len(got), len(want))
	}
	var square, sum, worst float64
	for i := range want {
		square += want[i] * want[i]
		e := math.Abs(got[i] - want[i])
		sum += e
		if !(e <= worst) {
			worst = e
		}
	}
	n := float64(len(want))
	rms := math.Sqrt(square/n) + 1e-30
	if mean := sum / n / rms; !(mean <= bound.mean) || !(worst/rms <= bound.max) {
		t.Errorf("%s: error relative to RMS: mean %.2g, max %.2g, want at most %.2g, %.2g",
			name, mean, worst/rms, bound.mean, bound.max)
	}
}

func runPhases(pool *par.Pool, phases []par.Phase) {
	for _, ph := range phases {
		pool.Run(ph)
	}
}

// convCase is a convolution with its inputs and the results by the reference.
type convCase struct {
	shape        ConvShape
	x, w, dy     []float64
	y, dx, dw    []float64
	added, dwAdd []float64 // what dx and dw hold before they are added to
}

func newConvCase(s ConvShape) *convCase {
	r := rand.New(rand.NewPCG(1, uint64(s.N*1000+s.H*100+s.C*10+s.O)))
	c := &convCase{
		shape: s,
		x:     randoms(r, s.N*s.H*s.W*s.C),
		w:     randoms(r, s.KH*s.KW*s.C*s.O),
		dy:    randoms(r, s.N*s.outH()*s.outW()*s.O),
	}
	c.added = randoms(r, len(c.x))
	c.dwAdd = randoms(r, len(c.w))
	c.y = convRef(s, c.x, c.w)
	c.dx = convDataRef(s, c.dy, c.w)
	c.dw = convWeightRef(s, c.x, c.dy)
	return c
}

// convResults are everything a plan computes for a case.
type convResults struct{ y, dx, dxAdded, dw []float32 }

func (c *convCase) run(t *testing.T, alg Algorithm, workers int) convResults {
	t.Helper()
	s := c.shape
	pool := par.NewPool(workers)
	defer pool.Close()
	conv := NewConv(s, alg, workers)
	in, out := ActLen(s.N, s.H, s.W, s.C), ActLen(s.N, s.outH(), s.outW(), s.O)
	forwardLen, backwardLen := conv.PackedLen()

	buffers := map[string]guarded{}
	alloc := func(name string, n int) []float32 {
		buffers[name] = newGuarded(n)
		return buffers[name].buf
	}
	x, dy, w := alloc("x", in), alloc("dy", out), narrowed(c.w)
	spread(x, c.x, s.C)
	spread(dy, c.dy, s.O)
	y, dx, dxAdded, dw := alloc("y", out), alloc("dx", in), alloc("dx added", in), alloc("dw", len(c.w))
	spread(dxAdded, c.added, s.C)
	copy(dw, narrowed(c.dwAdd))
	// Scratch and results are dirty from other operations; of a result only
	// what is never written must be zero.
	scratch := alloc("scratch", conv.ScratchLen())
	fill(scratch, float32(math.NaN()))
	fill(y[:out-PadC(s.O)], 7)
	fill(dx[:in-PadC(s.C)], 7)
	forward, backward := alloc("packed forward", forwardLen), alloc("packed backward", backwardLen)
	fill(forward, float32(math.NaN()))
	fill(backward, float32(math.NaN()))

	for _, phases := range [][]par.Phase{
		conv.PackForward(forward, w),
		conv.PackBackward(backward, w),
		conv.Forward(y, x, forward, scratch),
		conv.BackwardData(dx, dy, backward, scratch, false),
		conv.BackwardData(dxAdded, dy, backward, scratch, true),
		conv.BackwardWeight(dw, x, dy, scratch),
	} {
		runPhases(pool, phases)
	}
	for name, g := range buffers {
		g.check(t, name)
	}
	return convResults{y, dx, dxAdded, dw}
}

func fill(v []float32, x float32) {
	for i := range v {
		v[i] = x
	}
}

func (c *convCase) check(t *testing.T, got convResults, bound errorBound) {
	t.Helper()
	s := c.shape
	compare(t, "y", gathered(t, "y", got.y, s.N*s.outH()*s.outW(), s.O), c.y, bound)
	compare(t, "dx", gathered(t, "dx", got.dx, s.N*s.H*s.W, s.C), c.dx, bound)
	added := gathered(t, "dx added", got.dxAdded, s.N*s.H*s.W, s.C)
	dw := make([]float64, len(c.dw))
	for i := range added {
		added[i] -= c.added[i]
	}
	for i := range dw {
		dw[i] = float64(got.dw[i]) - c.dwAdd[i]
	}
	// The values added to cost a rounding of their own, whatever the method.
	bound.mean += 1e-7
	bound.max += 1e-6
	compare(t, "dx added", added, c.dx, bound)
	compare(t, "dw", dw, c.dw, bound)
}

var convShapes = []ConvShape{
	{N: 2, H: 8, W: 8, C: 3, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 14, W: 14, C: 3, O: 19, KH: 7, KW: 7, Stride: 2, Pad: 3},
	{N: 3, H: 9, W: 7, C: 16, O: 16, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 2, H: 14, W: 14, C: 16, O: 32, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 5, W: 6, C: 19, O: 5, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 1, H: 40, W: 40, C: 1, O: 1, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 37, H: 4, W: 4, C: 64, O: 48, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 9, W: 9, C: 64, O: 64, KH: 3, KW: 3, Stride: 1, Pad: 0},
	{N: 2, H: 7, W: 7, C: 33, O: 17, KH: 3, KW: 3, Stride: 1, Pad: 2},
	{N: 2, H: 8, W: 8, C: 32, O: 64, KH: 1, KW: 1, Stride: 2, Pad: 0},
	{N: 2, H: 7, W: 7, C: 16, O: 5, KH: 1, KW: 1, Stride: 1, Pad: 0},
	{N: 37, H: 1, W: 1, C: 300, O: 128, KH: 1, KW: 1, Stride: 1, Pad: 0},
	{N: 1, H: 1, W: 1, C: 5, O: 3, KH: 1, KW: 1, Stride: 1, Pad: 0},
	{N: 1, H: 1, W: 1, C: 16, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 3, W: 2, C: 16, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 7, W: 5, C: 16, O: 16, KH: 3, KW: 2, Stride: 3, Pad: 1},
	{N: 2, H: 56, W: 53, C: 16, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 5, H: 8, W: 8, C: 256, O: 32, KH: 3, KW: 3, Stride: 2, Pad: 1},
}

func (s ConvShape) name() string {
	return fmt.Sprintf("n=%d,h=%d,w=%d,c=%d,o=%d,k=%dx%d,s=%d,p=%d", s.N, s.H, s.W, s.C, s.O, s.KH, s.KW, s.Stride, s.Pad)
}

func TestConvAgainstReference(t *testing.T) {
	cases := make([]*convCase, len(convShapes))
	for i, s := range convShapes {
		cases[i] = newConvCase(s)
	}
	bounds := map[Algorithm]errorBound{
		Direct: {1e-6, 1e-5},
		F2:     {2e-6, 2e-5},
		Auto:   {5e-6, 2e-4},
	}
	eachVariant(t, func(t *testing.T) {
		for alg, bound := range bounds {
			for _, c := range cases {
				t.Run(fmt.Sprintf("alg=%d/%s", alg, c.shape.name()), func(t *testing.T) {
					c.check(t, c.run(t, alg, 2), bound)
				})
			}
		}
	})
}

func TestConvBitsDoNotDependOnWorkers(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, s := range convShapes {
			c := newConvCase(s)
			for _, alg := range []Algorithm{Auto, Direct, F2} {
				one := c.run(t, alg, 1)
				for _, workers := range []int{2, 5} {
					got := c.run(t, alg, workers)
					if !slices.Equal(one.y, got.y) || !slices.Equal(one.dx, got.dx) ||
						!slices.Equal(one.dxAdded, got.dxAdded) || !slices.Equal(one.dw, got.dw) {
						t.Errorf("%s, algorithm %d: %d workers differ from one", s.name(), alg, workers)
					}
				}
			}
		}
	})
}
