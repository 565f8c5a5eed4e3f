package contrast

import (
	"math"
	"testing"
)

// The loss and its gradient beside finite differences of the formula in float64.
func TestCrossEntropyGradient(t *testing.T) {
	z := []float32{0.5, -2, 30, 1.25, 29}
	formula := func(z []float64, label int) float64 {
		sum := 0.0
		for _, v := range z {
			sum += math.Exp(v)
		}
		return math.Log(sum) - z[label]
	}
	wide := make([]float64, len(z))
	for i, v := range z {
		wide[i] = float64(v)
	}
	for label, wantAbove := range []int{3, 4, 0, 2, 1} {
		grad := make([]float32, len(z))
		loss, above := crossEntropy(grad, z, label, 0.25)
		if want := formula(wide, label); math.Abs(loss-want) > 1e-12 || above != wantAbove {
			t.Errorf("label %d: loss %v with %d above, want %v with %d", label, loss, above, want, wantAbove)
		}
		for i := range wide {
			const h = 1e-5
			was := wide[i]
			wide[i] = was + h
			up := formula(wide, label)
			wide[i] = was - h
			down := formula(wide, label)
			wide[i] = was
			if want := 0.25 * (up - down) / (2 * h); math.Abs(float64(grad[i])-want) > 1e-7 {
				t.Errorf("label %d: gradient[%d] is %v, want %v", label, i, grad[i], want)
			}
		}
	}
	grad := make([]float32, 2)
	if loss, _ := crossEntropy(grad, []float32{1e4, -1e4}, 1, 1); loss != 2e4 || grad[0] != 1 || grad[1] != -1 {
		t.Errorf("large logits: loss %v, gradient %v, want 20000 and [1 -1]", loss, grad)
	}
}

func TestEntropyOfLabels(t *testing.T) {
	for _, c := range []struct {
		labels []int32
		want   float64
	}{{[]int32{2, 2, 2}, 0}, {[]int32{0, 3, 0, 3}, math.Ln2}, {[]int32{1, 0, 0, 0}, 2*math.Ln2 - 0.75*math.Log(3)}} {
		if got := entropyOf(c.labels, 4); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("the entropy of %v is %v, want %v", c.labels, got, c.want)
		}
	}
}
