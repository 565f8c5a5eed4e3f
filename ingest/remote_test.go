package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"
)

// digest is a hash over ids, labels and bytes in the order of a source.
func digest(t testing.TB, cfg ingest.Config) (string, error) {
	t.Helper()
	cfg.Encoded, cfg.Epochs = true, max(cfg.Epochs, 1)
	if cfg.Rejects == nil {
		cfg.Rejects = &batch.Rejects{Max: 0.01, Log: func(r batch.Reject) error {
			if r.GivenUp {
				return fmt.Errorf("given up: %w", r)
			}
			return nil
		}}
	}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		return "", err
	}
	hash, rows := sha256.New(), 0
	add := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			e, err := batch.NewEncoded(rec)
			if err != nil {
				return err
			}
			for i := range e.Len() {
				label, has := e.Label(i)
				index, _ := e.Index(i)
				fmt.Fprintf(hash, "%d %q %d %v %x\n", index, e.ID(i), label, has, sha256.Sum256(e.Bytes(i)))
				rows++
			}
			rec.Release()
		}
	}
	if err := batch.Run(t.Context(), 1, nil, nil, src.Stage(), add); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d rows %x", rows, hash.Sum(nil)), nil
}

// packings writes a shard in each packing, of images of some size, and returns
// their folder.
func packings(t testing.TB) string {
	dir := t.TempDir()
	for i, packing := range []string{"", "gz", "zst", ""} {
		var files []file
		for j := range 12 {
			key := fmt.Sprintf("%03d", j)
			files = append(files, file{key + ".png", picture(40+j, 60, byte(20*i+j))}, file{key + ".cls", []byte(fmt.Sprint(j % 5))})
		}
		name, body := fmt.Sprintf("part-%d.tar", i), archive(t, files...)
		if packing != "" {
			name, body = name+"."+packing, compress(t, packing, body)
		}
		write(t, dir, name, body)
	}
	return dir
}

const packingsPattern = "part-{0.tar,1.tar.gz,2.tar.zst,3.tar}"

// contents returns the files of a folder, with a prefix before their names.
func contents(t testing.TB, dir, prefix string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[prefix+filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// storeEnvironment makes the S3 store at endpoint the one that is asked.
func storeEnvironment(t testing.TB, endpoint string) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": endpoint, "AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": none,
		"AWS_SHARED_CREDENTIALS_FILE": none, "AWS_MAX_ATTEMPTS": "", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "",
	} {
		t.Setenv(name, value)
	}
}

func TestEverySourceGivesTheSameOrder(t *testing.T) {
	dir := packings(t)
	server := testserver.New(t, contents(t, dir, "set/"))
	storeEnvironment(t, server.URL)
	cuts := map[string]func(n int) int{
		"none":         nil,
		"every 5000":   func(int) int { return 5000 },
		"in headers":   func(n int) int { return 512 * (1 + n%7) },
		"any place":    func(n int) int { return 1 + n*n*37%9001 },
		"now and then": func(n int) int { return map[bool]int{true: 300, false: -1}[n%5 == 0] },
	}
	for _, shuffle := range []bool{false, true} {
		cfg := ingest.Config{Sources: []string{dir}, Shuffle: shuffle, Seed: 3, ShuffleBuffer: 10, Interleave: 3, Epochs: 2, RecordRows: 7}.WithoutWaiting()
		want, err := digest(t, cfg)
		if err != nil || !strings.HasPrefix(want, "96 rows") {
			t.Fatalf("disk: got %s, %v", want, err)
		}
		for name, cut := range cuts {
			server.CutAfter = cut
			for _, source := range []string{server.URL + "/set/" + packingsPattern, "s3://bucket/set", "s3://bucket/set/part-*"} {
				cfg.Sources = []string{source}
				if got, err := digest(t, cfg); err != nil || got != want {
					t.Errorf("%s, cuts %s, shuffle %v: got %s, %v, want %s", source, name, shuffle, got, err, want)
				}
			}
		}
	}
}

// servedFolders is a server of nine images in three folders, with the configuration
// to read them and the digest that reading them from disk has.
func servedFolders(t *testing.T) (cfg ingest.Config, want string, server *testserver.Server) {
	t.Helper()
	dir := t.TempDir()
	for i := range 9 {
		write(t, dir, fmt.Sprintf("%c/%d.png", 'a'+i%3, i), picture(3, 3, byte(i)))
	}
	cfg = ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 1, Workers: 4, RecordRows: 2}.WithoutWaiting()
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, want, testserver.New(t, contents(t, dir, ""))
}

// servedImages names them below the server's address.
const servedImages = "/{a/0,a/3,a/6,b/1,b/4,b/7,c/2,c/5,c/8}.png"

func TestImagesInRemoteFolders(t *testing.T) {
	cfg, want, server := servedFolders(t)
	storeEnvironment(t, server.URL)
	server.Fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n%4 == 0 {
			testserver.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
		}
		return n%4 == 0
	}
	for _, source := range []string{"s3://bucket", server.URL + servedImages} {
		cfg.Sources = []string{source}
		if got, err := digest(t, cfg); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", source, got, err, want)
		}
	}
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{"s3://bucket"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, known, err := src.Count(t.Context()); n != 9 || !known || err != nil {
		t.Errorf("got %d images, %v, %v, want 9", n, known, err)
	}
}

// inChunks answers with files whose length the server does not say.
func inChunks(s *testserver.Server) {
	s.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		body, ok := s.Files[strings.TrimPrefix(r.URL.Path, "/")]
		if ok {
			w.(http.Flusher).Flush()
			w.Write(body)
		}
		return ok
	}
}

func TestImagesOfUnknownLength(t *testing.T) {
	cfg, want, server := servedFolders(t)
	inChunks(server)
	cfg.Sources = []string{server.URL + servedImages}
	if got, err := digest(t, cfg); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := server.Requests()
	if n, known, err := src.Count(t.Context()); n != 9 || !known || err != nil || server.Requests() != before {
		t.Errorf("got %d images, %v, %v after %d requests, want 9 without one", n, known, err, server.Requests()-before)
	}
	if first, err := src.First(t.Context()); err != nil || first.ID != "a/0.png" {
		t.Errorf("first image: got %+v, %v", first, err)
	}
	if r, err := src.Verify(t.Context(), ingest.NoIndex); err != nil || r.Readable != 9 || r.ImageBytes == 0 {
		t.Errorf("verify: got %+v, %v", r, err)
	}
}

func TestRemoteSourcesAreLookedAtOnce(t *testing.T) {
	server := testserver.New(t, contents(t, packings(t), ""))
	storeEnvironment(t, server.URL)
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{"s3://bucket"}})
	if err != nil {
		t.Fatal(err)
	}
	if server.Requests() != 1 {
		t.Errorf("got %d requests, want the listing alone: a bucket may hold any number of shards", server.Requests())
	}
	var formats []string
	for _, s := range src.Shards() {
		formats = append(formats, s.Format)
	}
	if got := fmt.Sprint(formats); got != "[tar tar.gz tar.zst tar]" {
		t.Errorf("got formats %s", got)
	}
	if _, known, err := src.Count(t.Context()); known || err != nil || server.Requests() != 1 {
		t.Errorf("count: known %v, %v, %d requests; want none to be read through", known, err, server.Requests())
	}
	first, err := src.First(t.Context())
	if err != nil || first.ID != "part-0.tar/000" || first.W != 40 {
		t.Errorf("first image: got %+v, %v", first, err)
	}
}

// TestBytesThatComeAreProgress reads one sample that takes many reads, in sequence and
// by an index.
func TestBytesThatComeAreProgress(t *testing.T) {
	server := testserver.New(t, map[string][]byte{"x.tar": archive(t, file{"000.jpg", make([]byte, 4<<20)})})
	server.CutAfter = func(int) int { return 1 << 20 } // so that there are four at least
	cfg := ingest.Config{Sources: []string{server.URL + "/x.tar"}, Encoded: true, Epochs: 1}.WithoutWaiting()
	at := filepath.Join(t.TempDir(), "index")
	makeIndex(t, cfg, at)
	for _, cfg.Index = range []string{ingest.NoIndex, at} {
		src, err := ingest.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var m batch.Meter
		if err := batch.Run(t.Context(), 1, nil, nil, m.Wrap(src.Stage()), discard); err != nil {
			t.Fatal(err)
		}
		if got := m.Progress(); got < 4+1 {
			t.Errorf("index %s: progress %d for 4 MiB, want it as bytes come", cfg.Index, got)
		}
	}
}

func TestShardThatIsLostIsGivenUp(t *testing.T) {
	server := testserver.New(t, contents(t, shards(t, 3, 3), ""))
	source := server.URL + "/train-{000..001}.tar?signature=secret"
	server.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		lost := strings.Contains(r.URL.Path, "001") && r.Header.Get("Range") != "bytes=0-0"
		if lost {
			w.WriteHeader(http.StatusForbidden)
		}
		return lost
	}
	rows, rejects, src, err := rejected(t, ingest.Config{Sources: []string{source}, Epochs: 1}.WithoutWaiting())
	if err != nil || len(rows) != 3 || len(rejects) != 1 || !rejects[0].GivenUp || rejects[0].Lost != 3 {
		t.Fatalf("got %d rows, rejects %+v, %v, want 3 and one for 3 samples", len(rows), rejects, err)
	}
	if got := rejects[0].Error(); !strings.Contains(got, "permission denied (403 Forbidden)") || strings.Contains(got, "secret") {
		t.Errorf("got %s", got)
	}
	told := fmt.Sprint(src.Metadata(), src.Shards())
	if strings.Contains(told, "secret") || !strings.Contains(told, server.URL) {
		t.Errorf("the metadata shows the signature, or not the source: %s", told)
	}
}

func TestStandardInput(t *testing.T) {
	for _, packing := range []string{"", "gz", "zst"} {
		body := archive(t, samples(1, 20)...)
		if packing != "" {
			body = compress(t, packing, body)
		}
		cfg := ingest.Config{Sources: []string{"-"}, Stdin: bytes.NewReader(body), Epochs: 1, Shuffle: true, ShuffleBuffer: 5}
		src, err := ingest.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if first, err := src.First(t.Context()); err != nil || first.ID != "-/000" {
			t.Errorf("first image: got %+v, %v", first, err)
		}
		if n, known, err := src.Count(t.Context()); known || err != nil {
			t.Errorf("count: got %d, %v, %v, want that it is not known", n, known, err)
		}
		rows := 0
		count := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
			for {
				rec, err := in.Read(ctx)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				rows += int(rec.NumRows())
				rec.Release()
			}
		}
		if err := batch.Run(t.Context(), 1, nil, nil, src.Stage(), count); err != nil || rows != 20 {
			t.Errorf("packing %q: got %d rows, %v, want 20", packing, rows, err)
		}
	}
	// Whoever writes has died: nobody knows how much is missing.
	body := compress(t, "gz", archive(t, samples(1, 200)...))
	_, _, err := read(t, ingest.Config{Sources: []string{"-"}, Stdin: bytes.NewReader(body[:len(body)-100]), Epochs: 1}, 0)
	if !errors.Is(err, batch.ErrTooManyRejects) {
		t.Errorf("cut off: got %v, want %v", err, batch.ErrTooManyRejects)
	}
	_, _, err = read(t, ingest.Config{Sources: []string{"-"}, Stdin: bytes.NewReader(nil), Epochs: 2}, 0)
	if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "read only once") {
		t.Errorf("two epochs: got %v, want a usage error", err)
	}
	_, _, err = read(t, ingest.Config{Sources: []string{"-"}, Stdin: bytes.NewReader(nil), Epochs: 1}, 0)
	if err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("nothing: got %v", err)
	}
}
