package probe

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// ranked sorts the whole bank by its similarity to a row, in float64.
func ranked(bank *Features, row []float32) (order []int, similar []float64) {
	norm := func(x []float32) float64 {
		sum := 0.0
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		return math.Sqrt(sum)
	}
	similar = make([]float64, bank.N())
	order = make([]int, bank.N())
	length := norm(row)
	for i := range order {
		order[i] = i
		key := bank.Data[i*bank.D : (i+1)*bank.D]
		for j, v := range key {
			similar[i] += float64(v) * float64(row[j])
		}
		similar[i] /= norm(key) * length
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(similar[b], similar[a]), a-b) })
	return order, similar
}

// voteOf classifies a row by the nearest of the bank.
func voteOf(bank *Features, nearest []int, similar []float64, classes int) int {
	scores := make([]float64, classes)
	for _, i := range nearest {
		scores[bank.Labels[i]] += math.Exp(similar[i] / 0.1)
	}
	best := 0
	for c, s := range scores {
		if s > scores[best] {
			best = c
		}
	}
	return best
}

// Beside a plain sort, over several blocks of bank and test rows. A third of the
// bank repeats earlier rows under other labels, so that ties decide.
func TestKNNIsThePlainSort(t *testing.T) {
	const classes = 5
	bank, test := labelled(20, 2300, 6, classes, 0.3), labelled(30, 270, 6, classes, 0.3)
	for i := range bank.N() / 3 {
		to := bank.N() - 1 - i
		copy(bank.Data[to*bank.D:(to+1)*bank.D], bank.Data[i*bank.D:(i+1)*bank.D])
	}
	for i := range 40 { // test rows that are bank rows, twice there
		copy(test.Data[i*test.D:(i+1)*test.D], bank.Data[7*i*bank.D:])
	}
	ks := []int{1, 7, 200}
	correct := map[int]int{}
	for i, label := range test.Labels {
		order, similar := ranked(bank, test.Data[i*test.D:(i+1)*test.D])
		for _, k := range ks {
			if voteOf(bank, order[:k], similar, classes) == label {
				correct[k]++
			}
		}
	}
	for _, k := range ks {
		for _, workers := range []int{1, 2, 5} {
			if got, want := KNN(bank, test, KNNConfig{K: k, Workers: workers}), score(correct[k], test.N()); got.counted() != want {
				t.Errorf("k %d, %d workers: %v, want %v", k, workers, got, want)
			}
		}
	}
}

func TestKNNDefaults(t *testing.T) {
	bank, test := labelled(1, 250, 4, 3, 0.5), labelled(2, 90, 4, 3, 0.5)
	if got, want := KNN(bank, test, KNNConfig{}), KNN(bank, test, KNNConfig{K: 200, Temperature: 0.1}); got != want {
		t.Errorf("defaults give %v, want %v", got, want)
	}
	few := &Features{Data: bank.Data[:12], Labels: bank.Labels[:3], D: 4}
	if got, want := KNN(few, test, KNNConfig{K: 200}), KNN(few, test, KNNConfig{K: 3}); got != want {
		t.Errorf("200 of 3 rows give %v, want %v", got, want)
	}
}

// Labels that only one side has, and rows of zeros, which are similar to nothing.
func TestKNNOfUnknownClassesAndZeroRows(t *testing.T) {
	bank := &Features{Data: []float32{1, 0, 0, 1}, Labels: []int{1, 4}, D: 2}
	test := &Features{Data: []float32{2, 0.1, 0, 3, 1, 0, 0, 0}, Labels: []int{1, 4, 9, 1}, D: 2}
	// The row of zeros is as near to both: classes 1 and 4 score alike, 1 wins.
	if got, want := KNN(bank, test, KNNConfig{K: 2}), score(3, 4); got.counted() != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// At a temperature at which e^(1/τ) is no float, the nearest row decides.
func TestKNNAtATinyTemperature(t *testing.T) {
	bank, test := labelled(20, 200, 6, 5, 0.3), labelled(30, 50, 6, 5, 0.3)
	if got, want := KNN(bank, test, KNNConfig{K: 20, Temperature: 1e-9}), KNN(bank, test, KNNConfig{K: 1}); got != want {
		t.Errorf("%v, want %v of the nearest row alone", got, want)
	}
}

// Classes are those that occur: labels with gaps, as taxon ids are, cost nothing.
func TestLabelsWithGaps(t *testing.T) {
	train, test := labelled(21, 300, 4, 3, 0.6), labelled(31, 100, 4, 3, 0.6)
	ids := []int{7, 4000, maxClasses - 1}
	far := func(f *Features) *Features {
		out := &Features{Data: f.Data, D: f.D}
		for _, label := range f.Labels {
			out.Labels = append(out.Labels, ids[label])
		}
		return out
	}
	for name, probe := range map[string]func(train, test *Features) (Score, error){
		"kNN": func(train, test *Features) (Score, error) { return KNN(train, test, KNNConfig{K: 20}), nil },
		"linear": func(train, test *Features) (Score, error) {
			s, _, err := Linear(train, test, LinearConfig{})
			return s, err
		},
		"mlp": func(train, test *Features) (Score, error) { return MLP(train, test, MLPConfig{Steps: 20}) },
	} {
		want, err := probe(train, test)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := probe(far(train), far(test)); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v as with labels from 0 on", name, got, err, want)
		}
	}
	few, err := FewRows(far(train).Labels, 0.1, 1, 0)
	if err != nil || len(few) == 0 {
		t.Errorf("%d rows, %v; want a tenth", len(few), err)
	}
}

func TestTopKKeepsTheNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOf(rapid.Map(rapid.IntRange(-3, 3), func(v int) float32 { return float32(v) / 4 })).Draw(t, "similarities")
		k := rapid.IntRange(1, 12).Draw(t, "k")
		var want []neighbour
		var top topK
		top.reset(k)
		for i, s := range all {
			top.offer(s, i)
			want = append(want, neighbour{s, i})
		}
		order := func(a, b neighbour) int {
			return cmp.Or(cmp.Compare(b.similarity, a.similarity), a.index-b.index)
		}
		slices.SortFunc(want, order)
		want = want[:min(k, len(want))]
		got := slices.SortedFunc(slices.Values(top.heap), order)
		if !slices.Equal(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
	})
}
