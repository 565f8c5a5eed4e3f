package ingest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is a member of an archive.
type file struct {
	name string
	body []byte
}

// picture is a PNG of w x h pixels of one colour.
func picture(w, h int, shade byte) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.RGBA{shade, byte(x), byte(y), 255})
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, m); err != nil {
		panic(err) // encoding to memory does not fail
	}
	return buf.Bytes()
}

// archive is a tar file of the members.
func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// samples are the members of n labelled samples.
func samples(shard, n int) []file {
	var files []file
	for i := range n {
		key := fmt.Sprintf("%03d", i)
		files = append(files, file{key + ".png", picture(2+i%3, 2, byte(16*shard+i))}, file{key + ".cls", []byte(fmt.Sprint(shard))})
	}
	return files
}

func write(t testing.TB, dir, name string, body []byte) {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

// shards writes shards of the given numbers of samples and returns their folder.
func shards(t testing.TB, sizes ...int) string {
	dir := t.TempDir()
	for i, n := range sizes {
		write(t, dir, fmt.Sprintf("train-%03d.tar", i), archive(t, samples(i, n)...))
	}
	return dir
}

// row is what a test looks at.
type row struct {
	batch.Row
	record int // in which record it came
	size   int // bytes of the image
}

func (r row) String() string { return fmt.Sprintf("%d:%d=%s", r.Epoch, r.Index, r.ID) }

// read runs a source to its end, or up to stop rows if that is not 0.
func read(t testing.TB, cfg ingest.Config, stop int) ([]row, *ingest.Source, error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	cfg.Mem = mem
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		return nil, nil, err
	}
	var rows []row
	records := 0
	collect := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			rows = append(rows, rowsOf(t, cfg.Encoded, rec, records)...)
			records++
			rec.Release()
			if stop > 0 && len(rows) >= stop {
				return nil
			}
		}
	}
	err = batch.Run(t.Context(), 1, nil, nil, src.Stage(), collect)
	return rows, src, err
}

func rowsOf(t testing.TB, encoded bool, rec arrow.Record, record int) []row {
	var rows []row
	view := func(s batch.Samples, i, size int) {
		r := row{record: record, size: size}
		r.ID, r.Epoch = s.ID(i), s.Epoch(i)
		r.Index, _ = s.Index(i)
		r.Label, r.HasLabel = s.Label(i)
		rows = append(rows, r)
	}
	if encoded {
		e, err := batch.NewEncoded(rec)
		if err != nil {
			t.Fatal(err)
		}
		for i := range e.Len() {
			view(e.Samples, i, len(e.Bytes(i)))
		}
		return rows
	}
	m, err := batch.NewImages(rec)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Len() {
		pix, _, _ := m.Image(i)
		view(m.Samples, i, len(pix))
	}
	return rows
}

func ids(rows []row) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.ID
	}
	return out
}

func mustRead(t testing.TB, cfg ingest.Config) []row {
	t.Helper()
	rows, _, err := read(t, cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestSortedOrderWithoutShuffle(t *testing.T) {
	rows := mustRead(t, ingest.Config{Sources: []string{shards(t, 2, 3)}, Epochs: 1})
	want := "[0:0=train-000.tar/000 0:1=train-000.tar/001 0:2=train-001.tar/000 0:3=train-001.tar/001 0:4=train-001.tar/002]"
	if got := fmt.Sprint(rows); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if rows[4].Label != 1 || !rows[4].HasLabel {
		t.Errorf("label of %v: got %d %v, want 1", rows[4], rows[4].Label, rows[4].HasLabel)
	}
	if rows[1].size != 3*2*3 {
		t.Errorf("%v: got %d bytes, want [2,3,3]", rows[1], rows[1].size)
	}
}

func TestShufflePermutesEachEpoch(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 7, 5, 9, 1)}, Epochs: 3, Shuffle: true, Seed: 5, ShuffleBuffer: 6, Interleave: 2, RecordRows: 4}
	rows := mustRead(t, cfg)
	const n = 22
	if len(rows) != 3*n {
		t.Fatalf("got %d rows, want %d", len(rows), 3*n)
	}
	var epochs [3][]string
	for i, r := range rows {
		if int(r.Epoch) != i/n || int(r.Index) != i%n {
			t.Fatalf("row %d is at %d:%d, want %d:%d", i, r.Epoch, r.Index, i/n, i%n)
		}
		if i > 0 && r.record == rows[i-1].record && r.Epoch != rows[i-1].Epoch {
			t.Fatalf("record %d holds two epochs", r.record)
		}
		epochs[r.Epoch] = append(epochs[r.Epoch], r.ID)
	}
	sorted := ids(mustRead(t, ingest.Config{Sources: cfg.Sources, Epochs: 1}))
	for e, order := range epochs {
		if slices.Equal(order, epochs[(e+1)%3]) {
			t.Errorf("epochs %d and %d have the same order", e, (e+1)%3)
		}
		if got := slices.Sorted(slices.Values(order)); !slices.Equal(got, sorted) {
			t.Errorf("epoch %d: got %v, want a permutation of %v", e, got, sorted)
		}
	}
}

func TestWorkersChangeNothing(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 7, 5, 9, 1)}, Epochs: 2, Shuffle: true, Seed: 5, ShuffleBuffer: 6, Interleave: 3, RecordRows: 4, RecordBytes: 40}
	for _, encoded := range []bool{false, true} {
		cfg.Encoded, cfg.Workers = encoded, 1
		want := mustRead(t, cfg)
		for _, workers := range []int{2, 8} {
			cfg.Workers = workers
			if got := mustRead(t, cfg); !slices.Equal(got, want) {
				t.Errorf("encoded %v, %d workers: got %v\nwant %v", encoded, workers, got, want)
			}
		}
		cfg.Seed++
		if got := mustRead(t, cfg); slices.Equal(ids(got), ids(want)) {
			t.Errorf("encoded %v: another seed gives the same order", encoded)
		}
		cfg.Seed--
	}
}

func TestResumeFromEveryPosition(t *testing.T) {
	dir := shards(t, 4, 3, 5)
	damaged := samples(7, 4)
	damaged[2].body = []byte("not a picture")
	packed := compress(t, "gz", archive(t, damaged...))
	write(t, dir, "train-003.tar", packed)
	cfg := ingest.Config{Sources: []string{dir}, Epochs: 2, Shuffle: true, Seed: 9, ShuffleBuffer: 5, Interleave: 2, RecordRows: 3, Rejects: &batch.Rejects{Max: 1}}
	all := mustRead(t, cfg)
	if len(all) != 2*15 {
		t.Fatalf("got %d rows, want %d", len(all), 2*15)
	}
	for epoch := range uint32(2) {
		for index := range uint64(17) {
			cfg.From = batch.Position{Epoch: epoch, Index: index}
			cfg.Rejects = &batch.Rejects{Max: 1}
			from := slices.IndexFunc(all, func(r row) bool { return !(batch.Position{Epoch: r.Epoch, Index: r.Index}).Before(cfg.From) })
			var want []row
			if from >= 0 {
				want = all[from:]
			}
			if got := mustRead(t, cfg); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("from %v: got %v\nwant %v", cfg.From, got, want)
			}
		}
	}
}

func compress(t testing.TB, how string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&buf)
	if how == "zst" {
		var err error
		if w, err = zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestPackingChangesNothing(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 6, 5, 4)}, Epochs: 1, Shuffle: true, Seed: 3, ShuffleBuffer: 4, ShuffleBytes: 250, Interleave: 2}
	want := mustRead(t, cfg)
	for _, how := range []string{"gz", "zst"} {
		dir := t.TempDir()
		for i, n := range []int{6, 5, 4} {
			// the name says nothing of the packing
			write(t, dir, fmt.Sprintf("train-%03d.tar", i), compress(t, how, archive(t, samples(i, n)...)))
		}
		cfg.Sources = []string{dir}
		if got := mustRead(t, cfg); !slices.Equal(got, want) {
			t.Errorf("%s: got %v\nwant %v", how, got, want)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"dog/2.png", "cat/1.PNG", "dog/1.png", "cat/deep/1.png", "alone.png", ".hidden/1.png", "dog/notes.txt"} {
		write(t, dir, name, picture(2, 2, 1))
	}
	rows, src, err := read(t, ingest.Config{Sources: []string{dir}, Epochs: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		label := "-"
		if r.HasLabel {
			label = fmt.Sprint(r.Label)
		}
		got = append(got, r.ID+" "+label)
	}
	want := []string{"alone.png -", "cat/1.PNG 0", "cat/deep/1.png 0", "dog/1.png 1", "dog/2.png 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := src.Metadata()[batch.KeyClasses], `["cat","dog"]`; got != want {
		t.Errorf("classes: got %s, want %s", got, want)
	}
	if n, known, err := src.Count(t.Context()); n != 5 || !known || err != nil {
		t.Errorf("count: got %d %v %v, want 5", n, known, err)
	}
}

// TestFolderWithLinksToNothing reads what is there: an image that is not is lost,
// whatever else is not needed.
func TestFolderWithLinksToNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "cat/1.png", picture(2, 2, 1))
	nothing := func(name string) {
		if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
	}
	nothing("notes.txt")
	nothing("cat/2.png")
	rows, rejects, src, err := rejected(t, ingest.Config{Sources: []string{dir}, Epochs: 1})
	if err != nil || fmt.Sprint(ids(rows)) != "[cat/1.png]" || len(rejects) != 1 || rejects[0].Key != "cat/2.png" || !rejects[0].GivenUp {
		t.Errorf("got %v, rejects %v, %v, want one image and one that is lost", rows, rejects, err)
	}
	if n, known, err := src.Count(t.Context()); n != 2 || !known || err != nil {
		t.Errorf("count: got %d %v %v, want 2", n, known, err)
	}
	other := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(other, "a.tar")); err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{other}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a shard: got %v, want that it does not exist", err)
	}
}

func TestRanksDivideTheShards(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 3, 2, 4, 1, 5)}, Epochs: 1, Shuffle: true, Seed: 2, World: 2, KeepTail: true}
	var together []string
	for cfg.Rank = range cfg.World {
		together = append(together, ids(mustRead(t, cfg))...)
	}
	slices.Sort(together)
	all := ids(mustRead(t, ingest.Config{Sources: cfg.Sources, Epochs: 1}))
	if !slices.Equal(together, all) {
		t.Errorf("got %v, want %v", together, all)
	}
}

// Ranks that divide whole shards have equally many samples in each epoch, known
// beforehand, also when one resumes.
func TestRanksHaveEquallyManySamples(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 3, 2, 4, 1, 5, 2, 2)}, Epochs: 4, Shuffle: true, Seed: 2, World: 3, ShuffleBuffer: 2}
	var rows [3][]row
	for cfg.Rank = range cfg.World {
		rows[cfg.Rank] = mustRead(t, cfg)
		src, err := ingest.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, known, err := src.Count(t.Context()); !known || err != nil {
			t.Fatalf("count: %v %v", known, err)
		}
		for epoch := range uint32(4) {
			want, known := src.EpochSamples(epoch)
			got := 0
			for _, r := range rows[cfg.Rank] {
				if r.Epoch == epoch {
					got++
				}
			}
			if int64(got) != want || !known || want < 2 {
				t.Errorf("rank %d, epoch %d: got %d samples, %d %v were known", cfg.Rank, epoch, got, want, known)
			}
		}
		if len(rows[cfg.Rank]) != len(rows[0]) {
			t.Errorf("rank %d has %d samples, rank 0 %d", cfg.Rank, len(rows[cfg.Rank]), len(rows[0]))
		}
	}
	cfg.Rank, cfg.From = 1, batch.Position{Epoch: 2, Index: 1}
	want := slices.DeleteFunc(rows[1], func(r row) bool { return batch.Position{Epoch: r.Epoch, Index: r.Index}.Before(cfg.From) })
	if got := mustRead(t, cfg); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("resumed: got %v, want %v", got, want)
	}
}

func TestLimitCountsInTheEpochsOrder(t *testing.T) {
	cfg := ingest.Config{Sources: []string{shards(t, 6, 6)}, Epochs: 2, Shuffle: true, Seed: 2, ShuffleBuffer: 4}
	var want []row
	for _, r := range mustRead(t, cfg) {
		if r.Index < 5 {
			want = append(want, r)
		}
	}
	cfg.Limit = 5
	if got := mustRead(t, cfg); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestEpochsGoOnUntilTheReaderLeaves(t *testing.T) {
	rows, _, err := read(t, ingest.Config{Sources: []string{shards(t, 2, 3)}, RecordRows: 2}, 23)
	if err != nil {
		t.Fatal(err)
	}
	if last := rows[len(rows)-1]; last.Epoch != 4 {
		t.Errorf("got %v last, want epoch 4", last)
	}
}

func TestFirstAndCount(t *testing.T) {
	dir := shards(t, 3, 4)
	write(t, dir, "a.tar", archive(t, file{"bad.png", []byte("bad")}, file{"x/good.png", picture(7, 5, 0)}))
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := src.First(t.Context())
	if want := (ingest.FirstImage{ID: "a.tar/x/good", Format: "png", W: 7, H: 5}); err != nil || first != want {
		t.Errorf("got %+v %v, want %+v", first, err, want)
	}
	if n, known, err := src.Count(t.Context()); n != 9 || !known || err != nil {
		t.Errorf("count: got %d %v %v, want 9", n, known, err)
	}
	write(t, dir, "b.tar.gz", compress(t, "gz", archive(t, samples(0, 1)...)))
	if src, err = ingest.Open(t.Context(), ingest.Config{Sources: []string{dir}}); err != nil {
		t.Fatal(err)
	}
	if _, known, err := src.Count(t.Context()); known || err != nil {
		t.Errorf("count with a packed shard: got known %v, error %v", known, err)
	}
}

func TestCancelInTheMiddle(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{shards(t, 20, 20)}, Shuffle: true, Workers: 4, RecordRows: 2, Mem: mem})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	records := 0
	err = batch.Run(ctx, 2, nil, nil, src.Stage(), func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if err != nil {
				return err
			}
			rec.Release()
			if records++; records == 5 {
				cancel()
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestUsageErrors(t *testing.T) {
	mixed := shards(t, 1)
	write(t, mixed, "photo.jpg", picture(1, 1, 1))
	neither := t.TempDir()
	write(t, neither, "notes.txt", []byte("x"))
	one := shards(t, 1)
	cases := []struct {
		name    string
		sources []string
		want    string
	}{
		{"no sources", nil, "Sources: got [], want at least one"},
		{"missing", []string{filepath.Join(one, "none.tar")}, "no such file"},
		{"mixed", []string{mixed}, "both shards (1, as \"train-000.tar\") and images (1, as \"photo.jpg\")"},
		{"neither", []string{neither}, "found 1 .txt"},
		{"empty", []string{t.TempDir()}, "found no files"},
		{"equal paths", []string{one, filepath.Join(one, "*.tar")}, "equal ids"},
		{"glob without match", []string{filepath.Join(one, "*.gz")}, "no file matches"},
		{"missing of a pattern", []string{filepath.Join(one, "train-{000..002}.tar")}, "2 of its 3 files are missing"},
		{"bad brace", []string{filepath.Join(one, "train-{000..")}, "a { without its }"},
		{"scheme", []string{"ftp://user:secret@host/x"}, "source \"ftp://host/x\": cannot read ftp://, want s3://"},
		{"http directory", []string{"https://host/shards/"}, "lists no directories"},
		{"bucket", []string{"s3://"}, "names no bucket"},
		{"stdin twice", []string{"-", "-"}, "equal ids"},
	}
	for _, c := range cases {
		_, err := ingest.Open(t.Context(), ingest.Config{Sources: c.sources})
		if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a usage error with %q", c.name, err, c.want)
		}
	}
	_, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{one}, World: 2, Rank: 2, RecordRows: -1})
	for _, want := range []string{"Rank: got 2, want 0 to World-1 = 1", "RecordRows: got -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want all problems, one being %q", err, want)
		}
	}
	if _, err = ingest.Open(t.Context(), ingest.Config{Sources: []string{one}, World: 2}); err == nil || !strings.Contains(err.Error(), "1 shards for 2 ranks") {
		t.Errorf("more ranks than shards: got %v", err)
	}
}

// discard reads a stream to its end.
func discard(ctx context.Context, in batch.Reader, _ batch.Writer) error {
	for {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rec.Release()
	}
}

// TestCIFAR reads what was not written by this package.
func TestCIFAR(t *testing.T) {
	pattern := filepath.Join("..", "..", "shared", "data", "cifar10", "test-{00000..00001}.tar")
	if _, err := os.Stat(filepath.Dir(pattern)); err != nil {
		t.Skip("the CIFAR-10 shards are not here: ", err)
	}
	cfg := ingest.Config{Sources: []string{pattern}, Epochs: 1, Shuffle: true, Seed: 1, Limit: 2000}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := src.First(t.Context()); err != nil || first.W != 32 || first.H != 32 || first.ID != "test-00000.tar/000000" {
		t.Errorf("first: got %+v %v", first, err)
	}
	classes := map[int64]int{}
	for _, r := range mustRead(t, cfg) {
		if r.size != 32*32*3 || !r.HasLabel {
			t.Fatalf("%v: got %d bytes, label %v, want [32,32,3] with a label", r, r.size, r.HasLabel)
		}
		classes[r.Label]++
	}
	if len(classes) != 10 {
		t.Errorf("got classes %v, want 10", classes)
	}
}
