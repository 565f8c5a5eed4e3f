package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pairs is a source of n records of the given rows, views of side 2.
func pairs(mem memory.Allocator, n, rows int) batch.Stage {
	return func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		schema := batch.PairsSchema(batch.Metadata{batch.KeySeed: "7"}, 2, 2, 2, 3)
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		for r := range n {
			b := batch.NewPairsBuilder(mem, schema, rows)
			for i := range rows {
				b.SetRow(i, batch.Row{ID: fmt.Sprintf("s/%d", r*rows+i), Index: uint64(r*rows + i), Label: int64(i), HasLabel: i > 0})
				for v := range b.Views() {
					for j := range b.View(v, i) {
						b.View(v, i)[j] = byte(r + i + v + j)
					}
				}
			}
			if err := out.Write(ctx, b.NewRecord(nil)); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestPairsSurviveIPC(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	var buf bytes.Buffer
	w := batch.NewIPCWriter("buf", &buf, mem)
	if err := batch.Run(t.Context(), 1, nil, w, pairs(mem, 3, 4)); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()

	r := batch.NewIPCReader("buf", bytes.NewReader(whole), mem)
	defer r.Close()
	schema, err := r.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Expect(schema, batch.PairsKind); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		rec, err := r.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := batch.NewPairs(rec)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Len() {
			if got, want := p.ID(i), fmt.Sprintf("s/%d", rows); got != want {
				t.Errorf("row %d has id %q, want %q", rows, got, want)
			}
			if _, ok := p.Label(i); ok != (i > 0) {
				t.Errorf("row %d: label present: %v", i, ok)
			}
			rows++
		}
		if got := p.PositiveTensor().Shape(); fmt.Sprint(got) != "(4, 2, 2, 3)" {
			t.Errorf("positive has shape %v", got)
		}
		rec.Release()
	}
	if rows != 12 {
		t.Errorf("read %d rows, want 12", rows)
	}

	// Every cut is an error, never a clean end.
	for cut := range len(whole) {
		r := batch.NewIPCReader("buf", bytes.NewReader(whole[:cut]), mem)
		var err error
		for err == nil {
			var rec arrow.Record
			if rec, err = r.Read(t.Context()); err == nil {
				rec.Release()
			}
		}
		if errors.Is(err, io.EOF) {
			t.Fatalf("a stream cut at %d of %d ends cleanly", cut, len(whole))
		}
		r.Close()
	}
}

func TestRunReportsTheCause(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	cause := errors.New("disk on fire")
	fail := func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		s, err := in.Schema(ctx)
		if err != nil {
			return err
		}
		if out != nil {
			if err := out.Open(ctx, s); err != nil {
				return err
			}
		}
		rec, err := in.Read(ctx)
		if err != nil {
			return err
		}
		rec.Release()
		return cause
	}
	sink := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("sink: %w", err)
			}
			rec.Release()
		}
	}
	if err := batch.Run(t.Context(), 2, nil, nil, pairs(mem, 100, 1), fail, sink); err != cause {
		t.Errorf("in the middle: got %v, want %v", err, cause)
	}
	if err := batch.Run(t.Context(), 2, nil, nil, pairs(mem, 100, 1), fail); err != cause {
		t.Errorf("at the end: got %v, want %v", err, cause)
	}
	leave := func(ctx context.Context, in batch.Reader, _ batch.Writer) error { return nil }
	if err := batch.Run(t.Context(), 2, nil, nil, pairs(mem, 100, 1), leave); err != nil {
		t.Errorf("a consumer that leaves: got %v, want no error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := batch.Run(ctx, 2, nil, nil, pairs(mem, 100, 1), sink); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestMapKeepsTheOrder(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		next := uint64(0)
		relay := func(ctx context.Context, in batch.Reader, out batch.Writer) error {
			s, err := in.Schema(ctx)
			if err != nil {
				return err
			}
			if err := out.Open(ctx, s); err != nil {
				return err
			}
			return batch.Map(ctx, workers, in, out, func(_ context.Context, _ int, rec arrow.Record) (arrow.Record, error) {
				return rec, nil
			})
		}
		sink := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
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
					return err
				}
				if i, _ := p.Index(0); i != next {
					t.Errorf("workers=%d: record %d arrived in place of %d", workers, i, next)
				}
				next++
				rec.Release()
			}
		}
		if err := batch.Run(t.Context(), 2, nil, nil, pairs(mem, 200, 1), relay, sink); err != nil {
			t.Fatal(err)
		}
		if next != 200 {
			t.Errorf("workers=%d: %d records, want 200", workers, next)
		}
		mem.AssertSize(t, 0)
	}
}
