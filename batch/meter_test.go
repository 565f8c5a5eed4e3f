package batch_test

import (
	"context"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestMeterSeesTheStage measures a stage that stops at each place to be asked
// what it does.
func TestMeterSeesTheStage(t *testing.T) {
	source := batch.Meter{Name: "source"}
	sink := batch.Meter{Name: "sink"}
	if source.Doing() != "" || source.Shares() != (batch.Shares{}) {
		t.Errorf("before it began, the source is %q, with shares %v", source.Doing(), source.Shares())
	}
	waits := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		if got := sink.Doing(); got != "working" {
			t.Errorf("between its calls the sink is %q, want working", got)
		}
		return take(-1)(ctx, in, nil)
	}
	if err := batch.Run(t.Context(), 2, nil, nil, source.Wrap(pairs(memory.DefaultAllocator, 5, 1)), sink.Wrap(waits)); err != nil {
		t.Fatal(err)
	}
	batch.Advance(nil) // nobody measures
	advancing := batch.Meter{Name: "advancing"}
	reads := func(_ context.Context, _ batch.Reader, out batch.Writer) error {
		batch.Advance(out)
		return nil
	}
	if err := batch.Run(t.Context(), 2, nil, nil, advancing.Wrap(reads), func(context.Context, batch.Reader, batch.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if advancing.Progress() != 1 {
		t.Errorf("a stage told that it gets on once: progress %d", advancing.Progress())
	}
	if source.Progress() != 5 || sink.Progress() != 5 {
		t.Errorf("progress %d and %d, want 5 records each", source.Progress(), sink.Progress())
	}
	for _, m := range []*batch.Meter{&source, &sink} {
		s := m.Shares()
		if sum := s.Busy + s.WaitRead + s.WaitWrite; m.Doing() != "" || sum < 1-1e-9 || sum > 1+1e-9 {
			t.Errorf("the %s is %q at the end, with shares %v that add up to %g, want 1", m.Name, m.Doing(), s, sum)
		}
	}
}
