package ingest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"
)

// Verify compares shards with SHA256SUMS beside them and with an index, from disk
// and from a server.
func TestVerifyComparesChecksums(t *testing.T) {
	dir := shards(t, 2, 3)
	write(t, dir, "sub/train-002.tar", archive(t, samples(3, 1)...))
	makeIndex(t, ingest.Config{Sources: []string{dir}}, "")
	sum := func(name string) string {
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(body))
	}
	lines := strings.Join([]string{
		strings.Repeat("00", 32) + "  train-000.tar", // repacked: the last line counts
		strings.ToUpper(sum("train-000.tar")) + " *train-000.tar\r",
		"# train-001.tar", "12 train-001.tar", strings.Repeat("00", 32) + "  other.tar", "",
	}, "\n")
	write(t, dir, ingest.SumsFile, []byte(lines))
	write(t, dir, "sub/"+ingest.SumsFile, []byte(strings.Repeat("ab", 32)+"  train-002.tar\n"))
	server := testserver.New(t, contents(t, dir, "set/"))
	storeEnvironment(t, server.URL)

	for source, index := range map[string]string{
		dir: ingest.AutoIndex,
		server.URL + "/set/{train-000,train-001,sub/train-002}.tar": ingest.AutoIndex,
		"s3://" + testserver.Bucket + "/set/":                       filepath.Join(dir, ".clpipe-index.arrow"),
	} {
		r := verified(t, ingest.Config{Sources: []string{source}}.WithoutWaiting(), index)
		if len(r.Altered) != 1 || r.Altered[0].Shard != "sub/train-002.tar" || r.Altered[0].Want != strings.Repeat("ab", 32) || r.Altered[0].Got != sum("sub/train-002.tar") {
			t.Errorf("%s: altered: got %v", source, r.Altered)
		}
		for i, want := range []int{1, 2, 1} { // sub/train-002.tar, train-000.tar, train-001.tar
			if len(r.Shards[i].Agreed) != want {
				t.Errorf("%s: %s agrees with %q, want %d files", source, r.Shards[i].Name, r.Shards[i].Agreed, want)
			}
		}
	}

	// A shard that changed, and one that is gone.
	if err := os.Remove(filepath.Join(dir, "train-001.tar")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "train-000.tar", archive(t, samples(5, 2)...))
	r := verified(t, ingest.Config{Sources: []string{dir}}, ingest.AutoIndex)
	if len(r.Altered) == 4 && r.Altered[3].By != ingest.IndexPlace(dir) {
		t.Errorf("gone by %q, want by the file, %q", r.Altered[3].By, ingest.IndexPlace(dir))
	}
	if len(r.Altered) != 4 || !strings.Contains(r.Altered[3].Error(), "train-001.tar: it is gone, ") || !strings.Contains(r.Altered[1].Error(), "train-000.tar: its SHA-256 is ") {
		t.Errorf("altered: got %v", r.Altered)
	}
}

// TestChecksumsThatAreRefused asks a server that refuses what is not there, as
// buckets do that may not be listed.
func TestChecksumsThatAreRefused(t *testing.T) {
	server := testserver.New(t, contents(t, shards(t, 2), ""))
	server.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		refused := strings.HasSuffix(r.URL.Path, ingest.SumsFile)
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	}
	var log bytes.Buffer
	cfg := ingest.Config{Sources: []string{server.URL + "/train-000.tar?signature=secret"}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	src, err := ingest.Open(t.Context(), cfg.WithoutWaiting())
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Verify(t.Context(), ingest.NoIndex)
	if err != nil || r.Readable != 2 || len(r.Altered) > 0 {
		t.Errorf("got %+v, %v, want two images and nothing altered", r, err)
	}
	if told := log.String(); !strings.Contains(told, "taken for a file that is not there") || strings.Contains(told, "secret") {
		t.Errorf("the log says %q", told)
	}
}

// TestNamesInChecksums has names that sha256sum writes in a form of their own, and a
// page of a server that has one for everything.
func TestNamesInChecksums(t *testing.T) {
	body := archive(t, samples(0, 2)...)
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	for name, line := range map[string]string{
		"*a.tar":    sum + "  *a.tar",
		" a.tar":    sum + " * a.tar",
		"a.tar":     sum + "  ./a.tar",
		`a\b.tar`:   `\` + sum + `  a\\b.tar`,
		"a\nb.tar":  `\` + sum + `  a\nb.tar`,
		"nobody":    "",
		"a page of": "<html>" + strings.Repeat("x", 1<<17),
	} {
		dir := t.TempDir()
		if runtime.GOOS == "windows" && name != "a.tar" {
			continue // names no file there
		}
		write(t, dir, name, body)
		write(t, dir, ingest.SumsFile, []byte(line+"\n"))
		want := 1
		if !strings.Contains(line, sum) {
			want = 0
		}
		r := verified(t, ingest.Config{Sources: []string{filepath.Join(dir, name)}}, ingest.NoIndex)
		if len(r.Altered) > 0 || len(r.Shards[0].Agreed) != want {
			t.Errorf("%q: altered %v, agreed %v, want %d", name, r.Altered, r.Shards[0].Agreed, want)
		}
	}
}
