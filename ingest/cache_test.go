package ingest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"
)

// TestCacheAsksOnce reads shards of every packing from both kinds of server, with
// cut connections too: the second epoch and the second run ask for nothing but
// what is there.
func TestCacheAsksOnce(t *testing.T) {
	dir := packings(t)
	want, err := digest(t, ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 3, ShuffleBuffer: 10, Interleave: 3, Epochs: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, cuts := range []func(int) int{nil, func(n int) int { return 700 + n*1237%3000 }} {
		server := testserver.New(t, contents(t, dir, "set/"))
		server.CutAfter = cuts
		storeEnvironment(t, server.URL)
		for source, listed := range map[string]int{"s3://bucket/set": 1, server.URL + "/set/" + packingsPattern: 4} {
			folder := filepath.Join(t.TempDir(), "cache")
			cfg := ingest.Config{Sources: []string{source}, Shuffle: true, Seed: 3, ShuffleBuffer: 10, Interleave: 3, Epochs: 2, CacheDir: folder}.WithoutWaiting()
			for run := range 2 {
				before := server.Requests()
				if got, err := digest(t, cfg); err != nil || got != want {
					t.Errorf("%s, run %d: got %s, %v, want %s", source, run, got, err, want)
				}
				asked := server.Requests() - before
				if files := 4; cuts == nil && run == 0 && asked > listed+files+1 { // the listing asks for a prefix twice
					t.Errorf("%s: %d requests in two epochs, want at most %d", source, asked, listed+files+1)
				}
				if cuts == nil && run == 1 && asked > listed+1 {
					t.Errorf("%s: %d requests in the second run, want those of the listing", source, asked)
				}
			}
		}
	}
}

func TestCacheThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{dir}, CacheDir: dir})
	if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), `holds "thesis.txt"`) {
		t.Errorf("got %v, want a usage error that names the file", err)
	}
}

// TestCacheServesParts reads in an index's order, sample by sample.
func TestCacheServesParts(t *testing.T) {
	dir := shards(t, 9, 12, 5)
	server := testserver.New(t, contents(t, dir, "set/"))
	storeEnvironment(t, server.URL)
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 9, Index: filepath.Join(t.TempDir(), "index.arrow"), Epochs: 3}
	makeIndex(t, cfg, cfg.Index)
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for source, listed := range map[string]int{"s3://bucket/set": 2, server.URL + "/set/train-{000..002}.tar": 3} {
		cfg.Sources, cfg.CacheDir = []string{source}, t.TempDir()
		for run := range 2 {
			before := server.Requests()
			if got, err := digest(t, cfg.WithoutWaiting()); err != nil || got != want {
				t.Errorf("%s, run %d: got %s, %v, want %s", source, run, got, err, want)
			}
			if asked, most := server.Requests()-before, listed+3*(1-run); asked > most { // a block a shard, once
				t.Errorf("%s, run %d: %d requests in three epochs, want at most %d", source, run, asked, most)
			}
		}
	}
}
