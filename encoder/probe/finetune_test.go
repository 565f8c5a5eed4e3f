package probe

import (
	"context"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/goldentest"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// shades is a stream of records of n images of two classes, dark on the left or
// on the right, with one row in five that has no label.
type shades struct {
	schema     *arrow.Schema
	mem        memory.Allocator
	n, records int
}

const shadeSide = 8

func newShades(mem memory.Allocator, n, records int) *shades {
	return &shades{batch.PairsSchema(nil, 1, shadeSide, shadeSide, 3), mem, n, records}
}

func (s *shades) Schema(context.Context) (*arrow.Schema, error) { return s.schema, nil }

func (s *shades) Read(context.Context) (arrow.Record, error) {
	if s.records == 0 {
		return nil, io.EOF
	}
	s.records--
	b := batch.NewPairsBuilder(s.mem, s.schema, s.n)
	for i := range s.n {
		label := int64((i*i + s.records) % 2)
		b.SetRow(i, batch.Row{Index: uint64(i), Label: label, HasLabel: i%5 != 4})
		for p := range b.View(0, i) {
			v := 40 + (p*p*7+i*31+s.records*17)%90
			if x := p / 3 % shadeSide; (x < shadeSide/2) == (label == 1) {
				v += 40
			}
			b.View(0, i)[p] = byte(v)
		}
	}
	return b.NewRecord(nil), nil
}

func tinyNetwork() *encoder.Graph {
	return encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: shadeSide, Width: 0.0625, Normalize: encoder.Normalize{Std: [3]float32{1, 1, 1}}})
}

// All weights learn, whatever the number of workers and the cut of the records;
// what training starts from stays.
func TestFineTuning(t *testing.T) {
	start := encoder.NewParams(tinyNetwork(), 3)
	before := start.State().Digest()
	var want string
	for _, c := range []struct{ workers, rows int }{{1, 16}, {3, 16}, {2, 20}} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		tuner, err := NewFineTuner(tinyNetwork(), start, FineTuneConfig{Seed: 2, Workers: c.workers, Labels: []int{1, 0, 1}, Batch: 16, Steps: 30, LR: 0.05})
		if err != nil {
			t.Fatal(err)
		}
		defer tuner.Close()
		if err := tuner.Train(t.Context(), newShades(mem, c.rows, 100), nil); err != nil {
			t.Fatal(err)
		}
		mem.AssertSize(t, 0)
		if c.rows == 20 {
			continue // other images
		}
		digest := tuner.Params.State().Digest()
		if want == "" {
			want = digest
		}
		if digest != want {
			t.Errorf("%d workers give other weights", c.workers)
		}
		logits := &Features{D: 2}
		images := newShades(mem, 16, 3)
		rec, _ := images.Read(t.Context())
		pairs, _ := batch.NewPairs(rec)
		tuner.arena.Forward(pairs.Anchor)
		for i := range 16 {
			if label, ok := pairs.Label(i); ok {
				logits.Labels, logits.Data = append(logits.Labels, int(label)), append(logits.Data, tuner.out.Row(i)...)
			}
		}
		rec.Release()
		if s := Classified(logits, tuner.Classes); s.Top1 < 0.9 {
			t.Errorf("top-1 %v of images trained on, want 0.9", s.Top1)
		}
		for name, was := range start.State().Tensors {
			if strings.HasSuffix(name, ".weight") && tuner.Params.State().Tensors[name].Eq(was) {
				t.Errorf("%s has not moved", name)
			}
		}
	}
	if start.State().Digest() != before {
		t.Error("the weights to start from have changed")
	}
}

func TestFineTuningRefuses(t *testing.T) {
	start := encoder.NewParams(tinyNetwork(), 3)
	if _, err := NewFineTuner(tinyNetwork(), start, FineTuneConfig{Labels: []int{4, 4}, Steps: 1}); err == nil {
		t.Error("one class: no error")
	}
	tuner, err := NewFineTuner(tinyNetwork(), start, FineTuneConfig{Labels: []int{0, 1}, Steps: 9, Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer tuner.Close()
	if err := tuner.Train(t.Context(), newShades(memory.DefaultAllocator, 4, 2), nil); err == nil || !strings.Contains(err.Error(), "ended after 2 steps of 4 images, want 9") {
		t.Errorf("a stream too short: %v", err)
	}
}

// Weights that a step has made too large for a float show in the next loss, and after
// the last one in the logits, which are then right for no image.
func TestFineTuningTellsOfDivergence(t *testing.T) {
	tuner, err := NewFineTuner(tinyNetwork(), encoder.NewParams(tinyNetwork(), 3), FineTuneConfig{Labels: []int{0, 1}, Steps: 9, Batch: 4, LR: 1e30})
	if err != nil {
		t.Fatal(err)
	}
	defer tuner.Close()
	if err := tuner.Train(t.Context(), newShades(memory.DefaultAllocator, 5, 20), nil); err == nil || !strings.Contains(err.Error(), "has diverged") {
		t.Errorf("got %v, want that training has diverged", err)
	}
	nan := float32(math.NaN())
	s := Classified(&Features{Data: []float32{nan, 1, 0, 1}, Labels: []int{5, 7}, D: 2}, []int{5, 7})
	if s.Top1 != 0.5 {
		t.Errorf("top-1 %v of a row without numbers and one that is right, want 0.5", s.Top1)
	}
}

func TestFewRowsAreRowsOfTheirClass(t *testing.T) {
	labels := []int{0, 1, 1, 0, 2, 2, 2, 2, 0, 1, 0}
	rows, err := FewRows(labels, 0.5, 3, 1)
	if err != nil || len(rows) != 6 {
		t.Fatalf("%v, %v; want six rows: two of four, two of three, two of four", rows, err)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(rows)))) != 6 {
		t.Errorf("%v has a row twice", rows)
	}
}

// Six steps beside PyTorch's in float64 (testdata/finetune.py): every tensor moves
// as far within 1e-3, and the logits after them agree to 1e-3.
func TestFineTuningMatchesPyTorch(t *testing.T) {
	const seed, side, n, classes, steps = 5, 12, 6, 3, 6
	var golden struct {
		Moved  map[string]float64
		Logits []float64
	}
	goldentest.Read(t, "testdata/finetune.json", &golden)
	g := encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: side, Width: 0.0625, Normalize: encoder.Normalize{Std: [3]float32{1, 1, 1}}})
	tuner, err := NewFineTuner(g, encoder.NewParams(g, 1), FineTuneConfig{Labels: []int{0, 1, 2}, Batch: n, Steps: steps, LR: 0.02, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer tuner.Close()
	start := tuner.Params.State()
	place := 0
	for _, name := range slices.Sorted(maps.Keys(start.Tensors)) {
		if strings.Contains(name, "running") || strings.HasSuffix(name, "num_batches_tracked") {
			continue
		}
		values, _ := batch.Values[float32](start.Tensors[name])
		scale, shift := 0.1, 0.0
		if dims := start.Tensors[name].Shape(); len(dims) > 1 {
			scale = math.Sqrt(6 / (float64(len(values)) / float64(dims[0])))
		} else if strings.HasSuffix(name, "weight") {
			scale, shift = 0.2, 1
		}
		for i, u := range goldentest.Hashed(seed+place, len(values)) {
			values[i] = float32(shift + float64(scale*(u*2-1)))
		}
		place++
	}
	if err := tuner.Params.Load(start); err != nil {
		t.Fatal(err)
	}
	pixels := func(step int) {
		for i, u := range goldentest.Hashed(seed*100+step, len(tuner.pixels)) {
			tuner.pixels[i] = byte(u * 255)
		}
	}
	for step := range steps {
		pixels(step)
		for i := range tuner.labels {
			tuner.labels[i] = (i*i + step) % classes
		}
		tuner.learn()
	}
	after := tuner.Params.State()
	for name, want := range golden.Moved {
		was, _ := batch.Values[float32](start.Tensors[name])
		is, _ := batch.Values[float32](after.Tensors[name])
		sum := 0.0
		for i := range was {
			sum += float64(is[i]-was[i]) * float64(is[i]-was[i])
		}
		if got := math.Sqrt(sum); !(math.Abs(got-want) <= 1e-3*want) {
			t.Errorf("%s moved %v, want %v", name, got, want)
		}
	}
	pixels(0)
	tuner.arena.Forward(tuner.pixels)
	for i, want := range golden.Logits {
		if got := float64(tuner.out.Row(i / classes)[i%classes]); math.Abs(got-want) > 1e-3 {
			t.Errorf("logit %d is %v, want %v", i, got, want)
		}
	}
}
