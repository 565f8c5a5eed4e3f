package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/index"
	"clpipe/ingest/internal/testserver"

	"pgregory.net/rapid"
)

// makeIndex writes the index of a source to its place, or to the given file.
func makeIndex(t testing.TB, cfg ingest.Config, path string) ingest.IndexReport {
	t.Helper()
	if path == "" {
		path = ingest.IndexPlace(cfg.Sources[0])
	}
	cfg.Index = ingest.NoIndex
	if cfg.Rejects == nil {
		cfg.Rejects = &batch.Rejects{Max: 1}
	}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := index.NewWriter(file)
	if err != nil {
		t.Fatal(err)
	}
	report, err := src.MakeIndex(t.Context(), w)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return report
}

// damagedShards are shards of the given sizes of which one has a sample without
// an image, one an image that is none, and one ends early.
func damagedShards(t testing.TB, sizes ...int) string {
	dir := shards(t, sizes...)
	write(t, dir, "train-100.tar", archive(t, append(samples(9, 2), file{"bad.cls", []byte("1")}, file{"none.png", []byte("no PNG")})...))
	body := archive(t, samples(8, 3)...)
	write(t, dir, "train-101.tar", body[:len(body)-2500])
	return dir
}

// cause is a reject without its reason, whose words differ for a shard that ends
// early: an index is made by reading, not by skipping to the end.
func cause(r batch.Reject) string {
	r.Why = ""
	return r.Error()
}

func TestIndexedOrderIsAPermutationOfAll(t *testing.T) {
	dir := damagedShards(t, 5, 1, 8, 3)
	report := makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	if report.Shards != 6 || report.Samples != 17+4+3 || report.Damaged != 2 || len(report.Sequential) > 0 {
		t.Errorf("got %+v", report)
	}
	cfg := ingest.Config{Sources: []string{dir}, Epochs: 3, Shuffle: true, Seed: 4, Index: ingest.AutoIndex, Rejects: &batch.Rejects{Max: 1}}
	var rejects []string
	cfg.Rejects.Log = func(r batch.Reject) error { rejects = append(rejects, cause(r)); return nil }
	got := mustRead(t, cfg)
	plain := cfg
	plain.Index, plain.Shuffle, plain.Epochs = "", false, 1
	plain.Rejects = &batch.Rejects{Max: 1}
	var plainRejects []string
	plain.Rejects.Log = func(r batch.Reject) error { plainRejects = append(plainRejects, cause(r)); return nil }
	all := slices.Sorted(slices.Values(ids(mustRead(t, plain))))
	for epoch := range uint32(3) {
		var of []row
		for _, r := range got {
			if r.Epoch == epoch {
				of = append(of, r)
			}
		}
		if order := ids(of); !slices.Equal(slices.Sorted(slices.Values(order)), all) || slices.Equal(order, all) {
			t.Errorf("epoch %d: got %v, want another order of %v", epoch, order, all)
		}
	}
	slices.Sort(rejects)
	slices.Sort(plainRejects)
	if want := append(append(plainRejects, plainRejects...), plainRejects...); !slices.Equal(rejects, slices.Sorted(slices.Values(want))) {
		t.Errorf("rejects: got %q, three times want %q", rejects, plainRejects)
	}

	// Labels and rows are those of the shards; without shuffling so is the order.
	cfg.Shuffle, cfg.Epochs = false, 1
	if a, b := mustRead(t, cfg), mustRead(t, plain); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("unshuffled: got %v, want %v", a, b)
	}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n, known, err := src.Count(t.Context()); n != 24 || !known || err != nil {
		t.Errorf("count: got %d %v %v, want 24", n, known, err)
	}
}

// TestIndexedOrderIsKept pins the order down for runs that were recorded.
func TestIndexedOrderIsKept(t *testing.T) {
	dir := shards(t, 3, 2, 4)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	var got []string
	for _, r := range mustRead(t, ingest.Config{Sources: []string{dir}, Epochs: 2, Shuffle: true, Seed: 5, Index: ingest.AutoIndex}) {
		got = append(got, strings.NewReplacer("train-00", "", ".tar/00", "").Replace(r.ID))
	}
	const want = "10 01 22 02 11 21 23 00 20 21 22 23 10 02 11 00 01 20"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TestAnyPartOfTheIndexedOrder draws configurations: workers, bounds and records
// change nothing, ranks have the order's places modulo their number, equally
// many of them, and resuming at any place gives the rest.
func TestAnyPartOfTheIndexedOrder(t *testing.T) {
	dir := damagedShards(t, 5, 1, 8, 3)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	const total = 24
	rapid.Check(t, func(rt *rapid.T) {
		cfg := ingest.Config{
			Sources: []string{dir}, Index: ingest.AutoIndex, Encoded: rapid.Bool().Draw(rt, "encoded"),
			Epochs: 2, Seed: rapid.Uint64().Draw(rt, "seed"), Shuffle: rapid.Bool().Draw(rt, "shuffle"),
			Limit: rapid.IntRange(0, total+1).Draw(rt, "limit"), Workers: 1, Rejects: &batch.Rejects{Max: 1},
		}
		all := mustRead(t, cfg)
		cfg.World = rapid.IntRange(1, 5).Draw(rt, "world")
		cfg.Workers = rapid.IntRange(1, 5).Draw(rt, "workers")
		cfg.RecordRows = rapid.IntRange(1, 9).Draw(rt, "rows")
		cfg.AheadBytes = rapid.Int64Range(1, 3000).Draw(rt, "ahead")
		cfg.KeepTail = rapid.Bool().Draw(rt, "tail")
		cfg.From = batch.Position{Epoch: uint32(rapid.IntRange(0, 2).Draw(rt, "epoch")), Index: rapid.Uint64Range(0, total+1).Draw(rt, "index")}
		most := uint64(total)
		if cfg.Limit > 0 {
			most = min(most, uint64(cfg.Limit))
		}
		if !cfg.KeepTail {
			most -= most % uint64(cfg.World)
		}
		var together []row
		for cfg.Rank = range cfg.World {
			src, err := ingest.Open(t.Context(), cfg)
			if err != nil {
				rt.Fatal(err)
			}
			if n, known, err := src.Count(t.Context()); !cfg.KeepTail && uint64(n) != most/uint64(cfg.World) || !known || err != nil {
				rt.Fatalf("rank %d: %d %v %v samples, want %d", cfg.Rank, n, known, err, most/uint64(cfg.World))
			}
			for _, r := range mustRead(t, cfg) {
				if r.Index%uint64(cfg.World) != uint64(cfg.Rank) {
					rt.Fatalf("rank %d of %d has %v", cfg.Rank, cfg.World, r)
				}
				together = append(together, r)
			}
		}
		slices.SortFunc(together, func(a, b row) int {
			if (batch.Position{Epoch: a.Epoch, Index: a.Index}).Before(batch.Position{Epoch: b.Epoch, Index: b.Index}) {
				return -1
			}
			return 1
		})
		want := slices.DeleteFunc(all, func(r row) bool {
			return batch.Position{Epoch: r.Epoch, Index: r.Index}.Before(cfg.From) || r.Index >= most
		})
		if fmt.Sprint(together) != fmt.Sprint(want) {
			rt.Fatalf("got  %v\nwant %v", together, want)
		}
	})
}

// TestEverySourceGivesTheSameIndexedOrder reads a set from disk, HTTP and S3 by
// the index that was made of any of them, with cut connections.
func TestEverySourceGivesTheSameIndexedOrder(t *testing.T) {
	dir := shards(t, 9, 12, 5)
	files := contents(t, dir, "set/")
	server := testserver.New(t, files)
	server.CutAfter = func(n int) int {
		if n%3 == 2 {
			return 100
		}
		return -1
	}
	storeEnvironment(t, server.URL)
	local := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 9, Index: filepath.Join(t.TempDir(), "local.arrow")}
	makeIndex(t, local, local.Index)
	want, err := digest(t, local)
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{"http": server.URL + "/set/train-{000..002}.tar", "s3": "s3://" + testserver.Bucket + "/set/"} {
		for _, made := range []string{"local", "itself"} {
			cfg := ingest.Config{Sources: []string{source}, Shuffle: true, Seed: 9, Index: local.Index, AheadBytes: 1000}.WithoutWaiting()
			if made == "itself" {
				cfg.Index = filepath.Join(t.TempDir(), name)
				makeIndex(t, cfg, cfg.Index)
			}
			if got, err := digest(t, cfg); got != want || err != nil {
				t.Errorf("%s by the index of %s: got %s %v, want %s", name, made, got, err, want)
			}
		}
	}

	// Bytes that change on their way are asked for once more.
	server.CutAfter = nil
	var parts atomic.Int64
	server.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if !isPart(r) || parts.Add(1) != 3 {
			return false
		}
		answer := server.Answer(r)
		if body := answer.Body.Bytes(); len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		testserver.Send(w, answer)
		return true
	}
	altered := ingest.Config{Sources: []string{"s3://" + testserver.Bucket + "/set/"}, Shuffle: true, Seed: 9, Index: local.Index, AheadBytes: 1000, Workers: 1}.WithoutWaiting()
	if got, err := digest(t, altered); got != want || err != nil {
		t.Errorf("altered on the way: got %s %v, want %s", got, err, want)
	}
	server.Fault = nil

	// One that lies beside the shards is found there too.
	body, err := os.ReadFile(local.Index)
	if err != nil {
		t.Fatal(err)
	}
	files["set/"+index.Name] = body
	for _, source := range []string{server.URL + "/set/train-{000..002}.tar", "s3://" + testserver.Bucket + "/set/"} {
		cfg := ingest.Config{Sources: []string{source}, Shuffle: true, Seed: 9, Index: ingest.AutoIndex}.WithoutWaiting()
		if got, err := digest(t, cfg); got != want || err != nil {
			t.Errorf("%s: got %s %v, want %s", source, got, err, want)
		}
	}
}

// Resuming reads nothing of what came before, and no shard to find its place.
func TestResumingByAnIndexReadsTheRestOnly(t *testing.T) {
	dir := shards(t, 60, 60)
	server := testserver.New(t, contents(t, dir, ""))
	cfg := ingest.Config{
		Sources: []string{server.URL + "/train-{000..001}.tar"}, Encoded: true, Epochs: 2, Shuffle: true, Seed: 2,
		Index: filepath.Join(dir, index.Name), AheadBytes: 1,
	}.WithoutWaiting()
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	var mu sync.Mutex // guards asked
	var asked []string
	server.Fault = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Range") != "bytes=0-0" { // which lists
			asked = append(asked, r.Header.Get("Range"))
		}
		return false
	}
	all := mustRead(t, cfg)
	if len(asked) != 240 || len(all) != 240 {
		t.Fatalf("got %d rows by %d requests, want one each of 240", len(all), len(asked))
	}
	asked = nil
	cfg.From = batch.Position{Epoch: 1, Index: 117}
	if got := mustRead(t, cfg); fmt.Sprint(got) != fmt.Sprint(all[237:]) || len(asked) != 3 {
		t.Errorf("got %v by %d requests, want %v by 3", got, len(asked), all[237:])
	}
}

// Packed archives and tables keep the streaming order; their index tells how
// many samples there are.
func TestIndexOfWhatIsReadInSequence(t *testing.T) {
	dir := packings(t)
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 3, Index: ingest.AutoIndex}
	report := makeIndex(t, cfg, "")
	if want := []string{"part-1.tar.gz", "part-2.tar.zst"}; report.Samples != 48 || !slices.Equal(report.Sequential, want) {
		t.Errorf("got %+v, want 48 samples and %v in sequence", report, want)
	}
	plain := cfg
	plain.Index = ingest.NoIndex
	want, err1 := digest(t, plain)
	got, err2 := digest(t, cfg)
	if got != want || err1 != nil || err2 != nil {
		t.Errorf("got %s %v, want %s %v", got, err2, want, err1)
	}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n, known, err := src.Count(t.Context()); n != 48 || !known || err != nil {
		t.Errorf("count: got %d %v %v, want 48", n, known, err)
	}
}

func TestStaleIndex(t *testing.T) {
	dir := shards(t, 3, 4)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	open := func(source string) error {
		_, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{source}, Index: filepath.Join(dir, index.Name)})
		return err
	}
	if err := open(filepath.Join(dir, "train-000.tar")); err != nil {
		t.Errorf("one of the shards: %v", err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "train-000.tar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		change func()
		want   string
	}{
		{"another size", func() { write(t, dir, "train-000.tar", append(slices.Clone(first), make([]byte, 512)...)) }, `shard "train-000.tar" has `},
		{"a new shard", func() { write(t, dir, "train-000.tar", first); write(t, dir, "train-002.tar", first) }, `it has no shard "train-002.tar"`},
		{"a shard that is gone", func() {
			for _, name := range []string{"train-001.tar", "train-002.tar"} {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}, `shard "train-001.tar" is gone`},
	} {
		c.change()
		err := open(dir)
		stale := (*ingest.StaleIndexError)(nil)
		if !errors.As(err, &stale) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "clpipe shards index --src") {
			t.Errorf("%s: got %v, want %q", c.what, err, c.want)
		}
	}

	// Bytes that changed in place show when they are read.
	body := slices.Clone(first)
	at := bytes.Index(body, []byte("PNG"))
	body[at+20] ^= 1
	write(t, dir, "train-000.tar", body)
	cfg := ingest.Config{Sources: []string{filepath.Join(dir, "train-000.tar")}, Encoded: true, Epochs: 1, Index: filepath.Join(dir, index.Name), Rejects: &batch.Rejects{Max: 1}}
	var told []string
	cfg.Rejects.Log = func(r batch.Reject) error { told = append(told, r.Error()); return nil }
	if rows := mustRead(t, cfg); len(rows) != 2 || len(told) != 1 || !strings.Contains(told[0], "train-000.tar/000@0: read: its CRC-32C is ") {
		t.Errorf("got %v, rejected %q", rows, told)
	}

	// A remote shard of the same size in another version.
	files := map[string][]byte{"a.tar": first}
	server := testserver.New(t, files)
	remote := ingest.Config{Sources: []string{server.URL + "/a.tar"}, Index: filepath.Join(t.TempDir(), "x")}.WithoutWaiting()
	makeIndex(t, remote, remote.Index)
	files["a.tar"] = body
	if _, err := ingest.Open(t.Context(), remote); err == nil || !strings.Contains(err.Error(), `shard "a.tar" is version `) {
		t.Errorf("another version: got %v", err)
	}

	// An index that lies on a server cannot be written there.
	if files[index.Name], err = os.ReadFile(remote.Index); err != nil {
		t.Fatal(err)
	}
	remote.Index = server.URL + "/" + index.Name
	if _, err := ingest.Open(t.Context(), remote); err == nil || !strings.Contains(err.Error(), "-o FILE and put that in its place") {
		t.Errorf("an index on a server: got %v", err)
	}
}

// TestEachSourceHasItsIndex reads parts of two folders whose indexes both have a
// shard of one name.
func TestEachSourceHasItsIndex(t *testing.T) {
	a, b := shards(t, 2, 3), shards(t, 1, 4, 5)
	for _, dir := range []string{a, b} {
		makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	}
	cfg := ingest.Config{Sources: []string{filepath.Join(a, "train-000.tar"), filepath.Join(b, "train-00{1..2}.tar")}, Epochs: 1, Index: ingest.AutoIndex}
	rows, src, err := read(t, cfg, 0)
	if err != nil || len(rows) != 2+4+5 || !src.Permuted() {
		t.Fatalf("got %d rows, %v, want 11 by the indexes", len(rows), err)
	}
	r, err := src.Verify(t.Context(), ingest.AutoIndex)
	if err != nil || len(r.Altered) > 0 {
		t.Fatalf("verify: altered %v, %v", r.Altered, err)
	}
	for _, s := range r.Shards {
		if len(s.Agreed) != 1 {
			t.Errorf("%s agrees with %q, want the index beside it", s.Name, s.Agreed)
		}
	}
}

func TestSourcesWithoutIndex(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "images/a.png", picture(2, 2, 1))
	write(t, dir, "s.tar", archive(t, samples(1, 2)...))
	for _, c := range []struct {
		source, index, want string
	}{
		{filepath.Join(dir, "s.tar"), ingest.AutoIndex, "there is no " + filepath.Join(dir, index.Name)},
		{filepath.Join(dir, "s.tar"), "nowhere.arrow", "there is no nowhere.arrow: make it by clpipe shards index"},
		{"-", ingest.AutoIndex, "standard input"},
	} {
		_, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{c.source}, Index: c.index, Stdin: strings.NewReader("")})
		if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s by %s: got %v, want %q", c.source, c.index, err, c.want)
		}
	}
	for source, want := range map[string]string{filepath.Join(dir, "images"): "permuted one by one without an index", "-": "read only once"} {
		src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{source}, Stdin: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.MakeIndex(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}

func TestIndexPlace(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "{a}/x[1].tar", nil)
	for source, want := range map[string]string{
		filepath.Join(dir, "{a}", "x[1].tar"):  filepath.Join(dir, "{a}", index.Name),
		dir:                                    filepath.Join(dir, index.Name),
		filepath.Join(dir, "a", "x-*.tar"):     filepath.Join(dir, "a", index.Name),
		filepath.Join(dir, "{a,b}", "x.tar"):   filepath.Join(dir, index.Name),
		"train.tar":                            index.Name,
		"s3://bucket":                          "s3://bucket/" + index.Name,
		"s3://bucket/set":                      "s3://bucket/set/" + index.Name,
		"s3://bucket/set/":                     "s3://bucket/set/" + index.Name,
		"s3://bucket/set/x-{0..3}.tar":         "s3://bucket/set/" + index.Name,
		"s3://bucket/set/x.tar":                "s3://bucket/set/" + index.Name,
		"https://host/set/x-{0..3}.tar?sig=/a": "https://host/set/" + index.Name + "?sig=/a",
		"http://[::1]:80/set/x-{0..3}.tar":     "http://[::1]:80/set/" + index.Name,
		"https://host/a[1]/x-{0..3}.tar":       "https://host/a[1]/" + index.Name,
	} {
		if got := ingest.IndexPlace(source); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

func TestReadingAheadIsBounded(t *testing.T) {
	dir := shards(t, 40, 40)
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	// Less room than an image takes, and more than all.
	for _, bytes := range []int64{1, 500, math.MaxInt64} {
		cfg := ingest.Config{Sources: []string{dir}, Epochs: 2, Shuffle: true, Index: ingest.AutoIndex, AheadBytes: bytes}
		if n := len(mustRead(t, cfg)); n != 160 {
			t.Errorf("%d bytes: got %d rows, want 160", bytes, n)
		}
	}
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Index: ingest.AutoIndex, AheadBytes: 2000}
	if rows, _, err := read(t, cfg, 200); len(rows) < 200 || err != nil { // endless, until the reader leaves
		t.Errorf("got %d rows %v, want 200", len(rows), err)
	}
}
