package detect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/goldentest"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// squares is a stream of views with one bright square each, red or green.
type squares struct {
	schema        *arrow.Schema
	mem           memory.Allocator
	rows, records int
	epoch         uint32
}

const (
	viewSide   = 32
	squareSide = 10.0
)

func newSquares(mem memory.Allocator, rows, records int) *squares {
	return &squares{schema: batch.PairsSchema(nil, 1, viewSide, viewSide, 3), mem: mem, rows: rows, records: records}
}

// squareOf returns the one object of a view.
func squareOf(id string, epoch uint32) Truth {
	var i int
	fmt.Sscanf(id, "view%d", &i)
	u := goldentest.Hashed(i*1000+int(epoch), 3)
	x, y := math.Floor(u[0]*(viewSide-squareSide)), math.Floor(u[1]*(viewSide-squareSide))
	return Truth{Class: int(u[2] * 2), Box: Box{x, y, x + squareSide, y + squareSide}}
}

func squareTruths(id string, epoch uint32) ([]Truth, error) { return []Truth{squareOf(id, epoch)}, nil }

func (s *squares) Schema(context.Context) (*arrow.Schema, error) { return s.schema, nil }

func (s *squares) Read(context.Context) (arrow.Record, error) {
	if s.records == 0 {
		return nil, io.EOF
	}
	s.records--
	b := batch.NewPairsBuilder(s.mem, s.schema, s.rows)
	for i := range s.rows {
		id := fmt.Sprint("view", i)
		b.SetRow(i, batch.Row{ID: id, Epoch: s.epoch, Index: uint64(i)})
		object := squareOf(id, s.epoch)
		view := b.View(0, i)
		for p := range view {
			view[p] = byte(60 + (p*p*7+i*31)%40)
		}
		for y := int(object.Box[1]); y < int(object.Box[3]); y++ {
			for x := int(object.Box[0]); x < int(object.Box[2]); x++ {
				view[3*(y*viewSide+x)+object.Class] = 250
			}
		}
	}
	s.epoch++
	return b.NewRecord(nil), nil
}

func tiny() *encoder.Graph {
	return encoder.ResNet(encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 16, Width: 0.0625, Normalize: encoder.Normalize{Mean: [3]float32{0.4, 0.4, 0.4}, Std: [3]float32{0.25, 0.25, 0.25}}})
}

// learned returns a detector of squares.
func learned(t *testing.T, start *encoder.Params, c Config, rows int) *Trainer {
	t.Helper()
	c.Seed, c.Classes, c.Size, c.Stride, c.Batch, c.LR, c.Truths = 2, 2, viewSide, 4, 8, 0.003, squareTruths
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	d, err := New(tiny(), start, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Train(t.Context(), newSquares(mem, rows, c.Steps), nil); err != nil {
		t.Fatal(err)
	}
	mem.AssertSize(t, 0)
	return d
}

// Training gives the same weights for any number of workers, and leaves alone what it
// starts from; a frozen trunk stays as it is.
func TestTrainingRepeats(t *testing.T) {
	start := encoder.NewParams(tiny(), 3)
	before := start.State().Digest()
	for _, frozen := range []bool{false, true} {
		var want string
		for _, workers := range []int{1, 3} {
			d := learned(t, start, Config{Workers: workers, Frozen: frozen, Steps: 6}, 12)
			defer d.Close()
			digest := d.Head.State().Digest()
			if want == "" {
				want = digest
			}
			if digest != want {
				t.Errorf("frozen %v: %d workers give other weights", frozen, workers)
			}
			if frozen {
				same := start.State()
				for name, tensor := range d.Trunk.State().Tensors {
					if !tensor.Eq(same.Tensors[name]) {
						t.Errorf("%s of the frozen trunk has moved", name)
					}
				}
			}
		}
	}
	if start.State().Digest() != before {
		t.Error("the weights to start from have changed")
	}
}

// A detector learns to find squares and to tell their colours; what it finds in views
// of a stream is in their order, the last batch among it, which is not full.
func TestDetectorLearns(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		d := learned(t, encoder.NewParams(tiny(), 3), Config{Frozen: frozen, Steps: 120}, 8)
		defer d.Close()
		images := newSquares(memory.DefaultAllocator, 11, 2)
		images.epoch = 1000
		epoch := images.epoch
		var truths [][]Truth
		var found [][]Detection
		err := d.Find(func(id string, objects []Detection) error {
			if len(found) == 11 {
				epoch++
			}
			truths, found = append(truths, []Truth{squareOf(id, epoch)}), append(found, objects)
			return nil
		})(t.Context(), images, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 22 {
			t.Fatalf("found objects in %d views, want 22", len(found))
		}
		if s := Evaluate(truths, found, 2, VOC07); s.AP50 < 0.8 {
			t.Errorf("frozen %v: AP50 is %v, want at least 0.8", frozen, s.AP50)
		}
	}
}

func TestTrainingDoesNotAllocate(t *testing.T) {
	d, err := New(tiny(), encoder.NewParams(tiny(), 3), Config{Classes: 2, Size: viewSide, Stride: 4, Batch: 4, Steps: 100, LR: 0.001, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.begin()
	for i := range d.run.truths {
		d.run.truths[i] = hashedTruths(i, 3, viewSide)
		for k := range d.run.truths[i] {
			d.run.truths[i][k].Class %= 2
		}
	}
	step := func() {
		if err := d.learn(); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(5, step); n > 0 {
		t.Errorf("a step allocates %v times, want never", n)
	}
}

func TestTrainingRefuses(t *testing.T) {
	start := encoder.NewParams(tiny(), 3)
	good := Config{Classes: 2, Size: viewSide, Stride: 4, Batch: 4, Steps: 9, LR: 0.001, Truths: squareTruths}
	with := func(change func(*Config)) Config { c := good; change(&c); return c }
	for want, c := range map[string]Config{
		"0 classes":                with(func(c *Config) { c.Classes = 0 }),
		"a rate of 0":              with(func(c *Config) { c.LR = 0 }),
		"no layer":                 with(func(c *Config) { c.Stride = 0 }),
		"ended after 2 steps of 4": with(func(c *Config) {}),
		"diverged: a smaller rate": with(func(c *Config) { c.LR = 1e30 }),
		"views of [32 32 3], the network takes [40": with(func(c *Config) { c.Size = 40 }),
		"no such image": with(func(c *Config) {
			c.Truths = func(string, uint32) ([]Truth, error) { return nil, errors.New("no such image") }
		}),
	} {
		d, err := New(tiny(), start, c)
		if err == nil {
			err = d.Train(t.Context(), newSquares(memory.DefaultAllocator, 9, 1), nil)
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	other := encoder.ResNet(encoder.ResNetConfig{Depth: 50, CIFAR: true, Size: 16, Width: 0.125, Normalize: encoder.Normalize{Std: [3]float32{1, 1, 1}}})
	if _, err := New(other, start, good); err == nil || !strings.Contains(err.Error(), "lack") {
		t.Errorf("weights of another network: %v", err)
	}
}
