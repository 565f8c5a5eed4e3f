package contrast_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// unevenSource is two epochs of 13 samples, of which two of the first are
// rejected; ids repeat and the tails are dropped: 2 and 3 batches of 4.
func unevenSource(record ...int) *source {
	in := newSource(8, 2, 13, record...)
	in.id = repeatedIDs
	in.rejected = func(epoch, index int) bool { return epoch == 0 && (index == 0 || index == 4) }
	return in
}

// unevenConfig is a run over all of unevenSource, in both directions.
func unevenConfig(t *testing.T) contrast.Config {
	t.Helper()
	cfg := small(t, 5)
	cfg.Symmetric = true
	return cfg
}

// comparable strips what may differ between two runs of the same training.
func (r *recorder) comparable() []string {
	var out []string
	for _, m := range r.metrics {
		m.PairsPerS = 0
		text, _ := json.Marshal(m)
		out = append(out, string(text))
	}
	for _, e := range r.epochs {
		out = append(out, fmt.Sprint(e))
	}
	return out
}

func TestWorkersAndRecordsChangeNothing(t *testing.T) {
	cfg := unevenConfig(t)
	cfg.Workers = 1
	want, rec := train(t, cfg, unevenSource(4), nil, contrast.Hooks{})
	if want.Steps != 5 || !want.Finished || want.Samples != 20 {
		t.Fatalf("summary %+v, want 5 steps on 20 samples", want)
	}
	for _, c := range []struct {
		workers int
		record  []int
	}{{2, []int{4}}, {5, []int{4}}, {1, []int{1}}, {2, []int{3, 5, 1}}, {1, []int{100}}} {
		cfg.Workers = c.workers
		got, gotRec := train(t, cfg, unevenSource(c.record...), nil, contrast.Hooks{})
		if got.Weights != want.Weights || got.Order != want.Order {
			t.Errorf("%+v: weights %.8s and order %.8s, want %.8s and %.8s", c, got.Weights, got.Order, want.Weights, want.Order)
		}
		if !slices.Equal(gotRec.comparable(), rec.comparable()) {
			t.Errorf("%+v: metrics\n%v\nwant\n%v", c, gotRec.comparable(), rec.comparable())
		}
	}
}

// A run that goes on from any of its checkpoints ends as one that was never
// interrupted, be it on the whole stream or on one from its position on.
func TestResumedRunIsTheUninterruptedOne(t *testing.T) {
	cfg := unevenConfig(t)
	want, full := train(t, cfg, unevenSource(4), nil, contrast.Hooks{})
	for step, state := range full.states {
		for _, fromPosition := range []bool{false, true} {
			in := unevenSource(3)
			if fromPosition {
				var at struct{ Position batch.Position }
				if err := json.Unmarshal(state.Cursor, &at); err != nil {
					t.Fatal(err)
				}
				in.from = at.Position
			}
			got, rec := train(t, cfg, in, &state, contrast.Hooks{})
			if got.Weights != want.Weights || got.Order != want.Order || got.Samples != want.Samples || got.Steps != want.Steps {
				t.Errorf("from step %d, position given %v: %+v, want %+v", step, fromPosition, got, want)
			}
			var later recorder // what the full run wrote after this checkpoint
			later.metrics = full.metrics[step:]
			for _, e := range full.epochs {
				if e["step"].(int) > step {
					later.epochs = append(later.epochs, e)
				}
			}
			if !slices.Equal(rec.comparable(), later.comparable()) {
				t.Errorf("from step %d, position given %v: metrics\n%v\nwant\n%v", step, fromPosition, rec.comparable(), later.comparable())
			}
		}
	}
	if len(full.states) != 5 {
		t.Errorf("checkpoints at %v, want 1 to 5", slices.Sorted(maps.Keys(full.states)))
	}
}

// A run that was stopped in its very last step has its last epoch's entry, and what
// the hook measures, once it is gone on with.
func TestStopInTheLastStep(t *testing.T) {
	cfg := unevenConfig(t)
	_, full := train(t, cfg, unevenSource(4), nil, contrast.Hooks{})
	stop := make(chan struct{})
	trainer, err := contrast.New(cfg, contrast.Hooks{Stop: stop, Progress: func(p contrast.Progress) {
		if p.Step == 5 {
			close(stop)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var first recorder
	if _, err := trainer.Train(t.Context(), unevenSource(4), &first); !errors.Is(err, contrast.ErrStopped) {
		t.Fatalf("error %v, want that the run was stopped", err)
	}
	state := first.states[5]
	asked := 0
	summary, rest := train(t, cfg, unevenSource(4), &state, contrast.Hooks{Epoch: func(context.Context, int) (map[string]any, error) {
		asked++
		return nil, nil
	}})
	first.metrics, first.epochs = append(first.metrics, rest.metrics...), append(first.epochs, rest.epochs...)
	if !summary.Finished || asked != 1 || !slices.Equal(first.comparable(), full.comparable()) {
		t.Errorf("finished %v, %d epochs' ends, entries\n%v\nwant\n%v", summary.Finished, asked, first.comparable(), full.comparable())
	}
}

func TestEpochEntries(t *testing.T) {
	var asked []int
	_, rec := train(t, unevenConfig(t), unevenSource(4), nil, contrast.Hooks{Epoch: func(_ context.Context, epoch int) (map[string]any, error) {
		asked = append(asked, epoch)
		return map[string]any{"knn": 0.5 + float64(epoch)}, nil
	}})
	if !slices.Equal(asked, []int{0, 1}) || len(rec.epochs) != 2 {
		t.Fatalf("epochs %v ended with %d entries, want 0 and 1 with one each", asked, len(rec.epochs))
	}
	from := 0
	for i, to := range []int{2, 5} {
		sum := 0.0
		for _, m := range rec.metrics[from:to] {
			if sum += m.Loss; m.Epoch != i {
				t.Errorf("step %d is of epoch %d, want %d", m.Step, m.Epoch, i)
			}
		}
		want := map[string]any{
			"step": to, "epoch": i, "samples": int64(4 * to), "knn": 0.5 + float64(i),
			"epoch_loss": sum / float64(to-from), "epoch_steps": to - from,
		}
		if !reflect.DeepEqual(rec.epochs[i], want) {
			t.Errorf("entry %v, want %v", rec.epochs[i], want)
		}
		from = to
	}
}

// What fails at an epoch's end outside the training costs no step of it: the run
// goes on there, and the epoch's end comes again.
func TestFailureAtAnEpochsEndCostsNoStep(t *testing.T) {
	cfg := unevenConfig(t)
	cfg.CheckpointSteps = 0
	want, full := train(t, cfg, unevenSource(4), nil, contrast.Hooks{})
	for last := range 2 {
		trainer, err := contrast.New(cfg, contrast.Hooks{Epoch: func(_ context.Context, epoch int) (map[string]any, error) {
			if epoch == last {
				return nil, errFull
			}
			return nil, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		before := &recorder{}
		summary, err := trainer.Train(t.Context(), unevenSource(4), before)
		trainer.Close()
		state, saved := before.states[summary.Steps]
		if !errors.Is(err, errFull) || summary.Finished || !saved {
			t.Fatalf("epoch %d: got %+v, %v and checkpoints of %d steps, want one of the last step", last, summary, err, len(before.states))
		}
		got, after := train(t, cfg, unevenSource(4), &state, contrast.Hooks{})
		if got.Weights != want.Weights || got.Order != want.Order || !got.Finished {
			t.Errorf("epoch %d: %+v, want %+v", last, got, want)
		}
		both := recorder{metrics: append(before.metrics, after.metrics...), epochs: append(before.epochs, after.epochs...)}
		if !slices.Equal(both.comparable(), full.comparable()) {
			t.Errorf("epoch %d: metrics\n%v\nwant\n%v", last, both.comparable(), full.comparable())
		}
	}
}

// failing is a recorder that refuses what comes at a step.
type failing struct {
	recorder
	logAt, checkpointAt int
}

var errFull = errors.New("no space left")

func (f *failing) Log(entry any) error {
	if m, ok := entry.(contrast.Metrics); ok && m.Step == f.logAt {
		return errFull
	}
	return f.recorder.Log(entry)
}

func (f *failing) Checkpoint(step int, s batch.State) error {
	if step == f.checkpointAt {
		return errFull
	}
	return f.recorder.Checkpoint(step, s)
}

// However a run ends, its records are released and the summary tells of the
// steps done.
func TestEveryEndReleasesTheStream(t *testing.T) {
	errBroken := errors.New("a broken pipe")
	for _, c := range []struct {
		name  string
		rec   failing
		stop  int // step at which the run is stopped or cancelled, 0: never
		fail  int // records after which the stream fails, 0: never
		want  error
		steps int
		saved []int
	}{
		{name: "to the end", steps: 5, saved: []int{2, 4, 5}},
		{name: "stopped", stop: 3, want: contrast.ErrStopped, steps: 3, saved: []int{2, 3}},
		{name: "metrics fail", rec: failing{logAt: 2}, want: errFull, steps: 2},
		{name: "checkpoint fails", rec: failing{checkpointAt: 2}, want: errFull, steps: 2},
		{name: "stream fails", fail: 4, want: errBroken, steps: 2, saved: []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			cfg := unevenConfig(t)
			cfg.CheckpointSteps = 2
			stop := make(chan struct{})
			trainer, err := contrast.New(cfg, contrast.Hooks{Stop: stop, Progress: func(p contrast.Progress) {
				if p.Step == c.stop {
					close(stop)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			in := &breaking{source: unevenSource(3), after: c.fail, err: errBroken}
			in.mem = mem
			rec := c.rec
			summary, err := trainer.Train(t.Context(), in, &rec)
			if !errors.Is(err, c.want) || summary.Steps != c.steps || summary.Finished != (c.want == nil) {
				t.Errorf("error %v and summary %+v, want %v and %d steps", err, summary, c.want, c.steps)
			}
			if saved := slices.Sorted(maps.Keys(rec.states)); !slices.Equal(saved, c.saved) {
				t.Errorf("checkpoints at %v, want %v", saved, c.saved)
			}
		})
	}
}

// breaking is a source that fails after so many records; 0: never.
type breaking struct {
	*source
	after int
	err   error
}

func (b *breaking) Read(ctx context.Context) (arrow.Record, error) {
	if b.after > 0 && b.records == b.after {
		return nil, b.err
	}
	return b.source.Read(ctx)
}

func TestCancelledRunReturns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	trainer, err := contrast.New(small(t, 5), contrast.Hooks{Progress: func(p contrast.Progress) {
		if p.Step == 2 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	rec := &recorder{}
	summary, err := trainer.Train(ctx, newSource(8, 1, 100, 4), rec)
	if !errors.Is(err, context.Canceled) || summary.Steps != 2 || len(rec.states) != 1 {
		t.Errorf("error %v after %d steps and %d checkpoints, want cancelled after 2 and that of step 1", err, summary.Steps, len(rec.states))
	}
}

func TestLoadRefusesAnotherRunsState(t *testing.T) {
	cfg := small(t, 1)
	_, rec := train(t, cfg, newSource(8, 1, 4, 4), nil, contrast.Hooks{})
	for _, c := range []struct {
		name   string
		change func(*contrast.Config, *batch.State)
		want   string
	}{
		{"no cursor", func(_ *contrast.Config, s *batch.State) { s.Cursor = nil }, "cursor"},
		{"no order", func(_ *contrast.Config, s *batch.State) { s.Cursor = []byte(`{"step":1,"order":"abc"}`) }, "order \"abc\" is no hash"},
		{"longer queue", func(c *contrast.Config, _ *batch.State) { c.Queue++ }, "queue: keys: batch: tensor has shape (10, 6), want [11 6]"},
		{"wider embedding", func(c *contrast.Config, _ *batch.State) { c.Dim++ }, "encoder_q: encoder: load: fc.weight"},
		{"no optimiser", func(_ *contrast.Config, s *batch.State) { delete(s.Tensors, "optimizer.momentum_buffer.fc.bias") }, "optimizer: encoder: load: fc.bias"},
		{"no key encoder", func(_ *contrast.Config, s *batch.State) { delete(s.Tensors, "encoder_k.conv1.weight") }, "encoder_k: encoder: load: conv1.weight"},
		{"more", func(_ *contrast.Config, s *batch.State) { s.Tensors["predictor.weight"] = s.Tensors["queue.next"] }, "predictor.weight is not part of this method's state"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, s := cfg, batch.State{Cursor: rec.states[1].Cursor}
			s.Add("", rec.states[1])
			c.change(&cfg, &s)
			trainer, err := contrast.New(cfg, contrast.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			if err := trainer.Load(s); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
