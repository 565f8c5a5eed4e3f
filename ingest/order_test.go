package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"

	"pgregory.net/rapid"
)

// TestOrderIsKept pins an order down: runs recorded with a seed have to find
// their samples in the same places for ever.
func TestOrderIsKept(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 3, 2, 4)}, Epochs: 2, Shuffle: true, Seed: 5, ShuffleBuffer: 4, Interleave: 2}
	var got []string
	for _, r := range mustRead(t, cfg) {
		got = append(got, strings.NewReplacer("train-00", "", ".tar/00", "").Replace(r.ID))
	}
	const want = "01 00 21 20 10 22 02 11 23 01 11 00 02 10 22 21 23 20"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TestTakingInIsProgress resumes near the end of an epoch: that the order before
// is gone through again is progress, though only one record comes of it.
func TestTakingInIsProgress(t *testing.T) {
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{shards(t, 30, 20)}, Epochs: 1, Shuffle: true, From: batch.Position{Index: 49}})
	if err != nil {
		t.Fatal(err)
	}
	var m batch.Meter
	if err := batch.Run(t.Context(), 1, nil, nil, m.Wrap(src.Stage()), discard); err != nil {
		t.Fatal(err)
	}
	if got := m.Progress(); got != 50+1 {
		t.Errorf("progress %d, want 50 samples and a record", got)
	}
}

// TestAnyConfigGivesTheSameOrder draws configurations and checks what must hold
// for all: whatever does not belong to the order leaves it alone, resuming
// gives the tail, records keep their bounds, and each sample comes once.
func TestAnyConfigGivesTheSameOrder(t *testing.T) {
	sizes := []int{5, 1, 8, 3, 6}
	dir := shards(t, sizes...)
	write(t, dir, "train-003.tar", compress(t, "zst", archive(t, samples(3, 3)...)))
	const total = 5 + 1 + 8 + 3 + 6
	rapid.Check(t, func(rt *rapid.T) {
		cfg := ingest.Config{
			Sources: []string{dir}, Encoded: rapid.Bool().Draw(rt, "encoded"),
			Epochs: 2, Seed: rapid.Uint64().Draw(rt, "seed"), Shuffle: rapid.Bool().Draw(rt, "shuffle"),
			ShuffleBuffer: rapid.IntRange(1, 30).Draw(rt, "buffer"),
			ShuffleBytes:  rapid.Int64Range(1, 3000).Draw(rt, "bytes"),
			Interleave:    rapid.IntRange(1, 7).Draw(rt, "interleave"),
			Workers:       1, RecordRows: 100,
		}
		want := mustRead(t, cfg)
		if n := len(want); n != 2*total {
			rt.Fatalf("got %d rows, want %d", n, 2*total)
		}
		for epoch := range 2 {
			order := slices.Sorted(slices.Values(ids(want[epoch*total : (epoch+1)*total])))
			if n := len(slices.Compact(order)); n != total {
				rt.Fatalf("epoch %d: got %d different samples, want %d", epoch, n, total)
			}
		}
		cfg.Workers = rapid.IntRange(1, 9).Draw(rt, "workers")
		cfg.RecordRows = rapid.IntRange(1, 9).Draw(rt, "rows")
		cfg.RecordBytes = rapid.Int64Range(1, 300).Draw(rt, "recordBytes")
		cfg.From = batch.Position{Epoch: uint32(rapid.IntRange(0, 2).Draw(rt, "epoch")), Index: rapid.Uint64Range(0, total+1).Draw(rt, "index")}
		cfg.Limit = rapid.IntRange(0, total+1).Draw(rt, "limit")
		want = slices.DeleteFunc(want, func(r row) bool {
			return batch.Position{Epoch: r.Epoch, Index: r.Index}.Before(cfg.From) || cfg.Limit > 0 && r.Index >= uint64(cfg.Limit)
		})
		got := mustRead(t, cfg)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("got  %v\nwant %v", got, want)
		}
		rows, bytes := map[int]int{}, map[int]int64{}
		for _, r := range got {
			rows[r.record]++
			bytes[r.record] += int64(r.size)
			if rows[r.record] > cfg.RecordRows || rows[r.record] > 1 && bytes[r.record] > cfg.RecordBytes {
				rt.Fatalf("record %d has %d rows and %d bytes, want at most %d and %d", r.record, rows[r.record], bytes[r.record], cfg.RecordRows, cfg.RecordBytes)
			}
		}
	})
}
