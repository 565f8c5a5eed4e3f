package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/par"
)

var gemmShapes = []GemmShape{
	{M: 1, N: 1, K: 1},
	{M: 3, N: 5, K: 7},
	{M: 96, N: 16, K: 16},
	{M: 97, N: 33, K: 300},
	{M: 200, N: 64, K: 19},
	{M: 13, N: 130, K: 513},
	{M: 120, N: 48, K: 260},
	{M: 290, N: 300, K: 40}, // more than a block either way, of few rows
	{M: 150, N: 70, K: 530}, // strips of a block, and parts of their depth
	{M: 2100, N: 33, K: 3},  // more than a block of many rows
}

// runGemm returns c [M,LDC], with NaN between the rows, after Run.
func runGemm(t *testing.T, s GemmShape, a, b, c []float64, workers int, add bool) []float32 {
	t.Helper()
	pool := par.NewPool(workers)
	defer pool.Close()
	g := NewGemm(s, workers)
	scratch, out := newGuarded(g.ScratchLen()), newGuarded((s.M-1)*s.LDC+s.N)
	fill(scratch.buf, float32(math.NaN()))
	fill(out.buf, guard)
	for m := range s.M {
		copy(out.buf[m*s.LDC:][:s.N], narrowed(c[m*s.N:][:s.N]))
	}
	runPhases(pool, g.Run(out.buf, narrowed(a), narrowed(b), scratch.buf, add))
	out.check(t, "c")
	scratch.check(t, "scratch")
	return out.buf
}

func TestGemmAgainstReference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	eachVariant(t, func(t *testing.T) {
		for _, s := range gemmShapes {
			for bits := range 16 {
				s := s
				s.TransA, s.TransB = bits&1 != 0, bits&2 != 0
				add, gap := bits&4 != 0, bits>>3
				full := s.withDefaults()
				s.LDA, s.LDB, s.LDC = full.LDA+3*gap, full.LDB+5*gap, full.LDC+7*gap
				t.Run(fmt.Sprintf("%+v/add=%t", s, add), func(t *testing.T) {
					a, b := randoms(r, max(s.M, s.K)*s.LDA), randoms(r, max(s.N, s.K)*s.LDB)
					c := randoms(r, s.M*s.N)
					want := gemmRef(s, a, b)
					if add {
						for i := range want {
							want[i] += c[i]
						}
					}
					one := runGemm(t, s, a, b, c, 1, add)
					var got []float64
					for m := range s.M {
						for n, v := range one[m*s.LDC : min((m+1)*s.LDC, len(one))] {
							if n < s.N {
								got = append(got, float64(v))
							} else if v != guard {
								t.Fatalf("row %d: wrote %g to column %d of %d", m, v, n, s.N)
							}
						}
					}
					compare(t, "c", got, want, errorBound{1e-6, 1e-5})
					if five := runGemm(t, s, a, b, c, 5, add); !slices.Equal(one, five) {
						t.Error("5 workers differ from one")
					}
				})
			}
		}
	})
}

func TestGemmPanicsOnShortBuffer(t *testing.T) {
	g := NewGemm(GemmShape{M: 2, N: 3, K: 4}, 1)
	defer func() {
		if recover() == nil {
			t.Error("got no panic for c of 5 floats, want 6")
		}
	}()
	g.Run(make([]float32, 5), make([]float32, 8), make([]float32, 12), make([]float32, g.ScratchLen()), false)
}

// BenchmarkGemm measures square products, and their share of the peak of the
// processors used.
func BenchmarkGemm(b *testing.B) {
	pool := par.NewPool(0)
	defer pool.Close()
	was := Selected()
	defer Select(was)
	for _, n := range []int{128, 512, 1024} {
		for _, impl := range Variants() {
			if err := Select(impl); err != nil {
				b.Fatal(err)
			}
			g := NewGemm(GemmShape{M: n, N: n, K: n}, pool.Workers())
			phases := g.Run(Alloc(n*n), Alloc(n*n), Alloc(n*n), Alloc(g.ScratchLen()), false)
			b.Run(fmt.Sprintf("n=%d/impl=%s", n, impl), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					runPhases(pool, phases)
				}
				b.ReportMetric(float64(g.Flops())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func TestGemmDoesNotAllocate(t *testing.T) {
	g := NewGemm(GemmShape{M: 100, N: 33, K: 20, TransA: true}, 1)
	phases := g.Run(Alloc(3300), Alloc(2000), Alloc(660), Alloc(g.ScratchLen()), true)
	pool := par.NewPool(1)
	defer pool.Close()
	if n := testing.AllocsPerRun(3, func() { runPhases(pool, phases) }); n != 0 {
		t.Errorf("got %g allocations a run, want 0", n)
	}
}

// FuzzGemm compares every implementation with the reference on any small shape.
func FuzzGemm(f *testing.F) {
	f.Add(uint8(1), uint8(1), uint8(1), false, false, false)
	f.Add(uint8(97), uint8(33), uint8(19), true, false, true)
	f.Add(uint8(6), uint8(130), uint8(8), false, true, false)
	f.Fuzz(func(t *testing.T, m, n, k uint8, transA, transB, add bool) {
		s := GemmShape{M: max(1, int(m)), N: max(1, int(n)), K: max(1, int(k)), TransA: transA, TransB: transB}
		s = s.withDefaults()
		r := rand.New(rand.NewPCG(uint64(m), uint64(n)<<8|uint64(k)))
		a, b, c := randoms(r, s.M*s.K), randoms(r, s.K*s.N), randoms(r, s.M*s.N)
		want := gemmRef(s, a, b)
		scale := expectedRMS(s, gemmRef, a, b)
		if add {
			for i := range want {
				want[i] += c[i]
			}
			// The values added to are rounded too, however small the product.
			scale = math.Hypot(scale, rms(c))
		}
		eachVariant(t, func(t *testing.T) {
			var got []float64
			for _, v := range runGemm(t, s, a, b, c, 2, add) {
				got = append(got, float64(v))
			}
			compareScaled(t, "c", got, want, scale, errorBound{1e-6, 1e-5})
		})
	})
}
