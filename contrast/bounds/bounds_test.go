package bounds

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"clpipe/internal/goldentest"
)

// centred are n hashed numbers in ±scale/2.
func centred(seed, n int, scale float64) []float64 {
	out := goldentest.Hashed(seed, n)
	for i := range out {
		out[i] = (out[i] - 0.5) * scale
	}
	return out
}

// evaluate returns the bound of a name with its gradients.
func evaluate[T Float](name string, s Scores[T], b []T) (value float64, grad, gradB []T) {
	grad = make([]T, len(s.F))
	switch name {
	case "nce":
		return s.NCE(grad), grad, nil
	case "nwj":
		return s.NWJ(grad), grad, nil
	case "dv":
		return s.DV(grad), grad, nil
	case "dv-average":
		var average DVAverage
		first := Scores[T]{s.K, slices.Clone(s.F)}
		for i := range first.F {
			first.F[i] /= 3
		}
		DVCorrected(first, &average, nil)
		return DVCorrected(s, &average, grad), grad, nil
	case "jsd":
		return s.JSD(grad), grad, nil
	case "tuba":
		gradB = make([]T, s.K)
		return s.TUBA(b, grad, gradB), grad, gradB
	}
	alpha, err := strconv.ParseFloat(strings.TrimPrefix(name, "alpha "), 64)
	if err != nil {
		panic(err)
	}
	gradB = make([]T, s.K)
	return s.Interpolated(alpha, b, grad, gradB), grad, gradB
}

// relative is the largest difference, as a part of the largest number wanted.
func relative(got, want []float64) float64 {
	scale, diff := 1e-300, 0.0
	for i, w := range want {
		scale, diff = max(scale, math.Abs(w)), max(diff, math.Abs(got[i]-w))
	}
	return diff / scale
}

func widened[T Float](x []T) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func narrowed(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// Values and gradients beside PyTorch's autograd in float64, and float32 scores
// as near as their own rounding allows: up to e^20 times 1e-6.
func TestBoundsMatchPyTorch(t *testing.T) {
	var golden struct {
		Cases []struct {
			Bound   string
			K, Seed int
			Scale   float64
			Value   float64
			Grad    []float64
			GradB   []float64 `json:"grad_b"`
		}
	}
	goldentest.Read(t, "testdata/bounds.json", &golden)
	if len(golden.Cases) != 40 {
		t.Fatalf("%d cases, want 40", len(golden.Cases))
	}
	for _, c := range golden.Cases {
		t.Run(fmt.Sprintf("%s/K=%d", c.Bound, c.K), func(t *testing.T) {
			f, b := centred(c.Seed, c.K*c.K, c.Scale), centred(c.Seed+50, c.K, c.Scale)
			value, grad, gradB := evaluate(c.Bound, Scores[float64]{c.K, f}, b)
			if d := relative([]float64{value}, []float64{c.Value}); d > 1e-12 {
				t.Errorf("value %v, want %v", value, c.Value)
			}
			if d := relative(grad, c.Grad); d > 1e-12 {
				t.Errorf("gradient off by %.2g: %v, want %v", d, grad, c.Grad)
			}
			if c.GradB != nil && relative(gradB, c.GradB) > 1e-12 {
				t.Errorf("gradient of the baselines %v, want %v", gradB, c.GradB)
			}
			value, grad32, gradB32 := evaluate(c.Bound, Scores[float32]{c.K, narrowed(f)}, narrowed(b))
			if d := relative([]float64{value}, []float64{c.Value}); d > 5e-6 {
				t.Errorf("float32: value %v, want %v", value, c.Value)
			}
			if d := relative(widened(grad32), c.Grad); d > 5e-6 {
				t.Errorf("float32: gradient off by %.2g", d)
			}
			if c.GradB != nil && relative(widened(gradB32), c.GradB) > 5e-6 {
				t.Errorf("float32: gradient of the baselines off")
			}
		})
	}
}

func TestGradientsAreFiniteDifferences(t *testing.T) {
	const k, h = 6, 1e-5
	for _, name := range []string{"nce", "nwj", "dv", "jsd", "tuba", "alpha 0", "alpha 0.2", "alpha 0.9", "alpha 1"} {
		f, b := centred(7, k*k, 3), centred(8, k, 2)
		_, grad, gradB := evaluate(name, Scores[float64]{k, f}, b)
		check := func(x, want []float64, what string) {
			for i := range want {
				was := x[i]
				x[i] = was + h
				up, _, _ := evaluate(name, Scores[float64]{k, f}, b)
				x[i] = was - h
				down, _, _ := evaluate(name, Scores[float64]{k, f}, b)
				x[i] = was
				if d := (up - down) / (2 * h); math.Abs(d-want[i]) > 1e-9 {
					t.Errorf("%s: d%s[%d] is %v, by differences %v", name, what, i, want[i], d)
				}
			}
		}
		check(f, grad, "f")
		check(b, gradB, "b")
	}
}

// A constant on all scores of a row changes none of these; scores far beyond
// what e^f can hold neither.
func TestLargeScoresStayExact(t *testing.T) {
	const k = 7
	for _, name := range []string{"nce", "dv", "alpha 1"} {
		f := centred(3, k*k, 4)
		want, wantGrad, _ := evaluate(name, Scores[float64]{k, f}, make([]float64, k))
		for _, shift := range []float64{1e4, -1e4} {
			moved := slices.Clone(f)
			for i := range moved {
				moved[i] += shift
			}
			got, grad, _ := evaluate(name, Scores[float64]{k, moved}, make([]float64, k))
			if math.Abs(got-want) > 1e-9 || relative(grad, wantGrad) > 1e-9 {
				t.Errorf("%s: %v with scores moved by %g, want %v", name, got, shift, want)
			}
		}
	}
	for _, name := range []string{"nce", "dv", "jsd", "alpha 0.5", "alpha 1"} {
		value, grad, _ := evaluate(name, Scores[float64]{k, centred(4, k*k, 2e4)}, make([]float64, k))
		for _, v := range append(grad, value) {
			if math.IsNaN(v) {
				t.Errorf("%s: NaN with scores of ±1e4", name)
				break
			}
		}
	}
}

// A perfect critic meets the ceilings: NCE log K, I_α log(K/α) about.
func TestCeilings(t *testing.T) {
	const k = 16
	f := make([]float64, k*k)
	for i := range k {
		f[i*k+i] = 60
	}
	s := Scores[float64]{k, f}
	if got, want := s.NCE(nil), math.Log(k); math.Abs(got-want) > 1e-9 {
		t.Errorf("NCE %v, want log K %v", got, want)
	}
	// The row's positive appears in all M_ij but M_ii: log((K-1)/α) of the K-1 joint terms, less than e of the others.
	for _, alpha := range []float64{0.01, 0.5} {
		b := make([]float64, k)
		if got, high := s.Interpolated(alpha, b, nil, nil), math.Log(k/alpha); got > high+1e-9 || got < high-1.2 {
			t.Errorf("I of alpha %v is %v, want it near log(K/alpha) %v", alpha, got, high)
		}
	}
}

func TestInterpolatedEndsAreTUBAAndLeaveOneOut(t *testing.T) {
	const k = 5
	f, b := centred(11, k*k, 3), centred(12, k, 1)
	s := Scores[float64]{k, f}
	if got, want := s.Interpolated(0, b, nil, nil), s.TUBA(b, nil, nil); math.Abs(got-want) > 1e-12 {
		t.Errorf("alpha 0: %v, want TUBA %v", got, want)
	}
	if got, want := s.TUBA([]float64{1, 1, 1, 1, 1}, nil, nil), s.NWJ(nil); math.Abs(got-want) > 1e-12 {
		t.Errorf("TUBA with baseline 1: %v, want NWJ %v", got, want)
	}
	other := centred(13, k, 1)
	if got, want := s.Interpolated(1, b, nil, nil), s.Interpolated(1, other, nil, nil); got != want {
		t.Errorf("alpha 1 depends on the baseline: %v and %v", got, want)
	}
}

func TestOnePairHasNoNegatives(t *testing.T) {
	one := Scores[float64]{1, []float64{3}}
	if got := one.NCE(nil); got != 0 {
		t.Errorf("NCE of one pair is %v, want 0", got)
	}
	for name, f := range map[string]func(){
		"NWJ": func() { one.NWJ(nil) }, "DV": func() { one.DV(nil) }, "JSD": func() { one.JSD(nil) },
		"TUBA": func() { one.TUBA(nil, nil, nil) }, "interpolated": func() { one.Interpolated(0.5, nil, nil, nil) },
		"length": func() { Scores[float64]{3, make([]float64, 8)}.NCE(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// What InfoNCE leaves of the scores is enough for DV, NWJ and TUBA.
func TestBoundsOfNCE(t *testing.T) {
	for _, scale := range []float64{0.1, 1, 20, 400} {
		const k = 9
		s := Scores[float64]{k, make([]float64, k*k)}
		for i := range s.F {
			s.F[i] = scale * math.Sin(float64(7*i*i))
		}
		var score, loss []float64
		for i := range k {
			sum := 0.0
			for _, f := range s.row(i) {
				sum += math.Exp(f - s.row(i)[i])
			}
			score, loss = append(score, s.row(i)[i]), append(loss, math.Log(sum))
		}
		base := make([]float64, k)
		for i := range base {
			base[i] = logSum(s.row(i), i) - math.Log(k-1)
		}
		got := OfNCE(score, loss, k*(k-1))
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"DV", got.DV, s.DV(nil)}, {"NWJ", got.NWJ, s.NWJ(nil)}, {"TUBA", got.TUBA, s.TUBA(base, nil, nil)}, {"own baseline", s.OwnBaseline(), s.TUBA(base, nil, nil)},
		} {
			if math.Abs(c.got-c.want) > 1e-9*max(1, math.Abs(c.want)) {
				t.Errorf("%s of scores to %v: %v, want %v", c.name, scale, c.got, c.want)
			}
		}
	}
}
