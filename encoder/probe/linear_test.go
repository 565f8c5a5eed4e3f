package probe

import (
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/internal/goldentest"
	"clpipe/internal/par"
)

// The gradient of the objective beside finite differences of it, over more rows
// than a block.
func TestRegressionGradient(t *testing.T) {
	const classes, l2 = 4, 0.1
	f := labelled(40, rowBlock+37, 5, classes, 0.5)
	mean, scale := moments(f)
	pool := par.NewPool(2)
	defer pool.Close()
	r := newRegression(pool, standardised(f, mean, scale), classes, l2)
	w := make([]float64, (f.D+1)*classes)
	for i, u := range goldentest.Hashed(41, len(w)) {
		w[i] = u - 0.5
	}
	grad := make([]float64, len(w))
	if got, want := r.value(grad, w), objective(f, mean, scale, classes, l2, w); math.Abs(got-want) > 1e-6 {
		t.Errorf("objective %v, want %v", got, want)
	}
	for i := range w {
		const h = 1e-5
		at := func(v float64) float64 {
			moved := slices.Clone(w)
			moved[i] = v
			return objective(f, mean, scale, classes, l2, moved)
		}
		if want := (at(w[i]+h) - at(w[i]-h)) / (2 * h); math.Abs(grad[i]-want) > 1e-6 {
			t.Errorf("gradient[%d] is %v, want %v", i, grad[i], want)
		}
	}
}

func TestStandardisedFeatures(t *testing.T) {
	f := labelled(50, 500, 6, 3, 0.5)
	for i := range f.N() {
		f.Data[i*6+5] = 7 // says nothing, and must not become infinite
	}
	mean, scale := moments(f)
	s := standardised(f, mean, scale)
	for j := range f.D {
		var sum, square float64
		for i := range f.N() {
			v := float64(s.Data[i*f.D+j])
			sum, square = sum+v/500, square+v*v/500
		}
		want := 1.0
		if j == 5 {
			want = 0
		}
		if math.Abs(sum) > 1e-5 || math.Abs(square-want) > 1e-3 {
			t.Errorf("dimension %d has mean %v and square %v, want 0 and %v", j, sum, square, want)
		}
	}
}

// Without a penalty Linear tries its grid on held-out rows: the choice depends on
// the seed alone, and noise asks for a strong one.
func TestPenaltyIsChosenOnHeldOutRows(t *testing.T) {
	train, test := labelled(60, 300, 20, 3, 0.4), labelled(70, 100, 20, 3, 0.4)
	first, l2, err := Linear(train, test, LinearConfig{Seed: 1, Workers: 1})
	if err != nil || !slices.Contains(l2Grid, l2) {
		t.Fatalf("penalty %v, %v; want one of %v", l2, err, l2Grid)
	}
	for _, workers := range []int{2, 5} {
		if again, same, err := Linear(train, test, LinearConfig{Seed: 1, Workers: workers}); err != nil || again != first || same != l2 {
			t.Errorf("%d workers: %v at penalty %v, %v; want %v at %v", workers, again, same, err, first, l2)
		}
	}
	fixed, _, err := Linear(train, test, LinearConfig{L2: l2})
	if err != nil || fixed != first {
		t.Errorf("the penalty given: %v, %v; want %v", fixed, err, first)
	}
	noise, few := labelled(80, 60, 40, 2, 0), labelled(90, 60, 40, 2, 0)
	if _, l2, err := Linear(noise, few, LinearConfig{Seed: 2}); err != nil || l2 < 1e-3 {
		t.Errorf("penalty %v for noise, %v; want a strong one", l2, err)
	}
}

// Parts are of a size, in all and of every class, and make up the whole; a class's
// only row is never held out.
func TestPartition(t *testing.T) {
	f := labelled(3, 57, 2, 4, 0.5)
	f.Labels[11] = 4
	part := partition(f.Labels, 5, 5, 9)
	rows, ofClass := make([]int, 5), make([][5]int, 5)
	for row, p := range part {
		if alone := row == 11; alone != (p == -1) {
			t.Fatalf("row %d of class %d is in part %d", row, f.Labels[row], p)
		} else if !alone {
			rows[p]++
			ofClass[f.Labels[row]][p]++
		}
	}
	for _, n := range append(ofClass, [5]int(rows)) {
		if slices.Max(n[:])-slices.Min(n[:]) > 1 {
			t.Errorf("parts of %v rows, want all but the same number", n)
		}
	}
	var got, want [][3]float32
	fit, held := split(f, part, 2)
	if held.N() != rows[2] || fit.N() != 57-rows[2] {
		t.Fatalf("%d rows held out of %d, want %d of 57", held.N(), fit.N()+held.N(), rows[2])
	}
	for _, part := range []*Features{fit, held} {
		for i, label := range part.Labels {
			got = append(got, [3]float32{float32(label), part.Data[2*i], part.Data[2*i+1]})
		}
	}
	for i, label := range f.Labels {
		want = append(want, [3]float32{float32(label), f.Data[2*i], f.Data[2*i+1]})
	}
	order := func(a, b [3]float32) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		t.Error("the parts are not the whole")
	}
	if !slices.Equal(partition(f.Labels, 5, 5, 9), part) {
		t.Error("two partitions of one seed differ")
	}
	if slices.Equal(partition(f.Labels, 5, 5, 10), part) {
		t.Error("partitions of two seeds are equal")
	}
}

// Five rows of fifty are as often right under one penalty as under another; the
// cross-entropy of all of them tells features that carry the labels from noise.
func TestPenaltyOfFewRows(t *testing.T) {
	few := func(seed int, signal float64) *Features { return labelled(seed, 50, 40, 2, signal) }
	for _, c := range []struct {
		signal    float64
		low, high float64
	}{{0, 1, 1}, {4, 0, 0.1}} {
		for seed := range 5 {
			_, l2, err := Linear(few(200+20*seed, c.signal), few(210+20*seed, c.signal), LinearConfig{Seed: uint64(seed)})
			if err != nil || l2 < c.low || l2 > c.high {
				t.Errorf("signal %v, seed %d: penalty %v, %v; want %v to %v", c.signal, seed, l2, err, c.low, c.high)
			}
		}
	}
}

// A feature that is the same in all training rows says nothing, also of a test row
// in which it is another.
func TestConstantFeaturesAreLeftOut(t *testing.T) {
	train, test := labelled(50, 200, 6, 3, 1), labelled(60, 100, 6, 3, 1)
	wide := func(f *Features, last func(i int) float32) *Features {
		out := &Features{Labels: f.Labels, D: f.D + 1}
		for i := range f.N() {
			out.Data = append(append(out.Data, f.Data[i*f.D:(i+1)*f.D]...), last(i))
		}
		return out
	}
	same := func(int) float32 { return 0.3 }
	other := func(i int) float32 { return 0.3 + float32(i%2)*50 }
	linear, _, err := Linear(train, test, LinearConfig{L2: 1e-3})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := Linear(wide(train, same), wide(test, other), LinearConfig{L2: 1e-3}); err != nil || got != linear {
		t.Errorf("linear: %v, %v; want %v as without the feature", got, err, linear)
	}
	cfg := MLPConfig{Seed: 1, Steps: 100}
	mlp, err := MLP(wide(train, same), wide(test, same), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := MLP(wide(train, same), wide(test, other), cfg); err != nil || got != mlp {
		t.Errorf("mlp: %v, %v; want %v as where it stays the same", got, err, mlp)
	}
}

func TestLinearRefuses(t *testing.T) {
	of := func(d int, labels ...int) *Features {
		return &Features{Data: make([]float32, d*len(labels)), Labels: labels, D: d}
	}
	for _, c := range []struct {
		train, test *Features
		want        string
	}{
		{of(2), of(2, 0, 1), "0 training and 2 test rows"},
		{of(2, 0, 1), of(2), "2 training and 0 test rows"},
		{of(2, 0, 0, 0), of(2, 0, 1), "the labels of all 3 training rows are 0, want at least two classes"},
		{of(2, 3, 3), of(2, 3), "the labels of all 2 training rows are 3"},
		{of(2, 0, 1), of(3, 0), "train features have 2 dimensions, test features 3"},
	} {
		if _, _, err := Linear(c.train, c.test, LinearConfig{}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "probe: linear: ") {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	// A class that only the test has is never predicted; one that it lacks is no matter.
	train := &Features{Data: []float32{-1, -2, 1, 2}, Labels: []int{0, 0, 2, 2}, D: 1}
	test := &Features{Data: []float32{-1, 3, 1, 1}, Labels: []int{0, 2, 1, 7}, D: 1}
	if got, _, err := Linear(train, test, LinearConfig{L2: 0.01}); err != nil || got.counted() != score(2, 4) {
		t.Errorf("%v, %v; want two of four", got, err)
	}
	// Of two classes with a row each none can be held out.
	two := &Features{Data: []float32{-1, 1}, Labels: []int{0, 1}, D: 1}
	if _, _, err := Linear(two, test, LinearConfig{}); err != nil {
		t.Error(err)
	}
}
