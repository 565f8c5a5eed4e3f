package main

import (
	"strings"
	"testing"

	"clpipe/ingest"

	"github.com/google/go-cmp/cmp"
)

// A shard that was not counted says so, in the table and by leaving the number
// out of the JSON; the images of a folder are one entry.
func TestListShards(t *testing.T) {
	n := func(i int) *int { return &i }
	shards := []ingest.Shard{
		{Name: "a.tar", Format: "tar", Bytes: 10, Samples: 3},
		{Name: "b.tar.gz", Format: "tar.gz", Bytes: 20},
		{Name: "cat/1.png", Format: "image", Bytes: 1},
		{Name: "cat/2.png", Format: "image", Bytes: 2},
		{Name: "dog/1.png", Format: "image", Bytes: 4},
	}
	got := listShards(shards, false)
	want := []shardEntry{{"a.tar", "tar", n(3), 10}, {"b.tar.gz", "tar.gz", nil, 20}, {"cat", "image", n(2), 3}, {"dog", "image", n(1), 4}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	var table, lines strings.Builder
	if err := printShards(stdio{out: &table}, got); err != nil {
		t.Fatal(err)
	}
	if want := "at least 6 samples in 4 shards, 37 B\n"; !strings.HasSuffix(table.String(), want) || !strings.Contains(table.String(), "b.tar.gz   tar.gz   ?") {
		t.Errorf("got\n%swant ? for b.tar.gz and the end %q", table.String(), want)
	}
	if err := printJSON(&lines, got[1]); err != nil {
		t.Fatal(err)
	}
	if want := `{"shard":"b.tar.gz","format":"tar.gz","bytes":20}` + "\n"; lines.String() != want {
		t.Errorf("got %s, want %s", lines.String(), want)
	}

	// An empty archive among counted ones has 0 samples.
	counted := listShards([]ingest.Shard{{Name: "empty.tar", Format: "tar"}}, true)
	if counted[0].Samples == nil || *counted[0].Samples != 0 {
		t.Errorf("got %v samples, want 0", counted[0].Samples)
	}
}

// A terminal is shown no signs that it would take for a command or a line's end.
func TestListedNamesAreText(t *testing.T) {
	var table strings.Builder
	if err := printShards(stdio{out: &table}, []shardEntry{{Shard: "new\nline\x1b[2J.tar", Format: "tar"}, {Shard: `a "b" é.tar`, Format: "tar"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"new\nline\x1b[2J.tar"   tar`, "\n" + `a "b" é.tar `} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("got\n%swant %s in it", table.String(), want)
		}
	}
}
