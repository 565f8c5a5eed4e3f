//go:build !windows

package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clpipe/internal/synth"
)

// failingStore is an S3 store of 400 images in four shards, whose answers with a
// shard's bytes a test spoils.
type failingStore struct {
	dir string
	// spoil answers instead of the store and returns true, or false.
	spoil func(w http.ResponseWriter, r *http.Request, body []byte) bool
}

// start serves the store and returns the environment in which it is asked.
func (s *failingStore) start(t *testing.T) []string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return append(os.Environ(), "AWS_ENDPOINT_URL_S3="+server.URL, "AWS_ACCESS_KEY_ID=user", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=2")
}

// ServeHTTP implements http.Handler.
func (s *failingStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*.tar"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	listing := r.URL.Query().Get("list-type") != ""
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		tag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))
		key := "set/" + filepath.Base(name)
		switch {
		case listing && name == names[0]:
			fmt.Fprint(w, "<ListBucketResult>")
			fallthrough
		case listing:
			if strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
				fmt.Fprintf(w, "<Contents><Key>%s</Key><ETag>%s</ETag><Size>%d</Size></Contents>", key, tag, len(body))
			}
		case strings.HasSuffix(r.URL.Path, key):
			w.Header().Set("ETag", tag)
			if s.spoil == nil || !s.spoil(w, r, body) {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(body)))
			}
			return
		}
	}
	if listing {
		fmt.Fprint(w, "</ListBucketResult>")
		return
	}
	http.NotFound(w, r)
}

// half sends the first half of a body, as long as it is asked for from its
// beginning, and then does what is told.
func half(w http.ResponseWriter, r *http.Request, body []byte, then func()) {
	if r.Header.Get("Range") == "" {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
	}
	then()
}

func cutConnection() { panic(http.ErrAbortHandler) }

// TestExitCodesOfRemoteFaults reads from a store that fails in each of the ways that
// no repetition helps against, and looks at how the program ends.
func TestExitCodesOfRemoteFaults(t *testing.T) {
	dir := t.TempDir()
	if err := (synth.Set{Images: 400, Size: 16, Shards: 4, Seed: 1}).Write(t.Context(), dir, 0, nil); err != nil {
		t.Fatal(err)
	}
	third := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "2.tar") }
	thirdIsCut := func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if third(r) {
			half(w, r, body, cutConnection)
		}
		return false
	}
	for _, c := range []struct {
		name  string
		spoil func(w http.ResponseWriter, r *http.Request, body []byte) bool
		args  []string
		env   string
		code  int
		want  []string // on standard error
	}{
		{"no fault", nil, nil, "", exitDone, nil},
		{"cut and gone on", func() func(http.ResponseWriter, *http.Request, []byte) bool {
			var once sync.Map
			return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if _, again := once.LoadOrStore(r.URL.Path, true); !again {
					half(w, r, body, cutConnection)
				}
				return false
			}
		}(), []string{"--max-rejects", "0"}, "", exitDone, nil},
		{"a shard is lost within the tolerance", thirdIsCut, []string{"--max-rejects", "13%"}, "", exitDone,
			[]string{"s3://bucket/set/train-000002.tar", "(2 attempts)", "is given up", "digests of this run cannot be compared"}},
		{"a shard is lost beyond the tolerance", thirdIsCut, []string{"--max-rejects", "12%"}, "", exitData,
			[]string{"train-000002.tar", "(2 attempts)", "50 of 400 samples", "--max-rejects"}},
		{"all shards are lost", func(http.ResponseWriter, *http.Request, []byte) bool { cutConnection(); return true }, nil, "", exitFailed,
			[]string{"not one readable image in", "s3://bucket/set", "the connection was cut (2 attempts)"}},
		{"a shard stalls for good", func(w http.ResponseWriter, r *http.Request, body []byte) bool {
			if third(r) {
				half(w, r, body, func() { <-r.Context().Done() })
			}
			return false
		}, []string{"--stall-timeout", "1s"}, "AWS_MAX_ATTEMPTS=1000", exitStalled, []string{"no progress for 1s", "ingest is working", "--stall-timeout"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := &failingStore{dir: dir, spoil: c.spoil}
			p := command(t, append([]string{"ingest", "--src", "s3://bucket/set", "--encoded", "-o", filepath.Join(t.TempDir(), "out.arrows")}, c.args...)...)
			p.Env = append(store.start(t), c.env)
			p.start().wantCode(c.code)
			for _, want := range c.want {
				p.wantStderr(want)
			}
		})
	}
}
