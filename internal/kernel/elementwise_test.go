package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/par"
)

// sweepLens are lengths around the vectors, their unrolled groups and the
// chunks of tasks.
var sweepLens = []int{0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 129, vectorChunk, vectorChunk + 5, 2*vectorChunk + 1}

// runGuarded runs phases bound to guarded copies of the inputs and returns the
// copies.
func runGuarded(t *testing.T, bind func(v ...[]float32) []par.Phase, inputs ...[]float32) [][]float32 {
	t.Helper()
	var buffers []guarded
	var bufs [][]float32
	for _, in := range inputs {
		g := newGuarded(len(in))
		copy(g.buf, in)
		buffers, bufs = append(buffers, g), append(bufs, g.buf)
	}
	pool := par.NewPool(2)
	defer pool.Close()
	runPhases(pool, bind(bufs...))
	for _, g := range buffers {
		g.check(t, "sweep")
	}
	return bufs
}

func TestSweepsAgainstReference(t *testing.T) {
	momentum := float32(0.99)
	eachVariant(t, func(t *testing.T) {
		for _, n := range sweepLens {
			r := rand.New(rand.NewPCG(2, uint64(n)))
			a, b, c := narrowed(randoms(r, n)), narrowed(randoms(r, n)), narrowed(randoms(r, n))
			for i := 0; i < n; i += 5 {
				c[i] = 0
			}
			for _, s := range []struct {
				name string
				bind func(v ...[]float32) []par.Phase
				want func(a, b, c float64) float64
				ulps float64 // of the largest term
			}{
				{"add", func(v ...[]float32) []par.Phase { return Add(v[0], v[1]) }, func(a, b, c float64) float64 { return a + b }, 1},
				{"relu", func(v ...[]float32) []par.Phase { return ReLU(v[0], v[1]) }, func(a, b, c float64) float64 { return max(b, 0) }, 0},
				{"relu backward", func(v ...[]float32) []par.Phase { return ReLUBackward(v[0], v[1], v[2]) }, func(a, b, c float64) float64 {
					if c > 0 {
						return b
					}
					return 0
				}, 0},
				{"ema", func(v ...[]float32) []par.Phase { return EMA(v[0], v[1], &momentum) }, func(a, b, c float64) float64 {
					return float64(momentum)*a + float64(1-momentum)*b
				}, 2}, // a term is rounded as a product and in the sum
				{"triad", func(v ...[]float32) []par.Phase {
					return []par.Phase{{Tasks: 1, Run: func(_, _ int) { Triad(v[0], v[1], v[2], 3) }}}
				}, func(a, b, c float64) float64 { return b + 3*c }, 2},
			} {
				got := runGuarded(t, s.bind, a, b, c)[0]
				for i := range got {
					x, y, z := float64(a[i]), float64(b[i]), float64(c[i])
					want := s.want(x, y, z)
					bound := s.ulps * 0x1p-24 * (math.Abs(x) + math.Abs(y) + 3*math.Abs(z))
					if e := math.Abs(float64(got[i]) - want); !(e <= bound) {
						t.Fatalf("%s, %d of %d: got %v, want %v", s.name, i, n, got[i], want)
					}
				}
			}
		}
	})
}

func TestReLUKeepsNaN(t *testing.T) {
	nan := float32(math.NaN())
	eachVariant(t, func(t *testing.T) {
		got := runGuarded(t, func(v ...[]float32) []par.Phase { return ReLU(v[0], v[0]) }, slices.Repeat([]float32{nan, -1, 2}, 30))[0]
		for i := 0; i < len(got); i += 3 {
			if got[i] == got[i] || got[i+1] != 0 || got[i+2] != 2 {
				t.Fatalf("at %d: got %v, want NaN, 0, 2", i, got[i:i+3])
			}
		}
	})
}

func TestSGDAgainstReference(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, args := range []SGDArgs{
			{LR: 0.1}, {LR: 0.1, Momentum: 0.9}, {LR: 0.1, Momentum: 0.9, WeightDecay: 0.01},
			{LR: 0.1, Momentum: 0.9, Dampening: 0.5}, {LR: 0.1, Momentum: 0.9, WeightDecay: 0.01, Nesterov: true},
		} {
			for _, n := range sweepLens {
				r := rand.New(rand.NewPCG(3, uint64(n)))
				p := narrowed(randoms(r, n))
				got := slices.Clone(p)
				garbage := Alloc(n)
				fill(garbage, float32(math.NaN())) // the first step must not read it
				buf := garbage
				want, wantBuf := widened(p), make([]float64, n)
				for step := range 3 {
					g := narrowed(randoms(r, n))
					a := args
					a.First = step == 0
					out := runGuarded(t, func(v ...[]float32) []par.Phase { return SGD(v[0], v[1], v[2], &a) }, got, g, buf)
					got, buf = out[0], out[2]
					for i := range want {
						d := float64(g[i]) + float64(a.WeightDecay)*want[i]
						if a.Momentum != 0 {
							if a.First {
								wantBuf[i] = d
							} else {
								wantBuf[i] = float64(a.Momentum)*wantBuf[i] + (1-float64(a.Dampening))*d
							}
							if a.Nesterov {
								d += float64(a.Momentum) * wantBuf[i]
							} else {
								d = wantBuf[i]
							}
						}
						want[i] -= float64(a.LR) * d
					}
				}
				for i := range want {
					if e := math.Abs(float64(got[i]) - want[i]); !(e <= 2e-6) {
						t.Fatalf("%+v, parameter %d of %d after 3 steps: got %v, want %v", args, i, n, got[i], want[i])
					}
				}
			}
		}
	})
}

func TestBias(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, s := range []BiasShape{{1, 1}, {3, 3}, {37, 19}, {9, 64}, {1100, 130}} {
			r := rand.New(rand.NewPCG(4, uint64(s.C)))
			x, bias, dbias := randoms(r, s.Rows*s.C), randoms(r, s.C), randoms(r, s.C)
			act := ActLen(1, 1, s.Rows, s.C)
			for _, relu := range []bool{false, true} {
				y, grad := newGuarded(act), narrowed(dbias)
				spread(y.buf, x, s.C)
				scratch := newGuarded(s.ScratchLen())
				pool := par.NewPool(2)
				runPhases(pool, s.Backward(grad, y.buf, scratch.buf)) // x as the gradient
				runPhases(pool, s.Forward(y.buf, y.buf, narrowed(bias), relu, scratch.buf))
				pool.Close()
				y.check(t, "y")
				scratch.check(t, "scratch")
				want, sums := make([]float64, len(x)), slices.Clone(dbias)
				for i, v := range x {
					sums[i%s.C] += v
					if want[i] = v + bias[i%s.C]; relu {
						want[i] = max(want[i], 0)
					}
				}
				compare(t, "y", gathered(t, "y", y.buf, s.Rows, s.C), want, errorBound{1e-7, 1e-6})
				compare(t, "dbias", widened(grad), sums, errorBound{1e-6, 1e-5})
			}
		}
	})
}

func TestNormalizePixels(t *testing.T) {
	const n, h, w = 2, 3, 5
	src := make([]byte, n*h*w*3)
	for i := range src {
		src[i] = byte(i * 7)
	}
	mean, std := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	y := newGuarded(n * h * w * 4)
	fill(y.buf, 7)
	args := &PixelsArgs{}
	phases := Normalize(y.buf, args, n, h, w, mean, std)
	args.Src = src // known only after binding
	pool := par.NewPool(2)
	defer pool.Close()
	runPhases(pool, phases)
	y.check(t, "y")
	for i, got := range y.buf {
		var want float32
		if c := i % 4; c < 3 {
			want = float32((float64(src[i/4*3+c])/255 - float64(mean[c])) / float64(std[c]))
		}
		if got != want {
			t.Fatalf("value %d: got %v, want %v", i, got, want)
		}
	}
}

func TestSweepsAllocateNothing(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		n, momentum := 3*vectorChunk, float32(0.9)
		a, b, c := Alloc(n), Alloc(n), Alloc(n)
		bn := BatchNormShape{N: 4, HW: 16, C: 32, Groups: 2}
		args := BatchNormArgs{
			Y: a, X: b, Gamma: ones(32), Beta: Alloc(32), RunningMean: Alloc(32), RunningVar: ones(32),
			Group: []int32{0, 1, 0, 1}, Saved: Alloc(bn.SavedLen()), Eps: 1e-5, Momentum: 0.1,
		}
		scratch := Alloc(bn.ScratchLen())
		pool := par.NewPool(2)
		defer pool.Close()
		phases := slices.Concat(
			Add(a, b), ReLU(a, b), ReLUBackward(a, b, c), EMA(a, b, &momentum), SGD(a, b, c, &SGDArgs{LR: 0.1}),
			bn.Forward(args, scratch), bn.ForwardEval(args, scratch),
			bn.Backward(BatchNormGrads{DY: c, DX: c, DGamma: Alloc(32), DBeta: Alloc(32)}, args, scratch),
		)
		if n := testing.AllocsPerRun(5, func() { runPhases(pool, phases) }); n != 0 {
			t.Errorf("a run allocates %v times, want 0", n)
		}
	})
}
