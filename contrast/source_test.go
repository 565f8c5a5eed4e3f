package contrast_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/internal/goldentest"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// source is a stream of pairs of hashed pixels, some of them rejected.
type source struct {
	mem             memory.Allocator
	side            int
	epochs, samples int   // samples of an epoch, rejected ones included
	record          []int // rows of a record, in turn
	id              func(epoch, index int) string
	rejected        func(epoch, index int) bool
	from            batch.Position

	schema  *arrow.Schema
	rows    []batch.Row
	records int
}

// newSource returns a stream of epochs of samples; the fields may still be set.
func newSource(side, epochs, samples int, record ...int) *source {
	return &source{
		mem: memory.DefaultAllocator, side: side, epochs: epochs, samples: samples, record: record,
		id:       func(_, index int) string { return fmt.Sprint("sample-", index) },
		rejected: func(int, int) bool { return false },
	}
}

func (s *source) Schema(context.Context) (*arrow.Schema, error) {
	if s.schema != nil {
		return s.schema, nil
	}
	meta := batch.Metadata{batch.KeyFrom: s.from.String()}
	s.schema = batch.PairsSchema(meta, 2, s.side, s.side, 3)
	for epoch := range s.epochs {
		for index := range s.samples {
			at := batch.Position{Epoch: uint32(epoch), Index: uint64(index)}
			if !at.Before(s.from) && !s.rejected(epoch, index) {
				s.rows = append(s.rows, batch.Row{ID: s.id(epoch, index), Epoch: at.Epoch, Index: at.Index})
			}
		}
	}
	return s.schema, nil
}

func (s *source) Read(ctx context.Context) (arrow.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(s.rows) == 0 {
		return nil, io.EOF
	}
	n := min(s.record[s.records%len(s.record)], len(s.rows))
	s.records++
	b := batch.NewPairsBuilder(s.mem, s.schema, n)
	for i, row := range s.rows[:n] {
		b.SetRow(i, row)
		for view := range 2 {
			copy(b.View(view, i), s.view(row, view))
		}
	}
	s.rows = s.rows[n:]
	return b.NewRecord(nil), nil
}

// view returns the pixels of a view: a function of its place.
func (s *source) view(row batch.Row, view int) []byte {
	out := make([]byte, s.side*s.side*3)
	common := goldentest.Hashed(int(row.Epoch)*1000+int(row.Index)*3, len(out))
	own := goldentest.Hashed(int(row.Epoch)*1000+int(row.Index)*3+1+view, len(out))
	for i := range out {
		out[i] = byte(common[i]*200 + own[i]*55)
	}
	return out
}

// small returns the configuration of a run of so many steps that takes
// milliseconds: views of 8 pixels, batches of 4.
func small(t testing.TB, steps int) contrast.Config {
	t.Helper()
	cfg, err := contrast.Recipe("moco-cifar", 8, contrast.Small)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Batch, cfg.Queue, cfg.SplitBN = 0.0625, 6, 4, 10, 2
	cfg.Schedule = encoder.Schedule{Kind: encoder.Cosine, Base: 0.1, Steps: steps}
	cfg.Seed, cfg.Workers, cfg.LogEvery, cfg.CheckpointSteps = 5, 2, 1, 1
	return cfg
}

// train runs a configuration from a state, nil for the beginning.
func train(t testing.TB, cfg contrast.Config, in batch.Reader, from *batch.State, hooks contrast.Hooks) (contrast.Summary, *recorder) {
	t.Helper()
	trainer, err := contrast.New(cfg, hooks)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if from != nil {
		if err := trainer.Load(*from); err != nil {
			t.Fatal(err)
		}
	}
	rec := &recorder{}
	summary, err := trainer.Train(t.Context(), in, rec)
	if err != nil {
		t.Fatal(err)
	}
	return summary, rec
}
