package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"clpipe/internal/par"
)

// bnCase is a batch normalisation with its inputs.
type bnCase struct {
	shape          BatchNormShape
	relu, residual bool
	add            bool    // add to dx and dres
	offset         float64 // mean of x, its deviation being about 1
}

func (c bnCase) name() string {
	return fmt.Sprintf("%+v/relu=%t/residual=%t/add=%t/offset=%g", c.shape, c.relu, c.residual, c.add, c.offset)
}

// bnRun is a case carried out: buffers as the kernel left them.
type bnRun struct {
	y, dx, dres, dgamma, dbeta, mean, variance []float32
}

// bnInputs are the numbers of a case, unpadded.
type bnInputs struct {
	x, residual, dy, gamma, beta, mean, variance []float64
	oldDX, oldDRes                               []float64
	group                                        []int32
}

func (c bnCase) inputs() bnInputs {
	s := c.shape
	r := rand.New(rand.NewPCG(7, uint64(s.N*s.HW*100+s.C)))
	n := s.N * s.HW * s.C
	in := bnInputs{
		x: randoms(r, n), dy: randoms(r, n), gamma: randoms(r, s.C), beta: randoms(r, s.C),
		mean: randoms(r, s.C), variance: randoms(r, s.C), oldDX: randoms(r, n), oldDRes: randoms(r, n),
	}
	for i := range in.x {
		in.x[i] = float64(float32(in.x[i] + c.offset*float64(i%s.C+1)))
	}
	for i := range in.variance {
		in.variance[i] = math.Abs(in.variance[i])
	}
	if c.residual {
		in.residual = randoms(r, n)
	}
	if s.Groups > 1 {
		in.group = make([]int32, s.N)
		for i, g := range r.Perm(s.N) {
			in.group[i] = int32(g % s.Groups)
		}
	}
	return in
}

func (c bnCase) run(t *testing.T, in bnInputs, workers int) bnRun {
	t.Helper()
	s := c.shape
	pool := par.NewPool(workers)
	defer pool.Close()
	act := ActLen(1, s.N, s.HW, s.C)
	buffers := map[string]guarded{}
	alloc := func(name string, n int) []float32 {
		buffers[name] = newGuarded(n)
		return buffers[name].buf
	}
	pixels := func(name string, v []float64) []float32 {
		buf := alloc(name, act)
		spread(buf, v, s.C)
		return buf
	}
	out := bnRun{
		y:      alloc("y", act),
		dgamma: alloc("dgamma", s.C), dbeta: alloc("dbeta", s.C),
		mean: narrowed(in.mean), variance: narrowed(in.variance),
	}
	scratch := alloc("scratch", s.ScratchLen())
	fill(scratch, float32(math.NaN()))
	a := BatchNormArgs{
		Y: out.y, X: pixels("x", in.x), ReLU: c.relu,
		Gamma: narrowed(in.gamma), Beta: narrowed(in.beta), RunningMean: out.mean, RunningVar: out.variance,
		Group: in.group, Saved: alloc("saved", s.SavedLen()), Eps: 1e-5, Momentum: 0.1,
	}
	dy := pixels("dy", in.dy)
	d := BatchNormGrads{DY: dy, DX: dy, DGamma: out.dgamma, DBeta: out.dbeta} // in place where it may be
	if c.add {
		d.DX, d.AddDX = pixels("dx", in.oldDX), true
	}
	if c.residual {
		a.Residual = pixels("residual", in.residual)
		if c.add {
			d.DResidual, d.AddDResidual = pixels("dres", in.oldDRes), true
		} else {
			d.DResidual = alloc("dres", act)
			fill(d.DResidual[:act-PadC(s.C)], 7)
		}
	}
	out.dx, out.dres = d.DX, d.DResidual
	runPhases(pool, s.Forward(a, scratch))
	fill(scratch, float32(math.NaN()))
	runPhases(pool, s.Backward(d, a, scratch))
	for name, g := range buffers {
		g.check(t, name)
	}
	return out
}

func (c bnCase) check(t *testing.T, in bnInputs, got bnRun) {
	t.Helper()
	s := c.shape
	want := batchNormRef(s, in.x, in.residual, in.dy, in.gamma, in.beta, in.mean, in.variance, in.group, c.relu, 1e-5, float64(float32(0.1)))
	if c.add {
		for i := range want.dx {
			want.dx[i] += in.oldDX[i]
			want.dres[i] += in.oldDRes[i]
		}
	}
	bound := errorBound{3e-7, 5e-6}
	n := s.N * s.HW
	compare(t, "y", gathered(t, "y", got.y, n, s.C), want.y, bound)
	compare(t, "dx", gathered(t, "dx", got.dx, n, s.C), want.dx, bound)
	if c.residual {
		compare(t, "dres", gathered(t, "dres", got.dres, n, s.C), want.dres, bound)
	}
	// A float32 sum over n terms of either sign is off by about 2^-25·√n of
	// its own size; n is a strip here.
	sum := math.Ldexp(math.Sqrt(stripFloats/float64(PadC(s.C))), -25)
	compare(t, "dgamma", widened(got.dgamma), want.dgamma, errorBound{sum, 10 * sum})
	compare(t, "dbeta", widened(got.dbeta), want.dbeta, errorBound{sum, 10 * sum})
	compare(t, "running mean", widened(got.mean), want.runningMean, errorBound{1e-6, 1e-6})
	compare(t, "running var", widened(got.variance), want.runningVar, errorBound{1e-6, 1e-6})
}

func widened(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func bnCases() []bnCase {
	var cases []bnCase
	for _, s := range []BatchNormShape{
		{5, 1, 1, 1}, {3, 4, 3, 1}, {2, 81, 5, 1}, {4, 49, 16, 1}, {3, 35, 19, 1}, {2, 700, 64, 1}, {9, 1, 130, 1},
		{8, 9, 16, 2}, {9, 4, 5, 2}, {12, 1, 40, 3}, {16, 16, 64, 8}, {2, 700, 48, 2},
	} {
		for i := range 8 {
			cases = append(cases, bnCase{shape: s, relu: i&1 != 0, residual: i&2 != 0, add: i&4 != 0})
		}
		cases = append(cases, bnCase{shape: s, relu: true, offset: 30})
	}
	return cases
}

func TestBatchNormAgainstReference(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, c := range bnCases() {
			t.Run(c.name(), func(t *testing.T) {
				in := c.inputs()
				c.check(t, in, c.run(t, in, 2))
			})
		}
	})
}

func TestBatchNormBitsDoNotDependOnWorkers(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, c := range bnCases() {
			in := c.inputs()
			one := c.run(t, in, 1)
			for _, workers := range []int{2, 5} {
				got := c.run(t, in, workers)
				if !slices.Equal(one.y, got.y) || !slices.Equal(one.dx, got.dx) || !slices.Equal(one.dres, got.dres) ||
					!slices.Equal(one.dgamma, got.dgamma) || !slices.Equal(one.mean, got.mean) || !slices.Equal(one.variance, got.variance) {
					t.Errorf("%s: %d workers differ from one", c.name(), workers)
				}
			}
		}
	})
}

// A mean far from zero must not eat the variance: with values 10000 ± 1, which
// float32 holds exactly, it is 1.
func TestBatchNormKeepsSmallVarianceOfLargeMean(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := BatchNormShape{N: 64, HW: 64, C: 16, Groups: 1}
		x := Alloc(ActLen(1, s.N, s.HW, s.C))
		for i := range s.N * s.HW * s.C {
			x[i] = 10001
			if i/s.C%2 == 0 {
				x[i] = 9999
			}
		}
		a := BatchNormArgs{
			Y: Alloc(len(x)), X: x, Gamma: ones(s.C), Beta: Alloc(s.C), RunningMean: Alloc(s.C), RunningVar: Alloc(s.C),
			Saved: Alloc(s.SavedLen()), Momentum: 1,
		}
		pool := par.NewPool(1)
		defer pool.Close()
		runPhases(pool, s.Forward(a, Alloc(s.ScratchLen())))
		n := float64(s.N * s.HW)
		for c := range s.C {
			if a.RunningMean[c] != 10000 || a.RunningVar[c] != float32(n/(n-1)) {
				t.Fatalf("channel %d: got mean %v, variance %v, want 10000, %v", c, a.RunningMean[c], a.RunningVar[c], n/(n-1))
			}
		}
		if a.Y[0] != -1 || a.Y[s.C] != 1 {
			t.Errorf("got y %v, %v, want -1, 1", a.Y[0], a.Y[s.C])
		}
	})
}

// A group to which no sample was dealt takes part in the running statistics
// with its unmoved copy.
func TestBatchNormEmptyGroupKeepsStatistics(t *testing.T) {
	s := BatchNormShape{N: 4, HW: 1, C: 1, Groups: 2}
	x := Alloc(ActLen(1, 4, 1, 1))
	for i, v := range []float32{1, 3, 1, 3} {
		x[i*4] = v
	}
	a := BatchNormArgs{
		Y: Alloc(len(x)), X: x, Gamma: ones(1), Beta: Alloc(1), RunningMean: []float32{6}, RunningVar: []float32{7},
		Group: []int32{1, 1, 1, 1}, Saved: Alloc(s.SavedLen()), Momentum: 0.5,
	}
	dy := slices.Clone(x)
	grads := BatchNormGrads{DY: dy, DX: Alloc(len(x)), DGamma: Alloc(1), DBeta: Alloc(1)}
	pool := par.NewPool(1)
	defer pool.Close()
	scratch := Alloc(s.ScratchLen())
	fill(scratch, float32(math.NaN()))
	runPhases(pool, slices.Concat(s.Forward(a, scratch), s.Backward(grads, a, scratch)))
	// Mean 2, unbiased variance 4/3; group 1 moves to 4 and 25/6, group 0 stays.
	if got, want := a.RunningMean[0], float32(5); got != want {
		t.Errorf("running mean: got %v, want %v", got, want)
	}
	if got, want := a.RunningVar[0], float32((7+25./6)/2); got != want {
		t.Errorf("running variance: got %v, want %v", got, want)
	}
	if a.Y[0] != -1 || a.Y[4] != 1 || grads.DBeta[0] != 8 || grads.DGamma[0] != 4 || grads.DX[0] != 0 {
		t.Errorf("got y %v, %v, dbeta %v, dgamma %v, dx %v, want -1, 1, 8, 4, 0",
			a.Y[0], a.Y[4], grads.DBeta[0], grads.DGamma[0], grads.DX[0])
	}
}

func ones(n int) []float32 {
	v := Alloc(n)
	fill(v, 1)
	return v
}

func TestBatchNormEvalUsesRunningStatistics(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, c := range bnCases() {
			if c.add || c.offset != 0 {
				continue
			}
			s, in := c.shape, c.inputs()
			act := ActLen(1, s.N, s.HW, s.C)
			x, y := Alloc(act), Alloc(act)
			spread(x, in.x, s.C)
			a := BatchNormArgs{
				Y: y, X: x, ReLU: c.relu, Gamma: narrowed(in.gamma), Beta: narrowed(in.beta),
				RunningMean: narrowed(in.mean), RunningVar: narrowed(in.variance), Eps: 1e-5,
			}
			if c.residual {
				a.Residual = Alloc(act)
				spread(a.Residual, in.residual, s.C)
			}
			pool := par.NewPool(2)
			runPhases(pool, s.ForwardEval(a, Alloc(s.ScratchLen())))
			pool.Close()
			want := make([]float64, len(in.x))
			for i, v := range in.x {
				j := i % s.C
				want[i] = (v-in.mean[j])/math.Sqrt(in.variance[j]+1e-5)*in.gamma[j] + in.beta[j]
				if c.residual {
					want[i] += in.residual[i]
				}
				if c.relu {
					want[i] = max(want[i], 0)
				}
			}
			compare(t, c.name(), gathered(t, "y", y, s.N*s.HW, s.C), want, errorBound{3e-7, 5e-6})
			if !slices.Equal(a.RunningMean, narrowed(in.mean)) {
				t.Errorf("%s: evaluation moved the running mean", c.name())
			}
		}
	})
}

// A NaN must reach the output rather than vanish in the ReLU.
func TestBatchNormKeepsNaN(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := BatchNormShape{N: 1, HW: 3, C: 16, Groups: 1}
		x := Alloc(ActLen(1, 1, 3, 16))
		x[17] = float32(math.NaN())
		a := BatchNormArgs{Y: Alloc(len(x)), X: x, ReLU: true, Gamma: ones(16), Beta: ones(16), RunningMean: Alloc(16), RunningVar: ones(16), Eps: 1e-5}
		pool := par.NewPool(1)
		defer pool.Close()
		runPhases(pool, s.ForwardEval(a, Alloc(s.ScratchLen())))
		if a.Y[17] == a.Y[17] || a.Y[16] != 1 || a.Y[1] != 1 {
			t.Errorf("got %v beside %v and %v, want NaN beside 1", a.Y[17], a.Y[16], a.Y[1])
		}
	})
}
