package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

const tables = "testdata/tables"

// drawn is the image of a row as testdata/make_tables.py draws it.
func drawn(i int) (pix []byte, h, w int) {
	h, w = 3+i%4, 5
	for y := range h {
		for x := range w {
			for c := range 3 {
				pix = append(pix, byte(40*i+7*y+3*x+85*c))
			}
		}
	}
	return pix, h, w
}

// pixelsOf reads all images of a source.
func pixelsOf(t testing.TB, cfg ingest.Config) (map[string][]byte, []batch.Row) {
	t.Helper()
	out := map[string][]byte{}
	var rows []batch.Row
	cfg.Epochs = 1
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	collect := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			m, err := batch.NewImages(rec)
			if err != nil {
				return err
			}
			for i := range m.Len() {
				r := batch.Row{ID: m.ID(i)}
				r.Label, r.HasLabel = m.Label(i)
				pix, _, _ := m.Image(i)
				out[r.ID] = bytes.Clone(pix)
				rows = append(rows, r)
			}
			rec.Release()
		}
	}
	if err := batch.Run(t.Context(), 1, nil, nil, src.Stage(), collect); err != nil {
		t.Fatal(err)
	}
	return out, rows
}

// TestTables reads what pyarrow has written, in every form.
func TestTables(t *testing.T) {
	for _, c := range []struct {
		name    string
		missing bool // rows 2 and 7 have no bytes
		noPaths bool
	}{
		{name: "huggingface.parquet"}, {name: "reversed.parquet"}, {name: "plain.parquet"}, {name: "gzip.parquet"},
		{name: "dictionary.parquet"}, {name: "pages.parquet", missing: true}, {name: "pages2.parquet", missing: true},
		{name: "lengths.parquet"}, {name: "prefixes.parquet"},
		{name: "lz4.parquet"}, {name: "delta.parquet"}, {name: "binary.parquet", noPaths: true}, {name: "missing.parquet", missing: true},
		{name: "stream.arrows"}, {name: "file.arrow"}, {name: "lz4.arrow"}, {name: "zstd.arrows"}, {name: "missing.arrow", missing: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rejected []string
			rejects := &batch.Rejects{Max: 1, Log: func(r batch.Reject) error { rejected = append(rejected, r.Error()); return nil }}
			got, rows := pixelsOf(t, ingest.Config{Sources: []string{filepath.Join(tables, c.name)}, Rejects: rejects})
			at := 0
			for i := range 12 {
				id := fmt.Sprintf("%s/class%d/%02d.png", c.name, i%3, i)
				if c.noPaths {
					id = fmt.Sprintf("%s/%d", c.name, i)
				}
				if c.missing && (i == 2 || i == 7) {
					if !slices.ContainsFunc(rejected, func(s string) bool {
						return strings.HasPrefix(s, fmt.Sprintf("%s@%d: read: ", id, i)) && strings.Contains(s, "does not hold it")
					}) {
						t.Errorf("row %d: got rejects %q, want one for %s", i, rejected, id)
					}
					continue
				}
				if want, _, _ := drawn(i); !bytes.Equal(got[id], want) {
					t.Errorf("row %d, %s: got %d bytes that differ from the %d drawn", i, id, len(got[id]), len(want))
				}
				if at >= len(rows) {
					t.Fatalf("got %d rows", len(rows))
				}
				if r := rows[at]; r.ID != id || r.HasLabel != (i != 4) || r.HasLabel && r.Label != int64(i%3) {
					t.Errorf("row %d: got %+v, want id %s and label %d", i, r, id, i%3)
				}
				at++
			}
		})
	}
}

func TestTablesThatCannotBeRead(t *testing.T) {
	for name, want := range map[string]string{
		"brotli.parquet": "compression BROTLI is not supported",
		"list.parquet":   `no column of images, want one of bytes or of records with the fields bytes and path: found "image"`,
	} {
		_, err := digest(t, ingest.Config{Sources: []string{filepath.Join(tables, name)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestTablesAreCounted(t *testing.T) {
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{tables + "/{plain,gzip}.parquet"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, known, err := src.Count(t.Context()); n != 24 || !known || err != nil {
		t.Errorf("got %d %v %v, want 24", n, known, err)
	}
	if src, err = ingest.Open(t.Context(), ingest.Config{Sources: []string{tables + "/file.arrow"}}); err != nil {
		t.Fatal(err)
	}
	if _, known, err := src.Count(t.Context()); known || err != nil {
		t.Errorf("arrow: got known %v, %v", known, err)
	}
	if got := src.Shards()[0].Format; got != "arrow" {
		t.Errorf("got format %s", got)
	}
}

// TestTablesFromEverySource reads tables by ranges, through connections that are
// cut, and under names that say nothing.
func TestTablesFromEverySource(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"huggingface.parquet", "plain.parquet", "stream.arrows", "lz4.arrow"} {
		body, err := os.ReadFile(filepath.Join(tables, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, body)
		write(t, dir, fmt.Sprintf("unnamed-%d.tar", i), body)
	}
	server := testserver.New(t, contents(t, dir, "set/"))
	storeEnvironment(t, server.URL)
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 4, ShuffleBuffer: 9, Interleave: 3, Epochs: 2}.WithoutWaiting()
	want, err := digest(t, cfg)
	if err != nil || !strings.HasPrefix(want, "192 rows") {
		t.Fatalf("disk: got %s, %v", want, err)
	}
	for _, cut := range []func(int) int{nil, func(n int) int { return map[bool]int{true: 100 + n*n*37%900, false: -1}[n%3 > 0] }} {
		server.CutAfter = cut
		for _, source := range []string{"s3://bucket/set", server.URL + "/set/{huggingface.parquet,lz4.arrow,plain.parquet,stream.arrows,unnamed-0.tar,unnamed-1.tar,unnamed-2.tar,unnamed-3.tar}"} {
			cfg.Sources = []string{source}
			if got, err := digest(t, cfg); err != nil || got != want {
				t.Errorf("%s, cut %v: got %s, %v, want %s", source, cut != nil, got, err, want)
			}
		}
	}
}

// TestParquetFromAServerWithoutRanges says at once that it cannot be read.
func TestParquetFromAServerWithoutRanges(t *testing.T) {
	server := testserver.New(t, contents(t, tables, ""))
	server.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		testserver.Send(w, server.Answer(r))
		return true
	}
	_, rejects, src, err := rejected(t, ingest.Config{Sources: []string{server.URL + "/plain.parquet"}, Epochs: 1}.WithoutWaiting())
	if len(rejects) != 1 || !strings.Contains(rejects[0].Error(), "the server sends no parts of files") {
		t.Errorf("got rejects %v, %v, want why it cannot be read", rejects, err)
	}
	if server.Requests() > 3 {
		t.Errorf("%d requests, want one for its length and those that find what it is", server.Requests())
	}
	if got := src.Reads().Requests; got != -1 {
		t.Errorf("%d requests are foreseen, want that their number is not known", got)
	}
}

// written returns what a source writes as a stream.
func written(t testing.TB, cfg ingest.Config) []byte {
	t.Helper()
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := batch.NewIPCWriter("buffer", &buf, memory.DefaultAllocator)
	if err := batch.Run(t.Context(), 1, nil, w, src.Stage()); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestOwnStreamsAreSources reads back what ingest has written.
func TestOwnStreamsAreSources(t *testing.T) {
	dir := shards(t, 5, 4)
	want, _ := pixelsOf(t, ingest.Config{Sources: []string{dir}})
	for _, encoded := range []bool{false, true} {
		stream := written(t, ingest.Config{Sources: []string{dir}, Encoded: encoded, Epochs: 1, RecordRows: 2})
		kept := t.TempDir()
		write(t, kept, "kept.arrows", stream)
		got, rows := pixelsOf(t, ingest.Config{Sources: []string{kept}})
		if len(got) != len(want) {
			t.Fatalf("encoded %v: got %d images, want %d", encoded, len(got), len(want))
		}
		for id, pix := range want {
			if !bytes.Equal(got["kept.arrows/"+id], pix) {
				t.Errorf("encoded %v: %s differs", encoded, id)
			}
		}
		if !rows[6].HasLabel || rows[6].Label != 1 {
			t.Errorf("encoded %v: got %+v, want label 1", encoded, rows[6])
		}
		// As standard input.
		_, err := digest(t, ingest.Config{Sources: []string{"-"}, Stdin: bytes.NewReader(stream)})
		if err != nil {
			t.Errorf("encoded %v: %v", encoded, err)
		}
	}
}

// TestDamagedTables changes and cuts every table at every few bytes: there may
// be rejects or an error, no more.
func TestDamagedTables(t *testing.T) {
	names, err := filepath.Glob(tables + "/*.*")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "damaged.tar")
	cfg := ingest.Config{Sources: []string{path}, Workers: 1}
	try := func(body []byte) {
		write(t, dir, "damaged.tar", body)
		cfg.Rejects = &batch.Rejects{Max: 1}
		if _, err := digest(t, cfg); err != nil && strings.Contains(err.Error(), "panic") {
			t.Error(err)
		}
	}
	for n, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := n % 31; at < len(body); at += 31 {
			changed := bytes.Clone(body)
			changed[at] ^= byte(1 + at%255)
			try(changed)
		}
		for at := n; at < len(body); at += 97 {
			try(body[:at])
		}
	}
}

func TestLyingFooter(t *testing.T) {
	body, err := os.ReadFile(tables + "/plain.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func([]byte) []byte{
		"no parquet file": func(b []byte) []byte { return b[:len(b)-1] },
		"a footer of":     func(b []byte) []byte { copy(b[len(b)-8:], "\xff\xff\xff\x7f"); return b },
		"checksum is": func(b []byte) []byte {
			b[bytes.Index(b, []byte("IHDR"))+20] ^= 1
			return b
		},
	} {
		dir := t.TempDir()
		write(t, dir, "x.parquet", lie(bytes.Clone(body)))
		var why string
		cfg := ingest.Config{Sources: []string{dir}, Rejects: &batch.Rejects{Max: 1, Log: func(r batch.Reject) error { why = r.Error(); return nil }}}
		if _, err := digest(t, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
		if !strings.Contains(strings.ToLower(why), name) {
			t.Errorf("got %q, want %q in it", why, name)
		}
	}
}
