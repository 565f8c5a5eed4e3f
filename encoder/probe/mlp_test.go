package probe

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/internal/goldentest"
	"clpipe/internal/par"
)

// Twenty steps beside PyTorch's in float64 (testdata/mlp.py): losses, weights
// and the rows classified correctly.
func TestMLPMatchesPyTorch(t *testing.T) {
	var golden struct {
		Cases []struct {
			Seed, Train, Test, Dim, Classes, Hidden, Batch, Steps, Correct int
			Dropout, LR                                                    float64
			Losses, Weights                                                []float64
		}
	}
	goldentest.Read(t, "testdata/mlp.json", &golden)
	for _, c := range golden.Cases {
		t.Run(fmt.Sprintf("%dx%d", c.Train, c.Dim), func(t *testing.T) {
			train := labelled(c.Seed, c.Train, c.Dim, c.Classes, 0.5)
			test := labelled(c.Seed+10, c.Test, c.Dim, c.Classes, 0.5)
			cfg := MLPConfig{Seed: uint64(c.Seed), Hidden: c.Hidden, Batch: c.Batch, Steps: c.Steps, Dropout: c.Dropout, LR: c.LR}
			for _, workers := range []int{1, 3} {
				pool := par.NewPool(workers)
				mean, scale := moments(train)
				m := newPerceptron(pool, c.Dim, c.Classes, cfg)
				for i, loss := range m.train(standardised(train, mean, scale)) {
					if math.Abs(loss-c.Losses[i]) > 2e-5 {
						t.Errorf("%d workers: loss of step %d is %.7f, want %.7f", workers, i, loss, c.Losses[i])
					}
				}
				for i, w := range m.slab {
					if math.Abs(float64(w)-c.Weights[i]) > 5e-5 {
						t.Fatalf("%d workers: weight %d is %.7f, want %.7f", workers, i, w, c.Weights[i])
					}
				}
				pool.Close()
				cfg.Workers = workers
				if got, err := MLP(train, test, cfg); err != nil || got.counted() != score(c.Correct, c.Test) {
					t.Errorf("%d workers: %v, %v; want %v", workers, got, err, score(c.Correct, c.Test))
				}
			}
		})
	}
}

// An exclusive or has no linear solution; the hidden layer finds one.
func TestMLPLearnsWhatALinearProbeCannot(t *testing.T) {
	xor := func(seed, n int) *Features {
		f := &Features{D: 2}
		for i, u := range goldentest.Hashed(seed, 2*n) {
			f.Data = append(f.Data, float32(u-0.5))
			if i%2 == 1 {
				label := 0
				if (f.Data[i] > 0) != (f.Data[i-1] > 0) {
					label = 1
				}
				f.Labels = append(f.Labels, label)
			}
		}
		return f
	}
	train, test := xor(21, 1000), xor(22, 500)
	linear, _, err := Linear(train, test, LinearConfig{L2: 1e-3})
	if err != nil || linear.Top1 > 0.65 {
		t.Fatalf("linear: %v, %v; want about half", linear, err)
	}
	if mlp, err := MLP(train, test, MLPConfig{Seed: 1, LR: 1e-2}); err != nil || mlp.Top1 < 0.9 {
		t.Errorf("MLP: %v, %v; want above 0.9", mlp, err)
	}
}

func TestMLPRefuses(t *testing.T) {
	same := &Features{Data: make([]float32, 4), Labels: []int{1, 1}, D: 2}
	if _, err := MLP(same, same, MLPConfig{}); err == nil || !strings.HasPrefix(err.Error(), "probe: mlp: ") {
		t.Errorf("error %v", err)
	}
}

func TestFewLabelsAreAsManyOfEveryClass(t *testing.T) {
	for _, c := range []struct {
		classes []int // rows of each
		share   float64
		want    []int
	}{
		{[]int{1300, 732, 1000}, 0.1, []int{101, 101, 101}},
		{[]int{1300, 732, 1000}, 0.01, []int{10, 10, 10}},
		{[]int{50, 50, 50, 50}, 0.05, []int{2, 2, 3, 3}}, // of equal classes the last
		{[]int{80, 50, 60}, 0.1, []int{7, 6, 6}},
		{[]int{500, 4, 496}, 0.1, []int{48, 4, 48}}, // all there are
		{[]int{500, 4, 496}, 0.9, []int{448, 4, 448}},
		{[]int{500, 4, 496}, 1e-6, []int{1, 1, 1}},
		{[]int{10}, 0.25, []int{3}},
	} {
		var labels []int
		for class, n := range c.classes {
			labels = append(labels, slices.Repeat([]int{class}, n)...)
		}
		rows, err := FewRows(labels, c.share, 7, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int, len(c.classes))
		for _, i := range rows {
			got[labels[i]]++
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%g of classes of %d rows: got %d, want %d", c.share, c.classes, got, c.want)
		}
		n := len(rows)
		slices.Sort(rows)
		if different := len(slices.Compact(rows)); different != n {
			t.Errorf("%g of classes of %d rows: only %d of %d rows are different", c.share, c.classes, different, n)
		}
	}
}

func TestFewLabelsAreDrawn(t *testing.T) {
	f := labelled(31, 1000, 2, 4, 0.5)
	some, err := FewLabels(f, 0.1, 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := FewLabels(f, 0.1, 7, 0); !slices.Equal(again.Data, some.Data) {
		t.Error("the same names draw other rows")
	}
	for name, draw := range map[string]func() (*Features, error){
		"number": func() (*Features, error) { return FewLabels(f, 0.1, 7, 1) },
		"seed":   func() (*Features, error) { return FewLabels(f, 0.1, 8, 0) },
	} {
		if other, _ := draw(); slices.Equal(other.Data, some.Data) {
			t.Errorf("another %s draws the same rows", name)
		}
	}
	if few, err := FewLabels(f, 1e-6, 1, 0); err != nil || few.N() != 4 {
		t.Errorf("%d rows of a tiny share, %v; want one of each class", few.N(), err)
	}
	if all, err := FewLabels(f, 1, 1, 0); err != nil || all != f {
		t.Errorf("all labels are not the rows themselves: %v", err)
	}
	for _, share := range []float64{0, -0.1, 1.1, math.NaN()} {
		if _, err := FewLabels(f, share, 1, 0); err == nil {
			t.Errorf("share %v: no error", share)
		}
	}
}

func TestMeanStd(t *testing.T) {
	if mean, std := MeanStd([]float64{1, 2, 6}); mean != 3 || math.Abs(std-math.Sqrt(7)) > 1e-12 {
		t.Errorf("%v ± %v, want 3 ± √7", mean, std)
	}
	if mean, std := MeanStd([]float64{5}); mean != 5 || std != 0 {
		t.Errorf("%v ± %v, want 5 ± 0", mean, std)
	}
}
