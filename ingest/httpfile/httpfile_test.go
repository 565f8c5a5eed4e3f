package httpfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clpipe/ingest/httpfile"
	"clpipe/ingest/internal/testserver"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"
)

// link repeats without waiting.
func link() *remote.Link {
	return &remote.Link{Attempts: 4, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func files() map[string][]byte {
	return map[string][]byte{
		"set/a/0.tar": []byte("first"), "set/a/1.tar": []byte("second"), "set/b 2.tar": bytes.Repeat([]byte("0123456789"), 10000), "set/empty.tar": {},
	}
}

// readAll reads all objects and returns a line each.
func readAll(t *testing.T, found shard.Listing) (string, error) {
	t.Helper()
	var out []string
	for _, obj := range found.Objects {
		src, err := shard.OpenStream(t.Context(), obj)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(src)
		src.Close()
		if err != nil {
			return strings.Join(out, " "), err
		}
		if int64(len(body)) != obj.Size() {
			t.Errorf("%s: got %d bytes, want %d", obj.Name(), len(body), obj.Size())
		}
		out = append(out, fmt.Sprintf("%s=%.6s", obj.Name(), body))
	}
	return strings.Join(out, " "), nil
}

func TestNamesAreThoseBelowTheRoot(t *testing.T) {
	s := testserver.New(t, files())
	for below, want := range map[string]string{
		"set/a/0.tar":          "0.tar=first",
		"set/a/{0..1}.tar?x=y": "0.tar=first 1.tar=second",
		"set/{a/1,b%202}.tar":  "a/1.tar=second b 2.tar=012345",
		"{set}/a":              "",
		"set/empty.tar":        "empty.tar=",
	} {
		found, err := httpfile.Find(t.Context(), s.URL+"/"+below, link())
		if want == "" {
			if err == nil {
				t.Errorf("%s: got %d files", below, len(found.Objects))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", below, err)
			continue
		}
		if got, err := readAll(t, found); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", below, got, err, want)
		}
	}
}

func TestSourcesThatNameNothing(t *testing.T) {
	s := testserver.New(t, files())
	for source, want := range map[string]string{
		"http:///x.tar":                      "names no host",
		"http://{a,b}/x.tar":                 "braces in the host",
		s.URL:                                "lists no directories",
		s.URL + "/set/?k=secret":             "lists no directories",
		s.URL + "/set/*.tar":                 "matches no globs",
		s.URL + "/set/{0.tar":                "a { without its }",
		s.URL + "/set/{a/,b}":                "names no file",
		s.URL + "/set/%zz":                   "is no address",
		s.URL + "/set/a/{0..2}.tar?k=secret": "there is no " + s.URL + "/set/a/2.tar",
	} {
		_, err := httpfile.Find(t.Context(), strings.Replace(source, "://", "://user:secret@", 1), link())
		if pattern := (*shard.PatternError)(nil); !errors.As(err, &pattern) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
	for _, sign := range []string{"/", "#", "?"} { // they ought to be escaped
		_, err := httpfile.Find(t.Context(), strings.Replace(s.URL, "://", "://user:sec"+sign+"ret@", 1)+"/set/a/0.tar", link())
		if err == nil || strings.Contains(err.Error(), "sec") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("a password with %s: got %v, want an error that does not show it", sign, err)
		}
	}
}

func TestStatuses(t *testing.T) {
	cases := []struct {
		status  int
		want    string // part of the error; "" for one that passes
		request int    // that is answered so
	}{
		{http.StatusUnauthorized, "permission denied (401 Unauthorized): put user and password into ~/.netrc", 1},
		{http.StatusForbidden, "permission denied (403 Forbidden)", 2},
		{http.StatusPreconditionFailed, "the file has changed since it was listed", 2},
		{http.StatusTeapot, "418 I'm a teapot, want 200 or 206", 1},
		{http.StatusTooManyRequests, "", 1},
		{http.StatusServiceUnavailable, "", 2},
		{http.StatusBadGateway, "", 1},
		{http.StatusInternalServerError, "", 2},
	}
	for _, c := range cases {
		s := testserver.New(t, files())
		s.Fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n != c.request {
				return false
			}
			w.WriteHeader(c.status)
			return true
		}
		found, err := httpfile.Find(t.Context(), strings.Replace(s.URL, "://", "://user:secret@", 1)+"/set/a/0.tar?signature=secret", link())
		if err == nil {
			_, err = readAll(t, found)
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%d: got %v, want it to pass", c.status, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%d: got %v, want %q", c.status, err, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	s := testserver.New(t, files())
	s.Fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	var waited time.Duration
	l := &remote.Link{Wait: func(_ context.Context, d time.Duration) error { waited = d; return nil }}
	if _, err := httpfile.Find(t.Context(), s.URL+"/set/a/0.tar", l); err != nil || waited != 7*time.Second {
		t.Errorf("waited %v, %v, want 7s", waited, err)
	}
}

func TestCutConnections(t *testing.T) {
	s := testserver.New(t, files())
	s.CutAfter = func(n int) int { return 7000 * (n % 3) }
	found, err := httpfile.Find(t.Context(), s.URL+"/set/b%202.tar", link())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, found); got != "b 2.tar=012345" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFileThatChanges(t *testing.T) {
	s := testserver.New(t, files())
	found, err := httpfile.Find(t.Context(), s.URL+"/set/a/0.tar", link())
	if err != nil {
		t.Fatal(err)
	}
	s.Files["set/a/0.tar"] = []byte("FIRST")
	if _, err := readAll(t, found); err == nil || !strings.Contains(err.Error(), "the file has changed since it was listed (412 Precondition Failed)") {
		t.Errorf("got %v", err)
	}
}

// A server without ranges, as many small ones are, names the version by the
// time of the last change.
func TestServerWithoutRanges(t *testing.T) {
	file := files()["set/b 2.tar"]
	changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := testserver.New(t, nil)
	s.Fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Last-Modified", changed.Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		if n == 2 {
			w.Write(file[:50000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Write(file)
		return true
	}
	for _, want := range []string{"", "changed since it was listed"} {
		found, err := httpfile.Find(t.Context(), s.URL+"/x.tar", link())
		if err != nil {
			t.Fatal(err)
		}
		if want != "" {
			changed = changed.Add(time.Hour)
		}
		if _, err := readAll(t, found); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestRedirects(t *testing.T) {
	target := testserver.New(t, files())
	s := testserver.New(t, nil)
	s.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/loop" {
			http.Redirect(w, r, "/loop?token=secret", http.StatusFound)
		} else {
			http.Redirect(w, r, target.URL+r.URL.Path+"?token=secret", http.StatusTemporaryRedirect)
		}
		return true
	}
	target.CutAfter = func(n int) int { return 30000 }
	found, err := httpfile.Find(t.Context(), s.URL+"/set/b%202.tar", link())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, found); got != "b 2.tar=012345" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := httpfile.Find(t.Context(), s.URL+"/loop", link()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the token", err)
	}
}

// TestRedirectsTellNoSecrets looks at what the server is told that an address is
// redirected to: who one is only if it is the same.
func TestRedirectsTellNoSecrets(t *testing.T) {
	var told []http.Header
	var mu sync.Mutex
	target := testserver.New(t, files())
	s := testserver.New(t, files())
	listen := func(_ int, w http.ResponseWriter, r *http.Request) bool {
		to, ok := strings.CutPrefix(r.URL.Path, "/to/")
		if !ok {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, r.Header)
			return false
		}
		host, rest, _ := strings.Cut(to, "/")
		http.Redirect(w, r, "http://"+host+"/"+rest, http.StatusFound)
		return true
	}
	s.Fault, target.Fault = listen, listen
	here, there := strings.TrimPrefix(s.URL, "http://"), strings.TrimPrefix(target.URL, "http://")
	t.Setenv("NETRC", filepath.Join(t.TempDir(), "none"))
	for host, want := range map[string]string{here: "Basic dXNlcjpwYXNzd29yZA==", there: ""} {
		told = nil
		found, err := httpfile.Find(t.Context(), "http://user:password@"+here+"/to/"+host+"/set/a/0.tar?signature=secret", link())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(t, found); got != "0.tar=first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if len(told) != 2 {
			t.Fatalf("%d requests arrived, want 2", len(told))
		}
		for _, h := range told {
			if h.Get("Authorization") != want || h.Get("Referer") != "" {
				t.Errorf("redirected to %s: got the login %q, want %q, and the address before %q, want none", host, h.Get("Authorization"), want, h.Get("Referer"))
			}
		}
	}
}
