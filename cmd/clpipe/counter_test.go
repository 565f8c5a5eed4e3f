package main

import (
	"strings"
	"testing"
	"time"
)

// Off a terminal a line comes when the last one is plainEvery ago, and not
// before.
func TestCounterTellsEveryTenSeconds(t *testing.T) {
	for _, c := range []struct {
		total int64
		quiet bool
		want  string
	}{
		{3, false, "2 of 3 images\n"},
		{0, false, "2 images\n"},
		{3, true, ""},
	} {
		var out strings.Builder
		counter := newCounter(&out, c.quiet, "images", c.total)
		counter.one()
		counter.last = time.Now().Add(-plainEvery)
		counter.add(1)
		counter.one()
		counter.finish()
		if counter.done != 3 {
			t.Errorf("total %d, quiet %v: got %d counted, want 3", c.total, c.quiet, counter.done)
		}
		if out.String() != c.want {
			t.Errorf("total %d, quiet %v: got %q, want %q", c.total, c.quiet, out.String(), c.want)
		}
	}
}
