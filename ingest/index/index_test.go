package index_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/ingest/index"
	"clpipe/ingest/shard"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set is an index of two shards, with everything that may be missing.
func set() ([]index.Shard, [][]index.Sample) {
	return []index.Shard{
			{Name: "a/1.tar", Format: "tar", Bytes: 5000, SHA256: strings.Repeat("0f", 32), Ranged: true},
			{Name: "b.tar.gz", Format: "tar.gz", Bytes: 900, SHA256: strings.Repeat("f0", 32), Address: "s3://bucket/b.tar.gz", ETag: `"tag"`},
			{Name: "empty", Format: "arrow", Bytes: 10, Ranged: true},
		}, [][]index.Sample{{
			{Key: "000", Offset: 0, At: 512, Size: 100, CRC32C: 0xfedcba98, Label: -3, HasLabel: true, W: 32, H: 16, Format: "jpeg"},
			{Key: "", Offset: 1024, At: -1, Damage: "sample: no image: none"},
			{Key: "ü", Offset: 1536, At: 2048, Size: 2952, CRC32C: 1},
		}, {
			{Key: "x", Offset: 7, At: -1, Size: 1 << 30, CRC32C: 5, W: 1, H: 1, Format: "png"},
			{Key: "y", Offset: 8, At: 700, Size: 1 << 30, Packed: 200, Lead: 65535, CRC32C: 6},
		}, nil}
}

// file writes an index and returns its bytes.
func file(t testing.TB, shards []index.Shard, samples [][]index.Sample) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "index")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := index.NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range shards {
		if err := w.Add(s, samples[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	shards, samples := set()
	x, err := index.Read(t.Context(), "x", bytes.NewReader(file(t, shards, samples)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(shards, x.Shards()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for place, of := range samples {
		if at, ok := x.Find(shards[place].Name); at != place || !ok || x.Samples(place) != len(of) {
			t.Errorf("%s: found in %d %v with %d samples, want %d with %d", shards[place].Name, at, ok, x.Samples(place), place, len(of))
		}
		for i, want := range of {
			got, sum := x.Sample(place, i)
			wanted := shard.Sample{Key: want.Key, Offset: want.Offset, At: want.At, Size: want.Size, Packed: want.Packed, Lead: want.Lead, Label: want.Label, HasLabel: want.HasLabel}
			damage := ""
			if got.Damage != nil {
				damage = got.Damage.What + ": " + got.Damage.Why.Error()
			}
			got.Damage = nil
			if got.Key != want.Key || fmt.Sprint(got) != fmt.Sprint(wanted) || damage != want.Damage || sum != want.CRC32C {
				t.Errorf("%d.%d: got %+v %q %08x, want %+v", place, i, got, damage, sum, want)
			}
		}
	}
	if _, ok := x.Find("c"); ok {
		t.Error("found a shard that is not there")
	}
}

// TestVersions reads what was written before tables had places, and refuses what it
// cannot know.
func TestVersions(t *testing.T) {
	shards, samples := set()
	whole := file(t, shards, samples)
	first, err := os.ReadFile("../testdata/version1.arrow") // of plain.parquet
	if err != nil {
		t.Fatal(err)
	}
	for version, body := range map[int][]byte{1: first, index.Version: whole} {
		x, err := index.Read(t.Context(), "x", bytes.NewReader(body))
		if err != nil || x.Version() != version || x.Samples(0) == 0 {
			t.Errorf("version %d: got %v, %v", version, x, err)
		}
	}
	current := fmt.Appendf(nil, "index/%d", index.Version)
	for version, want := range map[int]string{0: "make it by clpipe shards index", 1: "has columns", index.Version + 1: "make it by clpipe shards index"} {
		body := bytes.ReplaceAll(whole, current, fmt.Appendf(nil, "index/%d", version))
		if _, err := index.Read(t.Context(), "x", bytes.NewReader(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("called version %d: got %v, want %q", version, err, want)
		}
	}
}

func TestAnEmptyIndex(t *testing.T) {
	x, err := index.Read(t.Context(), "x", bytes.NewReader(file(t, nil, nil)))
	if err != nil || len(x.Shards()) != 0 {
		t.Errorf("got %v %v", x, err)
	}
}

func TestWhatCannotBeTrue(t *testing.T) {
	for want, change := range map[string]func(shards []index.Shard, samples [][]index.Sample){
		"want them sorted":      func(s []index.Shard, _ [][]index.Sample) { s[1].Name = "a/1.tar" },
		"has -1 bytes":          func(s []index.Shard, _ [][]index.Sample) { s[0].Bytes = -1 },
		"of a shard of 5000":    func(_ []index.Shard, m [][]index.Sample) { m[0][2].Size++ },
		`"000" has 0 bytes`:     func(_ []index.Shard, m [][]index.Sample) { m[0][0].Size = 0 },
		`sample "" has 3 bytes`: func(_ []index.Shard, m [][]index.Sample) { m[0][1].Size = 3 },
		"begins at -1":          func(_ []index.Shard, m [][]index.Sample) { m[0][0].Offset = -1 },
		"spans 201 bytes":       func(_ []index.Shard, m [][]index.Sample) { m[1][1].Packed++ },
		"behind 65536 others":   func(_ []index.Shard, m [][]index.Sample) { m[1][1].Lead++ },
		"behind 1 others":       func(_ []index.Shard, m [][]index.Sample) { m[0][0].Lead = 1 },
		"4294967296 bytes":      func(_ []index.Shard, m [][]index.Sample) { m[1][0].Size = 1 << 32 },
	} {
		shards, samples := set()
		change(shards, samples)
		w, err := index.NewWriter(discard{})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range shards {
			if err = w.Add(s, samples[i]); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error)    { return len(p), nil }
func (discard) Seek(int64, int) (int64, error) { return 0, nil }

// A file that is cut off or altered is refused, or what it holds is possible;
// it never panics.
func FuzzRead(f *testing.F) {
	shards, samples := set()
	whole := file(f, shards, samples)
	f.Add(whole)
	f.Add(whole[8:])
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("ARROW1\x00\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<20 {
			return
		}
		x, err := index.Read(t.Context(), "x", bytes.NewReader(body))
		if err != nil {
			return
		}
		for place, of := range x.Shards() {
			if at, ok := x.Find(of.Name); at != place || !ok {
				t.Fatalf("shard %q of place %d is found in %d", of.Name, place, at)
			}
			for i := range x.Samples(place) {
				if s, _ := x.Sample(place, i); s.Damage == nil && (s.Size < 1 || s.At >= 0 && s.At+s.StoredSize() > of.Bytes) {
					t.Fatalf("sample %+v in %+v", s, of)
				}
			}
		}
	})
}

func TestEveryCutIsRefused(t *testing.T) {
	shards, samples := set()
	whole := file(t, shards, samples)
	end := bytes.LastIndex(whole, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}) + 8
	for n := range end {
		if _, err := index.Read(t.Context(), "x", bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d of %d bytes are read as an index", n, len(whole))
		}
	}
}
