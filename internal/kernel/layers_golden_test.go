package kernel

import (
	"fmt"
	"slices"
	"testing"

	"clpipe/internal/goldentest"
	"clpipe/internal/par"
)

// golden is testdata/layers.json: see layers.py.
type golden struct {
	BatchNorm []struct {
		N, HW, C, Groups       int
		X, Residual, DY        []float64
		Gamma, Beta, Mean, Var []float64
		Y, DX, DResidual       []float64
		DGamma, DBeta          []float64
		NewMean, NewVar        []float64
	}
	MaxPool struct {
		N, H, W, C   int
		X, Y, DY, DX []float64
	}
	InfoNCE []struct {
		N, D, K               int
		Temperature           float32
		Query, Positive, Keys []float64
		Loss, Entropy         []float64
		Above                 []int32
		DUnit, DQuery         []float64
	}
	NTXent []struct {
		N, D        int
		Temperature float32
		Z, Loss, DZ []float64
	}
	SGD []struct {
		Settings struct {
			LR, Momentum, Dampening float32
			WeightDecay             float32 `json:"weight_decay"`
			Nesterov                bool
		}
		P        []float64
		G, After [][]float64
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	var g golden
	goldentest.Read(t, "testdata/layers.json", &g)
	return g
}

// goldenBound is a few roundings, for results of a few operations.
var goldenBound = errorBound{3e-7, 3e-6}

func activation(pixels []float64, c int) []float32 {
	act := Alloc(ActLen(1, 1, len(pixels)/c, c))
	spread(act, pixels, c)
	return act
}

func TestBatchNormEqualsPyTorch(t *testing.T) {
	g := readGolden(t)
	pool := par.NewPool(2)
	defer pool.Close()
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.BatchNorm {
			s := BatchNormShape{c.N, c.HW, c.C, c.Groups}
			act := ActLen(1, c.N, c.HW, c.C)
			a := BatchNormArgs{
				Y: Alloc(act), X: activation(c.X, c.C), Residual: activation(c.Residual, c.C), ReLU: true,
				Gamma: narrowed(c.Gamma), Beta: narrowed(c.Beta), RunningMean: narrowed(c.Mean), RunningVar: narrowed(c.Var),
				Saved: Alloc(s.SavedLen()), Eps: 1e-5, Momentum: 0.1,
			}
			if c.Groups > 1 {
				for i := range c.N {
					a.Group = append(a.Group, int32(i%c.Groups))
				}
			}
			d := BatchNormGrads{
				DY: activation(c.DY, c.C), DX: Alloc(act), DResidual: Alloc(act), DGamma: Alloc(c.C), DBeta: Alloc(c.C),
			}
			scratch := Alloc(s.ScratchLen())
			runPhases(pool, slices.Concat(s.Forward(a, scratch), s.Backward(d, a, scratch)))
			name := fmt.Sprintf("groups=%d: ", c.Groups)
			compare(t, name+"y", gathered(t, "y", a.Y, c.N*c.HW, c.C), c.Y, goldenBound)
			compare(t, name+"dx", gathered(t, "dx", d.DX, c.N*c.HW, c.C), c.DX, goldenBound)
			compare(t, name+"dresidual", gathered(t, "dresidual", d.DResidual, c.N*c.HW, c.C), c.DResidual, goldenBound)
			compare(t, name+"dgamma", widened(d.DGamma), c.DGamma, goldenBound)
			compare(t, name+"dbeta", widened(d.DBeta), c.DBeta, goldenBound)
			compare(t, name+"running mean", widened(a.RunningMean), c.NewMean, goldenBound)
			compare(t, name+"running var", widened(a.RunningVar), c.NewVar, goldenBound)
		}
	})
}

func TestMaxPoolEqualsPyTorch(t *testing.T) {
	c := readGolden(t).MaxPool
	s := MaxPoolShape{N: c.N, H: c.H, W: c.W, C: c.C, Kernel: 3, Stride: 2, Pad: 1}
	y, dx := Alloc(ActLen(c.N, s.OutH(), s.OutW(), c.C)), Alloc(ActLen(c.N, c.H, c.W, c.C))
	arg := make([]uint8, len(y))
	pool := par.NewPool(2)
	defer pool.Close()
	runPhases(pool, slices.Concat(s.Forward(y, activation(c.X, c.C), arg), s.Backward(dx, activation(c.DY, c.C), arg, false)))
	compare(t, "y", gathered(t, "y", y, c.N*s.OutH()*s.OutW(), c.C), c.Y, errorBound{1e-11, 1e-11})
	compare(t, "dx", gathered(t, "dx", dx, c.N*c.H*c.W, c.C), c.DX, goldenBound)
}

// From the projection's output to the loss and back.
func TestInfoNCEEqualsPyTorch(t *testing.T) {
	g := readGolden(t)
	pool := par.NewPool(2)
	defer pool.Close()
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.InfoNCE {
			norm := L2NormShape{c.N, c.D}
			query, inv, du := Alloc(c.N*c.D), Alloc(c.N), Alloc(c.N*PadC(c.D))
			a := &InfoNCEArgs{
				Query: query, Positive: narrowed(c.Positive), Keys: narrowed(c.Keys), Valid: c.K,
				Temperature: c.Temperature, GradScale: 1 / float32(c.N),
				Loss: Alloc(c.N), Entropy: Alloc(c.N), Above: make([]int32, c.N), Masked: make([]int32, c.N), DQuery: Alloc(c.N * c.D),
			}
			x := NewInfoNCE(InfoNCEShape{c.N, c.D, c.K}, 2)
			runPhases(pool, slices.Concat(
				norm.Forward(query, activation(c.Query, c.D), inv),
				x.Bind(a, Alloc(x.ScratchLen())),
				norm.Backward(du, a.DQuery, query, inv),
			))
			// The last bit of a cosine, 2^-24, is magnified by 1/τ.
			last := 0x1p-24 / float64(c.Temperature)
			bound := errorBound{goldenBound.mean + last, goldenBound.max + 4*last}
			name := fmt.Sprintf("tau=%g: ", c.Temperature)
			compare(t, name+"loss", widened(a.Loss), c.Loss, bound)
			compare(t, name+"entropy", widened(a.Entropy), c.Entropy, bound)
			compare(t, name+"gradient of the unit vector", widened(a.DQuery), c.DUnit, bound)
			compare(t, name+"gradient", gathered(t, "du", append(du, make([]float32, PadC(c.D))...), c.N, c.D), c.DQuery, bound)
			if !slices.Equal(a.Above, c.Above) {
				t.Errorf("%sabove: got %d, want %d", name, a.Above, c.Above)
			}
		}
	})
}

// Rows are queries and keys at once, so that they get both gradients.
func TestNTXentEqualsPyTorch(t *testing.T) {
	g := readGolden(t)
	pool := par.NewPool(2)
	defer pool.Close()
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.NTXent {
			z, dz, dkeys := narrowed(c.Z), Alloc(c.N*c.D), Alloc(c.N*c.D)
			a := &InfoNCEArgs{
				Query: z, Keys: z, Valid: c.N, Temperature: c.Temperature, GradScale: 1 / float32(c.N),
				Loss: Alloc(c.N), Entropy: Alloc(c.N), Above: make([]int32, c.N), Masked: make([]int32, c.N), DQuery: dz, DKeys: dkeys,
			}
			for i := range c.N {
				a.PositiveRow = append(a.PositiveRow, int32((i+c.N/2)%c.N))
				a.SelfRow = append(a.SelfRow, int32(i))
			}
			x := NewInfoNCE(InfoNCEShape{c.N, c.D, c.N}, 2)
			runPhases(pool, slices.Concat(x.Bind(a, Alloc(x.ScratchLen())), Add(dz, dkeys)))
			last := 0x1p-24 / float64(c.Temperature)
			bound := errorBound{goldenBound.mean + last, goldenBound.max + 4*last}
			compare(t, fmt.Sprintf("tau=%g: loss", c.Temperature), widened(a.Loss), c.Loss, bound)
			compare(t, fmt.Sprintf("tau=%g: gradient", c.Temperature), widened(dz), c.DZ, bound)
		}
	})
}

func TestSGDEqualsPyTorch(t *testing.T) {
	g := readGolden(t)
	pool := par.NewPool(2)
	defer pool.Close()
	eachVariant(t, func(t *testing.T) {
		for _, c := range g.SGD {
			p, buf, grad := narrowed(c.P), Alloc(len(c.P)), Alloc(len(c.P))
			a := &SGDArgs{
				LR: c.Settings.LR, Momentum: c.Settings.Momentum, Dampening: c.Settings.Dampening,
				WeightDecay: c.Settings.WeightDecay, Nesterov: c.Settings.Nesterov,
			}
			phases := SGD(p, grad, buf, a)
			for step := range c.G {
				a.First = step == 0
				copy(grad, narrowed(c.G[step]))
				runPhases(pool, phases)
				compare(t, fmt.Sprintf("%+v, step %d", c.Settings, step), widened(p), c.After[step], errorBound{1e-7, 1e-6})
			}
		}
	})
}
