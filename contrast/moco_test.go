package contrast_test

import (
	"context"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/internal/goldentest"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"
	"gorgonia.org/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// initial gives every tensor its hashed values, as in moco.py.
func initial(s batch.State, seed int) {
	for i, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		t := s.Tensors[name]
		if t.Dtype() != tensor.Float32 || strings.Contains(name, "running") {
			continue
		}
		values, _ := batch.Values[float32](t)
		scale, shift := 0.1, 0.0
		switch {
		case t.Dims() > 1:
			scale = math.Sqrt(6 / (float64(len(values)) / float64(t.Shape()[0])))
		case strings.HasSuffix(name, "weight"):
			scale, shift = 0.2, 1
		}
		for j, u := range goldentest.Hashed(seed+i, len(values)) {
			values[j] = float32(shift + scale*(u*2-1))
		}
	}
}

// hashedPairs is a stream of moco.py's pairs: one record a step, without ids.
type hashedPairs struct {
	schema                     *arrow.Schema
	seed, step, steps, n, side int
	local, localSide           int
}

func (p *hashedPairs) Schema(context.Context) (*arrow.Schema, error) { return p.schema, nil }

func (p *hashedPairs) Read(context.Context) (arrow.Record, error) {
	if p.step == p.steps {
		return nil, io.EOF
	}
	b := batch.NewPairsBuilder(memory.DefaultAllocator, p.schema, p.n)
	base := goldentest.Hashed(p.seed*1000+p.step*3, p.n*4*4*3)
	for view := range 2 + p.local {
		side, noisy := p.side, p.seed*1000+p.step*3+1+view
		if view >= 2 {
			side, noisy = p.localSide, p.seed*1000+500+p.step*p.local+view
		}
		noise := goldentest.Hashed(noisy, p.n*side*side*3)
		for i := range p.n {
			b.SetRow(i, batch.Row{Index: uint64(p.step*p.n + i)})
			var dst []byte
			if view < 2 {
				dst = b.View(view, i)
			} else {
				dst = b.Local(i)[(view-2)*side*side*3:]
			}
			for y := range side {
				for x := range side {
					r, c := (y*4+view)/side%4, (x*4+view)/side%4
					for ch := range 3 {
						at := (y*side+x)*3 + ch
						dst[at] = byte(base[((i*4+r)*4+c)*3+ch]*200 + noise[i*side*side*3+at]*55)
					}
				}
			}
		}
	}
	p.step++
	return b.NewRecord(nil), nil
}

// recorder keeps metrics and checkpoints in memory.
type recorder struct {
	metrics []contrast.Metrics
	epochs  []map[string]any // entries at the end of epochs
	states  map[int]batch.State
}

func (r *recorder) Log(entry any) error {
	if m, ok := entry.(contrast.Metrics); ok {
		r.metrics = append(r.metrics, m)
	} else {
		r.epochs = append(r.epochs, entry.(map[string]any))
	}
	return nil
}

func (r *recorder) Checkpoint(step int, s batch.State) error {
	if r.states == nil {
		r.states = map[int]batch.State{}
	}
	r.states[step] = s
	return nil
}

type goldenRun struct {
	Config struct {
		Name                             string
		Seed, Dim, Batch, Side, Queue    int
		Width, Temperature, Momentum, LR float64
		WeightDecay                      float64 `json:"weight_decay"`
		MLP, Symmetric                   bool
		Local                            int
		LocalSide                        int `json:"local_side"`
		Mean, Std                        [3]float32
	}
	Losses []float64
}

// Twenty steps of MoCo beside PyTorch's (testdata/moco.py) from the same weights
// on the same pairs. The second loss, the first with negatives, depends on one
// step of training: 1e-5. Later ones drift apart, since training in float32
// amplifies rounding: 1e-2. What two steps changed in a tensor agrees to 5 %, in
// the median over tensors to 1 %.
func TestStepsMatchPyTorch(t *testing.T) {
	var golden struct{ Runs []goldenRun }
	goldentest.Read(t, "testdata/moco_golden.json", &golden)
	moved, err := sink.ReadSafetensors("testdata/moco_golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range golden.Runs {
		t.Run(run.Config.Name, func(t *testing.T) {
			g := run.Config
			cfg, err := contrast.Recipe("moco-cifar", g.Side, contrast.Small)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Encoder.Width, cfg.Encoder.Normalize = g.Width, encoder.Normalize{Mean: g.Mean, Std: g.Std}
			if g.MLP {
				cfg.Head = encoder.MLPHead
			}
			cfg.Dim, cfg.Batch, cfg.Queue, cfg.QueueInit, cfg.Symmetric = g.Dim, g.Batch, g.Queue, contrast.QueueEmpty, g.Symmetric
			cfg.Temperature, cfg.Momentum, cfg.WeightDecay, cfg.SplitBN = g.Temperature, g.Momentum, g.WeightDecay, 1
			cfg.Schedule = encoder.Schedule{Kind: encoder.Constant, Base: g.LR, Steps: len(run.Losses)}
			cfg.LogEvery, cfg.CheckpointSteps, cfg.Workers = 1, 2, 2
			cfg.Local, cfg.LocalSize = g.Local, g.LocalSide
			trainer, err := contrast.New(cfg, contrast.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			start := trainer.Params().State()
			initial(start, g.Seed)
			if err := trainer.Init(start); err != nil {
				t.Fatal(err)
			}
			var rec recorder
			in := &hashedPairs{schema: batch.PairsSchema(nil, 2, g.Side, g.Side, 3), seed: g.Seed, steps: len(run.Losses), n: g.Batch, side: g.Side}
			if g.Local > 0 {
				in.schema, in.local, in.localSide = batch.WithLocal(in.schema, g.Local, g.LocalSide), g.Local, g.LocalSide
			}
			if _, err := trainer.Train(t.Context(), in, &rec); err != nil {
				t.Fatal(err)
			}
			for i, want := range run.Losses {
				tolerance := 1e-2
				if i < 2 {
					tolerance = 1e-5
				}
				if got := rec.metrics[i].Loss; math.Abs(got-want) > tolerance*math.Max(want, 1e-9) {
					t.Errorf("step %d: loss %.7f, want %.7f within %g", i+1, got, want, tolerance)
				}
			}
			compareMovement(t, start, rec.states[2].Under("encoder_q."), moved.Under(g.Name+"/"))
		})
	}
}

// compareMovement compares what training changed in each tensor with want, which
// is in thousandths.
func compareMovement(t *testing.T, start, after, want batch.State) {
	t.Helper()
	var errs []float64
	for name, w := range want.Tensors {
		before, _ := batch.Values[float32](start.Tensors[name])
		got, _ := batch.Values[float32](after.Tensors[name])
		moved, _ := batch.Values[float32](w)
		if len(got) != len(moved) {
			t.Fatalf("%s has %d elements, want %d", name, len(got), len(moved))
		}
		var diff, norm float64
		for i, m := range moved {
			diff += math.Pow(float64(got[i])-float64(before[i])-float64(m)/1000, 2)
			norm += math.Pow(float64(m)/1000, 2)
		}
		e := math.Sqrt(diff / norm)
		if errs = append(errs, e); !(e <= 0.05) {
			t.Errorf("%s moved %.2f %% differently", name, 100*e)
		}
	}
	slices.Sort(errs)
	if median := errs[len(errs)/2]; median > 0.01 {
		t.Errorf("the tensors moved %.2f %% differently in the median, want 1 %%", 100*median)
	}
	t.Logf("movement: median %.2g, largest %.2g", errs[len(errs)/2], errs[len(errs)-1])
}
