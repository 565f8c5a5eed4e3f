package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"
)

// relay passes a stream on, a record at a time.
func relay(ctx context.Context, in batch.Reader, out batch.Writer) error {
	s, err := in.Schema(ctx)
	if err != nil {
		return err
	}
	if err := out.Open(ctx, s); err != nil {
		return err
	}
	for {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.Write(ctx, rec); err != nil {
			return err
		}
	}
}

// mapped passes a stream on through Map and f, which may be nil.
func mapped(workers int, f func(context.Context, int, arrow.Record) (arrow.Record, error)) batch.Stage {
	if f == nil {
		f = func(_ context.Context, _ int, rec arrow.Record) (arrow.Record, error) { return rec, nil }
	}
	return func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		s, err := in.Schema(ctx)
		if err != nil {
			return err
		}
		if err := out.Open(ctx, s); err != nil {
			return err
		}
		return batch.Map(ctx, workers, in, out, f)
	}
}

// throughIPC runs a stage in what could be another process: its input and its
// output are Arrow IPC.
func throughIPC(mem memory.Allocator, stage batch.Stage) batch.Stage {
	return func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		pr, pw := io.Pipe()
		w := batch.NewIPCWriter("pipe", pw, mem)
		r := batch.NewIPCReader("pipe", pr, mem)
		defer r.Close()
		first := make(chan error, 1)
		go func() {
			err := relay(ctx, in, w)
			if err == nil {
				err = w.Finish()
			}
			pw.CloseWithError(err) // nil is io.EOF
			first <- err
		}()
		err := stage(ctx, r, out)
		pr.Close()
		return errors.Join(err, <-first)
	}
}

// take reads n records and leaves; n < 0 reads all.
func take(n int) batch.Stage {
	return func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for ; n != 0; n-- {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			rec.Release()
		}
		return nil
	}
}

// rows gathers the ids of a stream, and what the rows hold, in words.
func rows(into *[]string) batch.Stage {
	return func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			p, err := batch.NewPairs(rec)
			if err != nil {
				rec.Release()
				return err
			}
			for i := range p.Len() {
				label, ok := p.Label(i)
				index, _ := p.Index(i)
				n := len(p.Anchor) / p.Len()
				var positive []byte // a stream of one view has none
				if p.Positive != nil {
					positive = p.Positive[i*n : (i+1)*n]
				}
				*into = append(*into, fmt.Sprint(p.ID(i), p.Epoch(i), index, label, ok, p.Shape, p.Anchor[i*n:(i+1)*n], positive))
			}
			rec.Release()
		}
	}
}

// TestStreamsAreUnchanged sends random records, of one view or two and of whole
// views or patches, through random stages, by reference, through Map and through
// IPC: what comes out is what went in.
func TestStreamsAreUnchanged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		side := rapid.IntRange(1, 3).Draw(rt, "side")
		shape := []int{side, side, 3}
		if grid := rapid.IntRange(0, 2).Draw(rt, "grid"); grid > 0 {
			shape = []int{grid, grid, side, side, 3}
		}
		width := 1
		for _, d := range shape {
			width *= d
		}
		views := rapid.IntRange(1, 2).Draw(rt, "views")
		schema := batch.PairsSchema(batch.Metadata{batch.KeySeed: rapid.String().Draw(rt, "seed")}, views, shape...)
		type sample struct {
			row   batch.Row
			views [2][]byte
		}
		pixels := rapid.SliceOfN(rapid.Byte(), width, width)
		records := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sample {
			return sample{batch.Row{
				ID:    rapid.String().Draw(t, "id"),
				Epoch: rapid.Uint32().Draw(t, "epoch"), Index: rapid.Uint64().Draw(t, "index"),
				Label: rapid.Int64().Draw(t, "label"), HasLabel: rapid.Bool().Draw(t, "labelled"),
			}, [2][]byte{pixels.Draw(t, "anchor"), pixels.Draw(t, "positive")}}
		}), 0, 4), 0, 12).Draw(rt, "records")
		source := func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
			if err := out.Open(ctx, schema); err != nil {
				return err
			}
			for _, samples := range records {
				b := batch.NewPairsBuilder(mem, schema, len(samples))
				for i, s := range samples {
					b.SetRow(i, s.row)
					for v := range b.Views() {
						copy(b.View(v, i), s.views[v])
					}
				}
				if err := out.Write(ctx, b.NewRecord(nil)); err != nil {
					return err
				}
			}
			return nil
		}
		var want []string
		for _, samples := range records {
			for _, s := range samples {
				if !s.row.HasLabel {
					s.row.Label = 0
				}
				if views == 1 {
					s.views[1] = nil
				}
				want = append(want, fmt.Sprint(s.row.ID, s.row.Epoch, s.row.Index, s.row.Label, s.row.HasLabel, shape, s.views[0], s.views[1]))
			}
		}
		stages := []batch.Stage{source}
		for _, kind := range rapid.SliceOfN(rapid.IntRange(0, 3), 0, 4).Draw(rt, "stages") {
			stage := batch.Stage(relay)
			if kind%2 == 1 {
				stage = mapped(rapid.IntRange(1, 8).Draw(rt, "workers"), func(_ context.Context, worker int, rec arrow.Record) (arrow.Record, error) {
					for range worker { // some overtake others
						runtime.Gosched()
					}
					return rec, nil
				})
			}
			if kind >= 2 {
				stage = throughIPC(mem, stage)
			}
			stages = append(stages, stage)
		}
		var got []string
		if err := batch.Run(t.Context(), rapid.IntRange(0, 3).Draw(rt, "depth"), nil, nil, append(stages, rows(&got))...); err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(want) {
			rt.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				rt.Fatalf("row %d is %s, want %s", i, got[i], want[i])
			}
		}
		mem.AssertSize(rt, 0)
	})
}

// TestEveryStageMayFail lets each stage of several pipelines fail, leave, or
// be cancelled after each number of records: Run returns the cause, and holds
// nothing.
func TestEveryStageMayFail(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, workers := range []int{0, 1, 3} { // 0: without Map
		for after := range 6 {
			for what, want := range map[string]error{"fail": cause, "leave": nil, "cancel": context.Canceled} {
				for place := range 3 {
					name := fmt.Sprintf("%s at stage %d after %d records, %d workers", what, place, after, workers)
					mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
					ctx, cancel := context.WithCancel(t.Context())
					// act passes records on until it is time to go wrong.
					act := func(ctx context.Context, in batch.Reader, out batch.Writer) error {
						if s, err := in.Schema(ctx); err != nil {
							return err
						} else if out != nil {
							if err := out.Open(ctx, s); err != nil {
								return err
							}
						}
						for range after {
							rec, err := in.Read(ctx)
							if err != nil {
								return err
							}
							if out == nil {
								rec.Release()
							} else if err := out.Write(ctx, rec); err != nil {
								return err
							}
						}
						if what == "cancel" {
							cancel()
							<-ctx.Done()
							return ctx.Err()
						}
						return want
					}
					stages := []batch.Stage{pairs(mem, 50, 1), relay, relay, take(-1)}
					if workers > 0 {
						stages = []batch.Stage{pairs(mem, 50, 1), mapped(workers, nil), mapped(workers, nil), take(-1)}
					}
					stages[place+1] = act
					if err := batch.Run(ctx, 2, nil, nil, stages...); err != want {
						t.Errorf("%s: got error %v, want %v", name, err, want)
					}
					cancel()
					mem.AssertSize(t, 0)
				}
			}
		}
	}
}

// TestLeavingWakesTheProducer ends or fails a consumer while the producer
// waits for something that never comes.
func TestLeavingWakesTheProducer(t *testing.T) {
	waits := func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		if err := out.Open(ctx, batch.PairsSchema(nil, 1, 1, 1, 3)); err != nil {
			return err
		}
		<-ctx.Done()
		return fmt.Errorf("source: %w", ctx.Err())
	}
	cause := errors.New("disk on fire")
	for _, want := range []error{nil, cause} {
		leaves := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
			if _, err := in.Schema(ctx); err != nil {
				return err
			}
			return want
		}
		if err := batch.Run(t.Context(), 2, nil, nil, waits, relay, leaves); err != want {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	// Without a reader of the schema, too.
	if err := batch.Run(t.Context(), 2, nil, nil, waits, relay, take(0)); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

// TestMapReportsTheCause fails Map's function at each record.
func TestMapReportsTheCause(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, workers := range []int{1, 2, 8} {
		for at := range uint64(10) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			fail := func(_ context.Context, _ int, rec arrow.Record) (arrow.Record, error) {
				p, err := batch.NewPairs(rec)
				if err != nil {
					return nil, err
				}
				if i, _ := p.Index(0); i == at {
					rec.Release()
					return nil, cause
				}
				return rec, nil
			}
			read := uint64(0)
			sink := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
				for {
					rec, err := in.Read(ctx)
					if err != nil {
						return err
					}
					rec.Release()
					read++
				}
			}
			if err := batch.Run(t.Context(), 1, nil, nil, pairs(mem, 10, 1), mapped(workers, fail), sink); err != cause {
				t.Errorf("%d workers, record %d: got error %v, want %v", workers, at, err, cause)
			}
			if read > at {
				t.Errorf("%d workers: %d records were written, though record %d failed", workers, read, at)
			}
			mem.AssertSize(t, 0)
		}
	}
}

// TestMapHoldsFewRecords counts what Map has read and not yet written.
func TestMapHoldsFewRecords(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		in, out := newSlowStream(40)
		if err := batch.Map(t.Context(), workers, in, out, func(_ context.Context, _ int, rec arrow.Record) (arrow.Record, error) {
			return rec, nil
		}); err != nil {
			t.Fatal(err)
		}
		if most := out.most; most > 2*workers {
			t.Errorf("%d workers: Map held %d records, want at most %d", workers, most, 2*workers)
		}
		if out.written != 40 {
			t.Errorf("%d workers: %d records written, want 40", workers, out.written)
		}
	}
}

// TestMapDropsNil lets the function drop every other record.
func TestMapDropsNil(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	odd := func(_ context.Context, _ int, rec arrow.Record) (arrow.Record, error) {
		p, err := batch.NewPairs(rec)
		if err != nil {
			return nil, err
		}
		if i, _ := p.Index(0); i%2 == 0 {
			rec.Release()
			return nil, nil
		}
		return rec, nil
	}
	var got []string
	if err := batch.Run(t.Context(), 1, nil, nil, pairs(mem, 10, 1), mapped(3, odd), rows(&got)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || !strings.HasPrefix(got[4], "s/9") {
		t.Errorf("got rows %v, want 5, the last s/9", got)
	}
}

// TestMisusedWriters opens twice and writes before opening.
func TestMisusedWriters(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := batch.PairsSchema(nil, 1, 1, 1, 3)
	record := func() arrow.Record { return batch.NewPairsBuilder(mem, schema, 1).NewRecord(nil) }
	twice := func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		return errors.Join(out.Open(ctx, schema), out.Open(ctx, schema))
	}
	early := func(ctx context.Context, _ batch.Reader, out batch.Writer) error { return out.Write(ctx, record()) }
	for want, misuse := range map[string]batch.Stage{"announced twice": twice, "before the stream's schema is announced": early} {
		if err := batch.Run(t.Context(), 1, nil, nil, misuse, take(-1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("in the process: got error %v, want one with %q", err, want)
		}
		w := batch.NewIPCWriter("buffer", io.Discard, mem)
		if err := batch.Run(t.Context(), 1, nil, w, misuse); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("IPC: got error %v, want one with %q", err, want)
		}
	}
}

// TestStreamWithoutSchema ends a stream before it says what it holds.
func TestStreamWithoutSchema(t *testing.T) {
	silent := func(context.Context, batch.Reader, batch.Writer) error { return nil }
	asks := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for range 2 {
			if _, err := in.Schema(ctx); !errors.Is(err, io.EOF) {
				return fmt.Errorf("schema: got error %w, want EOF", err)
			}
			if _, err := in.Read(ctx); !errors.Is(err, io.EOF) {
				return fmt.Errorf("read: got error %w, want EOF", err)
			}
		}
		return nil
	}
	if err := batch.Run(t.Context(), 1, nil, nil, silent, asks); err != nil {
		t.Error(err)
	}
}
