package batch_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

func fixedState() batch.State {
	return batch.State{Tensors: map[string]*tensor.Dense{
		"b.weight":     batch.NewTensor([]float32{0, 1, -1, 0.5, float32(math.Inf(1)), 1e-45}, 2, 3),
		"a.weight":     batch.NewTensor([]float64{math.Pi, 0}, 2),
		"bn.batches":   batch.NewTensor([]int64{-7}),
		"queue.ids":    batch.NewTensor([]uint64{1, math.MaxUint64}, 2),
		"queue.epochs": batch.NewTensor([]uint32{3, 4, 5, 6}, 2, 1, 2),
		"pixels":       batch.NewTensor([]uint8{1, 2, 255}, 3),
		"steps":        batch.NewTensor([]int32{math.MinInt32}, 1),
	}}
}

// TestDigestIsStable holds the digest to the value that recorded runs carry.
// It was computed by testdata/digest.py, from the definition.
func TestDigestIsStable(t *testing.T) {
	const want = "ef361684e88fd1d4e0c55a44ca5899d5913b970a4c5825f9636dae60299b337c"
	if got := fixedState().Digest(); got != want {
		t.Errorf("digest is %s, want %s", got, want)
	}
	if got, want := (batch.State{}).Digest(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; got != want {
		t.Errorf("digest of nothing is %s, want SHA-256 of no bytes, %s", got, want)
	}
}

// TestDigestSeesEverything changes one thing at a time.
func TestDigestSeesEverything(t *testing.T) {
	seen := map[string]string{fixedState().Digest(): "nothing"}
	for what, change := range map[string]func(m map[string]*tensor.Dense){
		"a bit": func(m map[string]*tensor.Dense) { m["pixels"].Raw[0] ^= 1 },
		"a sign": func(m map[string]*tensor.Dense) {
			m["a.weight"] = batch.NewTensor([]float64{math.Pi, math.Copysign(0, -1)}, 2)
		},
		"a shape":   func(m map[string]*tensor.Dense) { m["pixels"] = batch.NewTensor([]uint8{1, 2, 255}, 1, 3) },
		"a type":    func(m map[string]*tensor.Dense) { m["steps"] = batch.NewTensor([]uint32{1 << 31}, 1) },
		"a name":    func(m map[string]*tensor.Dense) { m["stepz"] = m["steps"]; delete(m, "steps") },
		"one less":  func(m map[string]*tensor.Dense) { delete(m, "steps") },
		"two names": func(m map[string]*tensor.Dense) { m["steps"], m["bn.batches"] = m["bn.batches"], m["steps"] },
	} {
		s := fixedState()
		change(s.Tensors)
		if other, ok := seen[s.Digest()]; ok {
			t.Errorf("changing %s gives the digest of changing %s", what, other)
		}
		seen[s.Digest()] = what
	}
}

func roundTrip[T batch.Number](t *rapid.T, draw *rapid.Generator[T]) {
	shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := rapid.SliceOfN(draw, n, n).Draw(t, "data")
	d := batch.NewTensor(data, shape...)
	if !slices.Equal([]int(d.Shape()), shape) {
		t.Fatalf("shape %v, want %v", d.Shape(), shape)
	}
	got, err := batch.Values[T](d, shape...)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, data) {
		t.Fatalf("values %v, want %v", got, data)
	}
	if n > 0 && len(shape) > 0 {
		if got[0] = 42; data[0] != 42 {
			t.Fatal("the tensor is a copy")
		}
	}
}

func TestTensorsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, rapid.Float32())
		roundTrip(t, rapid.Float64())
		roundTrip(t, rapid.Int32())
		roundTrip(t, rapid.Int64())
		roundTrip(t, rapid.Uint8())
		roundTrip(t, rapid.Uint32())
		roundTrip(t, rapid.Uint64())
	})
}

func TestValuesSayWhatIsWrong(t *testing.T) {
	d := batch.NewTensor([]float32{1, 2, 3, 4}, 2, 2)
	if _, err := batch.Values[float64](d); err == nil || err.Error() != "batch: tensor holds float32, want float64" {
		t.Errorf("another type: got error %v", err)
	}
	if _, err := batch.Values[float32](d, 4); err == nil || !strings.Contains(err.Error(), "shape (2, 2), want [4]") {
		t.Errorf("another shape: got error %v", err)
	}
}

func TestStatesNest(t *testing.T) {
	var s batch.State
	s.Add("encoder_q.", fixedState())
	s.Add("encoder_k.", fixedState())
	if n := len(s.Tensors); n != 14 {
		t.Errorf("%d tensors, want 14", n)
	}
	if got, want := s.Under("encoder_k.").Digest(), fixedState().Digest(); got != want {
		t.Errorf("what was added under a prefix comes back with digest %s, want %s", got, want)
	}
	if n := len(s.Under("encoder").Tensors); n != 14 {
		t.Errorf("%d tensors under a shorter prefix, want 14", n)
	}
}
