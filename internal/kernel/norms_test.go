package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/goldentest"
	"clpipe/internal/par"
)

// normCase is a normalisation of each sample by itself: over groups of its
// channels, or, with no groups, over the channels of each pixel.
type normCase struct {
	N, HW, C, Groups   int
	X, DY, Gamma, Beta []float64
	Y, DX              []float64
	DGamma, DBeta      []float64
}

func (c *normCase) name() string {
	return fmt.Sprintf("n=%d,hw=%d,c=%d,groups=%d", c.N, c.HW, c.C, c.Groups)
}

// sets calls f for every set of places in x that are normalised together.
func (c *normCase) sets(f func(at []int)) {
	pixels, groups := c.HW, c.Groups
	if groups == 0 {
		pixels, groups = 1, 1
	}
	width := c.C / groups
	for first := 0; first < c.N*c.HW; first += pixels {
		for g := range groups {
			var at []int
			for p := first; p < first+pixels; p++ {
				for i := range width {
					at = append(at, p*c.C+g*width+i)
				}
			}
			f(at)
		}
	}
}

// solve fills the results as the definition has them.
func (c *normCase) solve() {
	c.Y, c.DX = make([]float64, len(c.X)), make([]float64, len(c.X))
	c.DGamma, c.DBeta = make([]float64, c.C), make([]float64, c.C)
	c.sets(func(at []int) {
		n := float64(len(at))
		var mean, variance, sum, dot float64
		for _, i := range at {
			mean += c.X[i] / n
		}
		for _, i := range at {
			variance += (c.X[i] - mean) * (c.X[i] - mean) / n
		}
		std := math.Sqrt(variance + float64(float32(1e-5)))
		for _, i := range at {
			xh := (c.X[i] - mean) / std
			c.Y[i] = xh*c.Gamma[i%c.C] + c.Beta[i%c.C]
			c.DGamma[i%c.C] += c.DY[i] * xh
			c.DBeta[i%c.C] += c.DY[i]
			sum += c.DY[i] * c.Gamma[i%c.C]
			dot += c.DY[i] * c.Gamma[i%c.C] * xh
		}
		for _, i := range at {
			c.DX[i] = (c.DY[i]*c.Gamma[i%c.C] - sum/n - (c.X[i]-mean)/std*dot/n) / std
		}
	})
}

// normRun is what the kernels left, padding included.
type normRun struct{ y, dx, dgamma, dbeta []float32 }

// run carries the case out; old, if any, is what dx holds and is added to.
func (c *normCase) run(t *testing.T, workers int, old []float64) normRun {
	t.Helper()
	act := ActLen(1, c.N, c.HW, c.C)
	buffers := map[string]guarded{}
	alloc := func(name string, n int) []float32 {
		buffers[name] = newGuarded(n)
		return buffers[name].buf
	}
	pixels := func(name string, v []float64) []float32 {
		buf := alloc(name, act)
		spread(buf, v, c.C)
		return buf
	}
	gamma, beta := narrowed(c.Gamma), narrowed(c.Beta)
	x, dy := pixels("x", c.X), pixels("dy", c.DY)
	out := normRun{y: alloc("y", act), dx: dy, dgamma: alloc("dgamma", c.C), dbeta: alloc("dbeta", c.C)}
	if old != nil {
		out.dx = pixels("dx", old)
	}
	pool := par.NewPool(workers)
	defer pool.Close()
	if c.Groups > 0 {
		s := GroupNormShape{c.N, c.HW, c.C, c.Groups}
		scratch := alloc("scratch", s.ScratchLen())
		a := GroupNormArgs{Y: out.y, X: x, Gamma: gamma, Beta: beta, Saved: alloc("saved", s.SavedLen()), Eps: 1e-5}
		d := GroupNormGrads{DY: dy, DX: out.dx, AddDX: old != nil, DGamma: out.dgamma, DBeta: out.dbeta}
		fill(scratch, float32(math.NaN()))
		runPhases(pool, s.Forward(a, scratch))
		fill(scratch, float32(math.NaN()))
		runPhases(pool, s.Backward(d, a, scratch))
	} else {
		s := LayerNormShape{c.N * c.HW, c.C}
		scratch := alloc("scratch", s.ScratchLen())
		a := LayerNormArgs{Y: out.y, X: x, Gamma: gamma, Beta: beta, Eps: 1e-5}
		d := LayerNormGrads{DY: dy, DX: out.dx, AddDX: old != nil, DGamma: out.dgamma, DBeta: out.dbeta}
		fill(scratch, float32(math.NaN()))
		runPhases(pool, slices.Concat(s.Forward(a), s.Backward(d, a, scratch)))
	}
	for name, g := range buffers {
		g.check(t, name)
	}
	return out
}

func (c *normCase) check(t *testing.T, got normRun, old []float64, bound errorBound) {
	t.Helper()
	dx := slices.Clone(c.DX)
	for i := range old {
		dx[i] += old[i]
	}
	compare(t, "y", gathered(t, "y", got.y, c.N*c.HW, c.C), c.Y, bound)
	compare(t, "dx", gathered(t, "dx", got.dx, c.N*c.HW, c.C), dx, bound)
	compare(t, "dgamma", widened(got.dgamma), c.DGamma, bound)
	compare(t, "dbeta", widened(got.dbeta), c.DBeta, bound)
}

// normCases have channels of their own scale and place. The largest have
// several strips a sample, and several ranges of rows.
func normCases() []*normCase {
	var cases []*normCase
	for _, s := range []normCase{
		{N: 1, HW: 1, C: 2}, {N: 3, HW: 4, C: 3}, {N: 5, HW: 27, C: 19}, {N: 2, HW: 700, C: 64},
		{N: 3, HW: 1, C: 6, Groups: 2}, {N: 2, HW: 9, C: 3, Groups: 1}, {N: 2, HW: 9, C: 4, Groups: 4},
		{N: 4, HW: 25, C: 20, Groups: 5}, {N: 3, HW: 49, C: 64, Groups: 32}, {N: 2, HW: 1100, C: 48, Groups: 1}, {N: 2, HW: 1100, C: 48, Groups: 3},
	} {
		c := &s
		r := rand.New(rand.NewPCG(9, uint64(c.N*c.HW*100+c.C)))
		n := c.N * c.HW * c.C
		c.X, c.DY, c.Gamma, c.Beta = randoms(r, n), randoms(r, n), randoms(r, c.C), randoms(r, c.C)
		for i := range c.X {
			c.X[i] = float64(float32(c.X[i] + float64(i%c.C%7)))
		}
		c.solve()
		cases = append(cases, c)
	}
	return cases
}

func TestNormsAgainstReference(t *testing.T) {
	cases := normCases()
	eachVariant(t, func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name(), func(t *testing.T) {
				bound := errorBound{5e-7, 1e-5} // float32 sums over the pixels of a strip
				c.check(t, c.run(t, 2, nil), nil, bound)
				c.check(t, c.run(t, 2, c.DY), c.DY, bound)
			})
		}
	})
}

func TestNormBitsDoNotDependOnWorkers(t *testing.T) {
	cases := normCases()
	eachVariant(t, func(t *testing.T) {
		for _, c := range cases {
			want := c.run(t, 1, nil)
			for _, workers := range []int{2, 5} {
				got := c.run(t, workers, nil)
				if !slices.Equal(got.y, want.y) || !slices.Equal(got.dx, want.dx) || !slices.Equal(got.dgamma, want.dgamma) || !slices.Equal(got.dbeta, want.dbeta) {
					t.Errorf("%s: %d workers give other bits than one", c.name(), workers)
				}
			}
		}
	})
}

func TestNormsEqualPyTorch(t *testing.T) {
	var g struct{ Cases []*normCase }
	goldentest.Read(t, "testdata/norms.json", &g)
	if len(g.Cases) != 4 {
		t.Fatalf("%d cases, want 4", len(g.Cases))
	}
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.Cases {
			t.Run(c.name(), func(t *testing.T) { c.check(t, c.run(t, 2, nil), nil, goldenBound) })
		}
	})
}

func TestNormsAllocateNothing(t *testing.T) {
	pool := par.NewPool(2)
	defer pool.Close()
	g, l := GroupNormShape{2, 16, 32, 4}, LayerNormShape{32, 32}
	act := ActLen(2, 4, 4, 32)
	x, dy, gamma, scratch := Alloc(act), Alloc(act), ones(32), Alloc(max(g.ScratchLen(), l.ScratchLen()))
	groupArgs := GroupNormArgs{Y: Alloc(act), X: x, Gamma: gamma, Beta: Alloc(32), Saved: Alloc(g.SavedLen()), Eps: 1e-5}
	layerArgs := LayerNormArgs{Y: Alloc(act), X: x, Gamma: gamma, Beta: Alloc(32), Eps: 1e-5}
	phases := slices.Concat(
		g.Forward(groupArgs, scratch), g.Backward(GroupNormGrads{DY: dy, DX: dy, DGamma: Alloc(32), DBeta: Alloc(32)}, groupArgs, scratch),
		l.Forward(layerArgs), l.Backward(LayerNormGrads{DY: dy, DX: dy, DGamma: Alloc(32), DBeta: Alloc(32)}, layerArgs, scratch),
	)
	if n := testing.AllocsPerRun(3, func() { runPhases(pool, phases) }); n != 0 {
		t.Errorf("a run allocates %v times, want 0", n)
	}
}
