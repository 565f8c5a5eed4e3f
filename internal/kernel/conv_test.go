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

// errorBound is what a method may be off, on average and at most, relative to
// the size of the results.
type errorBound struct{ mean, max float64 }

// compare takes the root mean square of want as the size of the results.
func compare(t *testing.T, name string, got, want []float64, bound errorBound) {
	t.Helper()
	compareScaled(t, name, got, want, rms(want), bound)
}

func compareScaled(t *testing.T, name string, got, want []float64, scale float64, bound errorBound) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d values, want %d", name, len(got), len(want))
	}
	scale += 1e-30
	var sum, worst float64
	for i := range want {
		e := math.Abs(got[i] - want[i])
		sum += e
		if !(e <= worst) {
			worst = e
		}
	}
	// One result may be off by the maximum, which of a few makes the mean.
	n := float64(len(want))
	if mean := sum / n / scale; !(mean <= bound.mean+bound.max/n) || !(worst/scale <= bound.max) {
		t.Errorf("%s: error relative to %.3g: mean %.2g, max %.2g, want at most %.2g, %.2g",
			name, scale, mean, worst/scale, bound.mean, bound.max)
	}
}

func rms(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum / float64(len(v)))
}

// expectedRMS returns the root mean square a bilinear map has when the signs
// of its products are random. A few results may be smaller by cancellation,
// rounding errors are not.
func expectedRMS[S any](s S, f func(s S, a, b []float64) []float64, a, b []float64) float64 {
	sum := 0.0
	squares := f(s, squared(a), squared(b))
	for _, v := range squares {
		sum += v
	}
	return math.Sqrt(sum / float64(len(squares)))
}

func squared(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = x * x
	}
	return out
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

	yScale, dxScale, dwScale float64
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
	return c
}

// solve fills in the results by the reference.
func (c *convCase) solve() *convCase {
	c.y = convRef(c.shape, c.x, c.w)
	c.dx = convDataRef(c.shape, c.dy, c.w)
	c.dw = convWeightRef(c.shape, c.x, c.dy)
	c.measure()
	return c
}

// measure fills in the sizes of the results.
func (c *convCase) measure() {
	c.yScale = expectedRMS(c.shape, convRef, c.x, c.w)
	c.dxScale = expectedRMS(c.shape, convDataRef, c.dy, c.w)
	c.dwScale = expectedRMS(c.shape, convWeightRef, c.x, c.dy)
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
	scratch := func(name string, n int) []float32 {
		buf := alloc("scratch "+name, n)
		fill(buf, float32(math.NaN()))
		return buf
	}
	forwardScratch, dataScratch, weightScratch := conv.ScratchLen()
	fill(y[:out-PadC(s.O)], 7)
	fill(dx[:in-PadC(s.C)], 7)
	forward, backward := alloc("packed forward", forwardLen), alloc("packed backward", backwardLen)
	fill(forward, float32(math.NaN()))
	fill(backward, float32(math.NaN()))

	for _, phases := range [][]par.Phase{
		conv.PackForward(forward, w),
		conv.PackBackward(backward, w),
		conv.Forward(y, x, forward, scratch("forward", forwardScratch)),
		conv.BackwardData(dx, dy, backward, scratch("data", dataScratch), false),
		conv.BackwardData(dxAdded, dy, backward, scratch("data added", dataScratch), true),
		conv.BackwardWeight(dw, x, dy, scratch("weight", weightScratch)),
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
	compareScaled(t, "y", gathered(t, "y", got.y, s.N*s.outH()*s.outW(), s.O), c.y, c.yScale, bound)
	compareScaled(t, "dx", gathered(t, "dx", got.dx, s.N*s.H*s.W, s.C), c.dx, c.dxScale, bound)
	added := gathered(t, "dx added", got.dxAdded, s.N*s.H*s.W, s.C)
	dw := make([]float64, len(c.dw))
	for i := range added {
		added[i] -= c.added[i]
	}
	for i := range dw {
		dw[i] = float64(got.dw[i]) - c.dwAdd[i]
	}
	// The values added to cost a rounding of their own, whatever the method.
	rounded := func(scale float64) errorBound {
		return errorBound{bound.mean + 1e-7/scale, bound.max + 1e-6/scale}
	}
	compareScaled(t, "dx added", added, c.dx, c.dxScale, rounded(c.dxScale+1e-30))
	compareScaled(t, "dw", dw, c.dw, c.dwScale, rounded(c.dwScale+1e-30))
}

var convShapes = []ConvShape{
	{N: 2, H: 8, W: 8, C: 3, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 14, W: 14, C: 3, O: 19, KH: 7, KW: 7, Stride: 2, Pad: 3},
	{N: 2, H: 30, W: 33, C: 3, O: 33, KH: 5, KW: 3, Stride: 2, Pad: 1},
	{N: 3, H: 9, W: 5, C: 4, O: 3, KH: 3, KW: 5, Stride: 1, Pad: 4},
	{N: 2, H: 5, W: 8, C: 2, O: 20, KH: 1, KW: 1, Stride: 3, Pad: 0},
	{N: 1, H: 9, W: 150, C: 1, O: 16, KH: 2, KW: 1, Stride: 1, Pad: 3},
	{N: 3, H: 9, W: 7, C: 16, O: 16, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 2, H: 14, W: 14, C: 16, O: 32, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 5, W: 6, C: 19, O: 5, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 1, H: 40, W: 40, C: 1, O: 1, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 13, H: 4, W: 4, C: 64, O: 48, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 9, W: 9, C: 64, O: 64, KH: 3, KW: 3, Stride: 1, Pad: 0},
	{N: 2, H: 7, W: 7, C: 33, O: 17, KH: 3, KW: 3, Stride: 1, Pad: 2},
	{N: 2, H: 8, W: 8, C: 32, O: 64, KH: 1, KW: 1, Stride: 2, Pad: 0},
	{N: 2, H: 7, W: 7, C: 16, O: 5, KH: 1, KW: 1, Stride: 1, Pad: 0},
	{N: 37, H: 1, W: 1, C: 300, O: 128, KH: 1, KW: 1, Stride: 1, Pad: 0},
	{N: 1, H: 1, W: 1, C: 5, O: 3, KH: 1, KW: 1, Stride: 1, Pad: 0},
	{N: 1, H: 1, W: 1, C: 16, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 3, W: 2, C: 16, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 7, W: 5, C: 16, O: 16, KH: 3, KW: 2, Stride: 3, Pad: 1},
	{N: 3, H: 31, W: 15, C: 16, O: 33, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 2, H: 16, W: 16, C: 48, O: 16, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 2, H: 111, W: 105, C: 16, O: 16, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 2, H: 56, W: 53, C: 16, O: 16, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{N: 2, H: 8, W: 8, C: 256, O: 32, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{N: 7, H: 4, W: 4, C: 16, O: 19, KH: 4, KW: 4, Stride: 1, Pad: 0},
	{N: 97, H: 3, W: 3, C: 32, O: 16, KH: 3, KW: 3, Stride: 2, Pad: 0},
	{N: 5, H: 3, W: 5, C: 4, O: 8, KH: 3, KW: 5, Stride: 1, Pad: 0},
	{N: 5, H: 2, W: 3, C: 19, O: 8, KH: 2, KW: 3, Stride: 1, Pad: 0},
}

// testShapes are convShapes, in short mode those the references are quick on.
func testShapes() []ConvShape {
	if !testing.Short() {
		return convShapes
	}
	var quick []ConvShape
	for _, s := range convShapes {
		if s.N*s.outH()*s.outW()*s.KH*s.KW*s.C*s.O < 1<<20 {
			quick = append(quick, s)
		}
	}
	return quick
}

func (s ConvShape) name() string {
	return fmt.Sprintf("n=%d,h=%d,w=%d,c=%d,o=%d,k=%dx%d,s=%d,p=%d", s.N, s.H, s.W, s.C, s.O, s.KH, s.KW, s.Stride, s.Pad)
}

// convBounds are what the algorithms may be off.
var convBounds = map[Algorithm]errorBound{
	Direct: {1e-6, 1e-5},
	F2:     {2e-6, 2e-5},
	Auto:   {5e-6, 2e-4},
}

func TestConvAgainstReference(t *testing.T) {
	var cases []*convCase
	for _, s := range testShapes() {
		cases = append(cases, newConvCase(s).solve())
	}
	eachVariant(t, func(t *testing.T) {
		for alg, bound := range convBounds {
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
		for _, s := range testShapes() {
			c := newConvCase(s)
			for _, alg := range []Algorithm{Auto, Direct} {
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

func TestConvDoesNotAllocate(t *testing.T) {
	for _, s := range []ConvShape{convShapes[1], convShapes[3]} {
		conv := NewConv(s, Auto, 1)
		in, out := ActLen(s.N, s.H, s.W, s.C), ActLen(s.N, s.outH(), s.outW(), s.O)
		w, dw := make([]float32, s.KH*s.KW*s.C*s.O), make([]float32, s.KH*s.KW*s.C*s.O)
		forwardLen, backwardLen := conv.PackedLen()
		forwardScratch, dataScratch, weightScratch := conv.ScratchLen()
		forward, backward, scratch := Alloc(forwardLen), Alloc(backwardLen), Alloc(max(forwardScratch, dataScratch, weightScratch))
		phases := slices.Concat(
			conv.PackForward(forward, w),
			conv.PackBackward(backward, w),
			conv.Forward(Alloc(out), Alloc(in), forward, scratch),
			conv.BackwardData(Alloc(in), Alloc(out), backward, scratch, true),
			conv.BackwardWeight(dw, Alloc(in), Alloc(out), scratch),
		)
		pool := par.NewPool(1)
		defer pool.Close()
		if n := testing.AllocsPerRun(3, func() { runPhases(pool, phases) }); n != 0 {
			t.Errorf("%s: got %g allocations a run, want 0", s.name(), n)
		}
	}
}

func TestConvPanicsOnMisuse(t *testing.T) {
	s := convShapes[0]
	conv := NewConv(s, Auto, 1)
	in, out := ActLen(s.N, s.H, s.W, s.C), ActLen(s.N, s.outH(), s.outW(), s.O)
	forwardLen, _ := conv.PackedLen()
	scratchLen, _, _ := conv.ScratchLen()
	for name, f := range map[string]func(){
		"x without the zero pixel": func() {
			conv.Forward(Alloc(out), Alloc(in-1), Alloc(forwardLen), Alloc(scratchLen))
		},
		"short scratch": func() {
			conv.BackwardWeight(Alloc(s.KH*s.KW*s.C*s.O), Alloc(in), Alloc(out), nil)
		},
		"window larger than the image": func() {
			NewConv(ConvShape{N: 1, H: 2, W: 2, C: 1, O: 1, KH: 3, KW: 3, Stride: 1}, Auto, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			f()
		})
	}
}
