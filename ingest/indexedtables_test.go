package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/index"
	"clpipe/ingest/internal/testserver"
	"clpipe/internal/rng"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	parquetcodec "github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// copied returns a folder with some of the tables.
func copied(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(tables, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, body)
	}
	return dir
}

// stored are tables in which images stand as they are, or in fragments of Snappy's.
var stored = []string{
	"huggingface.parquet",
	"plain.parquet", "dictionary.parquet", "twice.parquet", "pages.parquet", "pages2.parquet", "lengths.parquet",
	"stream.arrows", "file.arrow", "missing.arrow",
}

// TestImagesOfTablesByThemselves reads every table by the places that its index has,
// the same images as from end to end.
func TestImagesOfTablesByThemselves(t *testing.T) {
	for _, name := range stored {
		cfg := ingest.Config{Sources: []string{copied(t, name)}, Rejects: &batch.Rejects{Max: 1}}
		want, order := pixelsOf(t, cfg)
		if report := makeIndex(t, cfg, ""); len(report.Sequential) > 0 {
			t.Errorf("%s: read in sequence, want by ranges", name)
			continue
		}
		cfg.Index, cfg.Rejects = ingest.AutoIndex, &batch.Rejects{Max: 1}
		got, rows := pixelsOf(t, cfg)
		if fmt.Sprint(rows) != fmt.Sprint(order) || len(got) < 10 {
			t.Errorf("%s, unshuffled: got %v, want %v", name, rows, order)
		}
		for id, pix := range want {
			if !bytes.Equal(got[id], pix) {
				t.Errorf("%s: %s differs", name, id)
			}
		}
		cfg.Shuffle, cfg.Seed, cfg.Rejects = true, 3, &batch.Rejects{Max: 1}
		if _, rows = pixelsOf(t, cfg); fmt.Sprint(rows) == fmt.Sprint(order) {
			t.Errorf("%s, shuffled: got the order of the rows", name)
		}
	}
}

// TestTablesReadInSequence have images that do not stand in them as they are: their
// index tells lengths, and why.
func TestTablesReadInSequence(t *testing.T) {
	pixels := written(t, ingest.Config{Sources: []string{shards(t, 5)}, Epochs: 1})
	thumbnails := snappyTable(t, slices.Repeat([]int{300}, 200), parquet.DataPageV1)
	for _, name := range []string{"thumbnails.parquet", "gzip.parquet", "prefixes.parquet", "lz4.arrow", "zstd.arrows", "pixels.arrows"} {
		dir := t.TempDir()
		switch name {
		case "pixels.arrows":
			write(t, dir, name, pixels)
		case "thumbnails.parquet":
			write(t, dir, name, thumbnails)
		default:
			dir = copied(t, name)
		}
		var log bytes.Buffer
		cfg := ingest.Config{
			Sources: []string{filepath.Join(dir, name)}, Encoded: true, Shuffle: true, Seed: 3, Index: ingest.AutoIndex,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		}
		if report := makeIndex(t, cfg, ""); !slices.Equal(report.Sequential, []string{name}) {
			t.Errorf("%s: got %v in sequence", name, report.Sequential)
		}
		plain := cfg
		plain.Index = ingest.NoIndex
		want, err1 := digest(t, plain)
		got, err2 := digest(t, cfg)
		if got != want || err1 != nil || err2 != nil {
			t.Errorf("%s: got %s %v, want %s %v", name, got, err2, want, err1)
		}
		if !strings.Contains(log.String(), "whose images are compressed as a whole, or pixels") {
			t.Errorf("%s: got log %s", name, log.String())
		}
	}
}

// TestEverySourceGivesTheSameOrderOfTables reads tables among archives by an index,
// with workers, bounds and cut connections that change nothing, and goes on in the
// middle.
func TestEverySourceGivesTheSameOrderOfTables(t *testing.T) {
	dir := copied(t, stored...)
	write(t, dir, "train-000.tar", archive(t, samples(0, 9)...))
	server := testserver.New(t, contents(t, dir, "set/"))
	server.CutAfter = func(n int) int {
		if n%3 == 2 {
			return 100
		}
		return -1
	}
	storeEnvironment(t, server.URL)
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 9, Epochs: 2, Index: filepath.Join(t.TempDir(), "local.arrow")}.WithoutWaiting()
	report := makeIndex(t, cfg, cfg.Index)
	if report.Samples != 9*12+24+9 || report.Damaged != 6 || len(report.Sequential) > 0 {
		t.Errorf("got %+v", report)
	}
	cfg.Rejects = &batch.Rejects{Max: 1}
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	http := server.URL + "/set/{" + strings.Join(stored, ",") + ",train-000.tar}"
	for i, source := range []string{dir, http, "s3://" + testserver.Bucket + "/set"} {
		part := cfg
		part.Sources, part.Workers, part.AheadBytes, part.RecordRows = []string{source}, 1+2*i, 400, 5
		for _, made := range []string{cfg.Index, filepath.Join(t.TempDir(), "itself")} {
			if part.Index = made; made != cfg.Index {
				makeIndex(t, part, made)
			}
			if got := indexSum(t, part); got != indexSum(t, cfg) || got == "" {
				t.Errorf("%s by %s: its checksum is %q", source, made, got)
			}
			part.Rejects = &batch.Rejects{Max: 1}
			if got, err := digest(t, part); got != want || err != nil {
				t.Errorf("%s by %s: got %s %v, want %s", source, made, got, err, want)
			}
		}
		part.From, part.Rejects = batch.Position{Epoch: 1, Index: 100}, &batch.Rejects{Max: 1}
		all := mustRead(t, cfg)
		rest := slices.DeleteFunc(slices.Clone(all), func(r row) bool {
			return batch.Position{Epoch: r.Epoch, Index: r.Index}.Before(part.From)
		})
		if got := mustRead(t, part); fmt.Sprint(got) != fmt.Sprint(rest) || len(got) == 0 {
			t.Errorf("%s from the middle: got %v, want %v", source, got, rest)
		}
	}
}

// snappyTable is a Parquet file of images of so many bytes of noise each, compressed
// by Snappy as most are, in pages of several.
func snappyTable(t testing.TB, sizes []int, version parquet.DataPageVersion) []byte {
	t.Helper()
	noise := rng.New(1, rng.Shuffle, 0)
	files := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	defer files.Release()
	for i, size := range sizes {
		file := append(bytes.Repeat([]byte("a header of each image"), 20), make([]byte, size)...) // which copies refer to
		for at := len(file) - size; at < len(file); at++ {
			file[at] = byte(noise.IntN(256))
		}
		if i == 2 {
			files.AppendNull()
			continue
		}
		files.Append(file)
	}
	column := files.NewArray()
	defer column.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: "image", Type: arrow.BinaryTypes.Binary, Nullable: true}}, nil)
	rec := array.NewRecord(schema, []arrow.Array{column}, int64(len(sizes)))
	defer rec.Release()
	var out bytes.Buffer
	props := parquet.NewWriterProperties(parquet.WithCompression(parquetcodec.Codecs.Snappy), parquet.WithDataPageVersion(version),
		parquet.WithDataPageSize(300<<10), parquet.WithBatchSize(1), parquet.WithDictionaryPageSizeLimit(200<<10))
	w, err := pqarrow.NewFileWriter(schema, &out, props, pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(rec), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestImagesOfSnappyPages reads photos from the fragments of Snappy's pages that hold
// them, in a full permutation, for hardly more bytes than they have.
func TestImagesOfSnappyPages(t *testing.T) {
	dir := t.TempDir()
	var sizes []int
	for i := range 16 {
		sizes = append(sizes, 60_000+9_000*(i*7%16))
	}
	write(t, dir, "a.parquet", snappyTable(t, sizes, parquet.DataPageV1))
	write(t, dir, "b.parquet", snappyTable(t, sizes, parquet.DataPageV2))
	cfg := ingest.Config{Sources: []string{dir}, Encoded: true, Epochs: 1, Rejects: &batch.Rejects{Max: 1}}
	all := ids(mustRead(t, cfg))
	if report := makeIndex(t, cfg, ""); len(report.Sequential) > 0 || report.Samples != 32 || report.Damaged != 2 {
		t.Fatalf("got %+v, want 32 samples by ranges, 2 without an image", report)
	}
	if s, _ := readIndex(t, filepath.Join(dir, index.Name)).Sample(0, 0); s.Packed == 0 {
		t.Errorf("got %+v, want it packed", s)
	}
	server := testserver.New(t, contents(t, dir, ""))
	cfg.Index, cfg.Shuffle, cfg.Seed = filepath.Join(dir, index.Name), true, 5
	var want []row
	for i, source := range []string{dir, server.URL + "/{a,b}.parquet"} {
		cfg.Sources, cfg.Workers, cfg.AheadBytes = []string{source}, 1+3*i, int64(400_000*(1-i)+1)
		cfg := cfg.WithoutWaiting()
		rows, rejects, src, err := rejected(t, cfg)
		if err != nil || len(rejects) != 2 || !slices.Equal(slices.Sorted(slices.Values(ids(rows))), slices.Sorted(slices.Values(all))) {
			t.Fatalf("%s: got %v, rejected %v, %v, want every image", source, rows, rejects, err)
		}
		if reads := src.Reads(); !reads.Ranged || reads.Bytes > 2*reads.Wanted || reads.Bytes < reads.Wanted {
			t.Errorf("%s: reads %+v, want at most twice the images", source, reads)
		}
		if want == nil {
			want = rows
		}
		if fmt.Sprint(rows) != fmt.Sprint(want) || slices.Equal(ids(rows), all) {
			t.Errorf("%s: got %v, want %v", source, rows, want)
		}
	}

	// Damage costs an image whose bytes it hits, or those that copy from them.
	body, err := os.ReadFile(filepath.Join(dir, "a.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for at := range 40 {
		body[len(body)/2+at] ^= 0xff
	}
	write(t, dir, "a.parquet", body)
	cfg.Sources = []string{dir}
	rows, rejects, _, err := rejected(t, cfg)
	if err != nil || len(rejects) < 3 || len(rejects) > 5 || len(rows)+len(rejects) != 32 {
		t.Errorf("damaged: got %d images, rejected %v, %v", len(rows), rejects, err)
	}
}

// TestDamageToAnIndexedTable costs the images that it hits: what else stands in their
// page is read by itself.
func TestDamageToAnIndexedTable(t *testing.T) {
	for _, name := range []string{"lengths.parquet", "file.arrow"} {
		dir := copied(t, name)
		makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
		body, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		first, _ := readIndex(t, filepath.Join(dir, index.Name)).Sample(0, 0)
		body[first.At+first.Size-1] ^= 1
		write(t, dir, name, body)
		_, rejects, _, err := rejected(t, ingest.Config{Sources: []string{dir}, Encoded: true, Epochs: 1, Index: ingest.AutoIndex})
		if err != nil || len(rejects) != 1 || !strings.Contains(rejects[0].Error(), name+"/class0/00.png@0: read: its CRC-32C is ") {
			t.Errorf("%s: got rejects %v, %v, want the first image", name, rejects, err)
		}
	}
}

// TestIndexOfAnEarlierVersion has no places in tables: the order stays what it was,
// and how to change that is said.
func TestIndexOfAnEarlierVersion(t *testing.T) {
	dir := copied(t, "plain.parquet")
	cfg := ingest.Config{Sources: []string{filepath.Join(dir, "plain.parquet")}, Shuffle: true, Seed: 3}
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	makeIndex(t, cfg, "")
	cfg.Index = ingest.AutoIndex
	if got, err := digest(t, cfg); err != nil || got == want {
		t.Fatalf("by an index of this version: got %s %v, want another order", got, err)
	}
	earlier, err := os.ReadFile("testdata/version1.arrow") // which clpipe shards index wrote before there was another
	if err != nil {
		t.Fatal(err)
	}
	permuted := indexSum(t, cfg)
	write(t, dir, index.Name, earlier)
	if got := indexSum(t, cfg); got == permuted || got == "" {
		t.Errorf("the checksum of another order is %q, as before", got)
	}
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if got, err := digest(t, cfg); got != want || err != nil {
		t.Errorf("got %s %v, want %s", got, err, want)
	}
	if !strings.Contains(log.String(), "renew it by clpipe shards index --overwrite") {
		t.Errorf("got log %s, want how to renew the index", log.String())
	}
}

func indexSum(t testing.TB, cfg ingest.Config) string {
	t.Helper()
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return src.IndexSum()
}

func readIndex(t testing.TB, path string) *index.Index {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	x, err := index.Read(t.Context(), path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return x
}
