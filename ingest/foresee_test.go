package ingest_test

import (
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"clpipe/ingest"
	"clpipe/ingest/index"
	"clpipe/ingest/internal/testserver"
)

func mixing(t *testing.T, cfg ingest.Config) ingest.Mixing {
	t.Helper()
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := src.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, known, err := src.Mixing(t.Context(), 10)
	if err != nil || !known {
		t.Fatalf("mixing: %v %v", known, err)
	}
	return m
}

// What is not shuffled lies as it lay, a buffer mixes some, a permutation all.
func TestMixing(t *testing.T) {
	dir := shards(t, 100, 100, 100, 100, 100, 100)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	cfg := ingest.Config{Sources: []string{dir}, ShuffleBuffer: 20, Interleave: 2, Seed: 1}
	none := mixing(t, cfg)
	if none.Displacement != 0 || none.Shards != 1 || none.Classes != 1 || none.Neighbours > 0.01 || none.Samples != 600 {
		t.Errorf("unshuffled: got %+v", none)
	}
	cfg.Shuffle = true
	some := mixing(t, cfg)
	if some.Shards < 1.5 || some.Shards > 3.5 || some.Neighbours < 0.05 || some.Neighbours > 0.5 {
		t.Errorf("by a buffer: got %+v", some)
	}
	cfg.Index = ingest.AutoIndex
	all := mixing(t, cfg)
	if math.Abs(all.Displacement-1) > 0.1 || math.Abs(all.Neighbours-1) > 0.1 || math.Abs(all.Shards-all.BestShards) > 0.3 || math.Abs(all.Classes-all.BestClasses) > 0.3 {
		t.Errorf("by a permutation: got %+v", all)
	}
	if all.BestShards < 4.5 { // of 6, in batches of 10: 6*(1-(5/6)^10) = 5.03
		t.Errorf("a permutation has %.2f shards in a batch, want about 5", all.BestShards)
	}
}

// In a folder every image is a shard, and those beside each other are of one class;
// two images, or those of a rank that has none side by side, can be mixed in no way.
func TestMixingOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range 60 {
		write(t, dir, fmt.Sprintf("%c/%02d.png", 'a'+i/20, i), picture(2, 2, byte(i)))
	}
	cfg := ingest.Config{Sources: []string{dir}}
	if none := mixing(t, cfg); none.Displacement != 0 || none.Neighbours > 0.1 {
		t.Errorf("unshuffled: got %+v", none)
	}
	cfg.Shuffle, cfg.Seed = true, 1
	if all := mixing(t, cfg); math.Abs(all.Displacement-1) > 0.3 || math.Abs(all.Neighbours-1) > 0.3 {
		t.Errorf("shuffled: got %+v", all)
	}
	for cfg.Rank = range 30 {
		cfg.World = 30
		if two := mixing(t, cfg); math.IsNaN(two.Displacement+two.Neighbours) || math.IsInf(two.Displacement+two.Neighbours, 0) {
			t.Errorf("two images: got %+v", two)
		}
	}
}

// The order of packed shards is foreseen from their index as that of others from
// their headers.
func TestMixingOfPackedShards(t *testing.T) {
	plain, packed := t.TempDir(), t.TempDir()
	for i, name := range []string{"a.tar", "b.tar", "c.tar"} {
		body := archive(t, samples(i, 30+i)...)
		write(t, plain, name, body)
		write(t, packed, name, compress(t, "gz", body))
	}
	makeIndex(t, ingest.Config{Sources: []string{packed}}, "")
	cfg := ingest.Config{Sources: []string{plain}, Shuffle: true, ShuffleBuffer: 9, Seed: 3}
	want := mixing(t, cfg)
	cfg.Sources, cfg.Index = []string{packed}, ingest.AutoIndex
	if got := mixing(t, cfg); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReadsAreForeseen(t *testing.T) {
	dir := shards(t, 50, 50)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Index: ingest.AutoIndex}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	near := src.Reads() // all in one window: each shard at once
	if !near.Ranged || near.Requests != 2 || near.Bytes < near.Wanted || near.Wanted < 50*2*60 {
		t.Errorf("got %+v, want each shard by one read", near)
	}
	cfg.AheadBytes = 1
	if src, err = ingest.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if far := src.Reads(); far.Requests != 100 || far.Bytes != far.Wanted || far.Wanted != near.Wanted {
		t.Errorf("got %+v, want each image by itself, %d bytes", far, near.Wanted)
	}
	cfg.Index = ""
	if src, err = ingest.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if r := src.Reads(); r.Ranged || r.Requests != -1 || r.Bytes != src.Shards()[0].Bytes+src.Shards()[1].Bytes {
		t.Errorf("in sequence: got %+v", r)
	}
}

// TestImagesNearEachOtherAreOneRequest reads an indexed set whose windows hold a
// few images of each shard: what lies between them is dropped on the way.
func TestImagesNearEachOtherAreOneRequest(t *testing.T) {
	dir := shards(t, 50, 50)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 4, Index: filepath.Join(dir, index.Name), AheadBytes: 4000}
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := testserver.New(t, contents(t, dir, "set/"))
	storeEnvironment(t, server.URL)
	var parts atomic.Int64
	server.Fault = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		if isPart(r) {
			parts.Add(1)
		}
		return false
	}
	cfg.Sources = []string{"s3://bucket/set"}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	reads := src.Reads()
	parts.Store(0)
	if got, err := digest(t, cfg); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if reads.Requests >= 50 || parts.Load() != reads.Requests || reads.Bytes < 2*reads.Wanted {
		t.Errorf("%d requests for 100 images, foreseen were %+v: want as many, each for several images and what lies between", parts.Load(), reads)
	}
}
