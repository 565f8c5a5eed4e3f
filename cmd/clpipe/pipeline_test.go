package main

import (
	"context"
	"testing"
	"time"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// TestNobodyWaitsForAStageThatHasEnded asks for the slowest stage after the first, which
// never waited, has ended.
func TestNobodyWaitsForAStageThatHasEnded(t *testing.T) {
	p := &pipeline{}
	slowest := ""
	p.add("ingest", func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		time.Sleep(20 * time.Millisecond) // what it takes
		schema := arrow.NewSchema(nil, nil)
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		return out.Write(ctx, array.NewRecord(schema, nil, 0))
	})
	p.add("train", func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		rec, err := in.Read(ctx)
		if err != nil {
			return err
		}
		rec.Release()
		in.Read(ctx) // the end
		slowest = p.slowest()
		return nil
	})
	if err := p.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if slowest != "train" {
		t.Errorf("the others wait for %q, want train", slowest)
	}
}
