package batch_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"clpipe/batch"
)

// tolerated says how many of n rejected samples r takes before it complains.
func tolerated(r *batch.Rejects, n int) int {
	for i := range n {
		if r.Add(batch.Reject{Lost: 1}) != nil {
			return i
		}
	}
	return n
}

// TestRejectsWhileReading: too many are more than Max * max(seen, 1000).
func TestRejectsWhileReading(t *testing.T) {
	for _, c := range []struct {
		max        float64
		seen, want int
	}{
		{0, 0, 0}, {0, 5000, 0},
		{0.01, 0, 10}, {0.01, 999, 10}, {0.01, 1000, 10}, {0.01, 1099, 10}, {0.01, 1100, 11}, {0.01, 100_000, 1000},
		{0.29, 1000, 290}, {0.29, 100, 290}, {0.57, 1100, 627}, // 0.57*1100 is below 627 in float64
		{1, 1500, 1500},
	} {
		r := batch.Rejects{Max: c.max}
		r.Seen(0, c.seen)
		if got := tolerated(&r, c.want+5); got != c.want {
			t.Errorf("max %g, %d seen: %d were tolerated, want %d", c.max, c.seen, got, c.want)
		}
	}
}

// What a later stage tries are samples that the reading one saw; where none in
// the process reads, they are all there are.
func TestRejectsOfALaterStage(t *testing.T) {
	for _, c := range []struct {
		seen, tried, lost int
		ok                bool
	}{
		{0, 100, 1, true}, {0, 100, 2, false}, {100, 98, 1, true}, {200, 100, 2, true}, {200, 200, 3, false},
	} {
		r := batch.Rejects{Max: 0.01}
		r.Seen(3, c.seen)
		r.Tried(3, c.tried)
		if err := r.Add(batch.Reject{Epoch: 3, Lost: c.lost}); err != nil {
			t.Errorf("%+v: error %v before the end", c, err)
		}
		if err := r.EndEpoch(3); (err == nil) != c.ok {
			t.Errorf("%+v: error %v, want ok %v", c, err, c.ok)
		}
	}
}

// TestRejectsAtTheEnd: too many are more than Max * seen, however few were seen.
func TestRejectsAtTheEnd(t *testing.T) {
	for _, c := range []struct {
		max        float64
		seen, lost int
		ok         bool
	}{
		{0.01, 0, 0, true}, {0.01, 100, 0, true}, {0.01, 100, 1, true}, {0.01, 99, 1, false}, {0.01, 100, 2, false},
		{0.29, 100, 29, true}, {0.29, 100, 30, false}, {0, 10, 1, false}, {0, 10, 0, true}, {1, 3, 3, true}, {0.01, 0, 1, false},
	} {
		r := batch.Rejects{Max: c.max}
		r.Seen(0, c.seen)
		if c.lost > 0 {
			_ = r.Add(batch.Reject{Lost: c.lost}) // may already be too many
		}
		err := r.EndEpoch(0)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, batch.ErrTooManyRejects) {
			t.Errorf("max %g, %d of %d: got error %v, want ok %v", c.max, c.lost, c.seen, err, c.ok)
		}
		if err := r.EndEpoch(0); err != nil {
			t.Errorf("an epoch after that without a sample: %v", err)
		}
		if r.Total() != c.lost {
			t.Errorf("total %d, want %d", r.Total(), c.lost)
		}
	}
}

func TestRejectsSayWhich(t *testing.T) {
	var logged []batch.Reject
	r := batch.Rejects{Max: 0.001, Log: func(r batch.Reject) error { logged = append(logged, r); return nil }}
	r.Seen(0, 20)
	if err := r.Add(batch.Reject{Shard: "a.tar", Key: "000", What: "decode", Why: "unexpected EOF"}); err != nil {
		t.Fatal(err)
	}
	err := r.Add(batch.Reject{Shard: "b.tar", Key: "017", Offset: 1536, What: "decode", Why: "no image"})
	const want = "more samples were rejected than --max-rejects allows: 2 of 20 samples, tolerated are 0.1 %; the last: b.tar/017@1536: decode: no image"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	var last batch.Reject
	if !errors.As(err, &last) || last.Key != "017" {
		t.Errorf("the error holds the reject %v, want b.tar/017", last)
	}
	if len(logged) != 2 || logged[0].Lost != 1 {
		t.Errorf("logged %v, want two of one sample each", logged)
	}
	full := errors.New("disk full")
	r.Log = func(batch.Reject) error { return full }
	if err := r.Add(batch.Reject{}); !errors.Is(err, full) {
		t.Errorf("got error %v, want that of Log, %v", err, full)
	}
}

// TestRejectsConcurrently counts from many goroutines.
func TestRejectsConcurrently(t *testing.T) {
	lines := 0
	r := batch.Rejects{Max: 1, Log: func(batch.Reject) error { lines++; return nil }}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r.Seen(0, 1)
				_ = r.Add(batch.Reject{Lost: 1})
			}
		})
	}
	wg.Wait()
	if r.Total() != 800 || lines != 800 || r.EndEpoch(0) != nil {
		t.Errorf("%d rejects, %d lines, want 800", r.Total(), lines)
	}
}

func TestPositions(t *testing.T) {
	p, err := batch.ParsePosition("3:4096")
	if err != nil || p != (batch.Position{Epoch: 3, Index: 4096}) || p.String() != "3:4096" {
		t.Errorf("got %v, %v", p, err)
	}
	for _, s := range []string{"", "3", "3:", ":4", "-1:4", "3:4:5", "3: 4", "4294967296:0", "0:18446744073709551616", strings.Repeat("9", 100)} {
		if p, err := batch.ParsePosition(s); err == nil || !strings.Contains(err.Error(), "want EPOCH:INDEX") || len(err.Error()) > 120 {
			t.Errorf("%q: got %v, %v", s, p, err)
		}
	}
	order := []batch.Position{{0, 0}, {0, 9}, {1, 0}, {1, 1}, {2, 0}}
	for i, a := range order {
		for j, b := range order {
			if a.Before(b) != (i < j) {
				t.Error(fmt.Sprint(a, " before ", b, " is ", a.Before(b)))
			}
		}
	}
}
