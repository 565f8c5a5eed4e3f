package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clpipe/ingest/internal/testserver"
	"clpipe/ingest/remote"
	"clpipe/ingest/s3"
	"clpipe/ingest/shard"
)

// options are those of a store that repeats without waiting.
func options() s3.Options {
	return s3.Options{Link: &remote.Link{Attempts: 4, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}}
}

// environment makes the store at endpoint the one that is asked, with
// credentials and nothing of the machine's own configuration.
func environment(t *testing.T, endpoint string) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": endpoint, "AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_MAX_ATTEMPTS": "", "AWS_ENDPOINT_URL": "", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "",
	} {
		t.Setenv(name, value)
	}
}

func files() map[string][]byte {
	return map[string][]byte{
		"set/a/0.tar": []byte("first"), "set/a/1.tar": []byte("second"), "set/a/12.tar": []byte("third"), "set/a.tar": bytes.Repeat([]byte("0123456789"), 10000),
		"set/.hidden/x.tar": []byte("x"), "set/__MACOSX/x.tar": []byte("x"), "set/folder/": {}, "settings": []byte("y"),
	}
}

func store(t *testing.T) *testserver.Server {
	s := testserver.New(t, files())
	environment(t, s.URL)
	return s
}

// read lists and reads a source: "name=beginning" for each object.
func read(t *testing.T, source string, opts s3.Options) (string, error) {
	t.Helper()
	found, err := s3.Find(t.Context(), source, opts)
	if err != nil {
		return "", err
	}
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
	s := store(t)
	for _, s.PageKeys = range []int{0, 1, 2} { // keys in one page or several
		for source, want := range map[string]string{
			"s3://bucket/set":                  "a.tar=012345 a/0.tar=first a/1.tar=second a/12.tar=third",
			"s3://bucket/set/a/":               "0.tar=first 1.tar=second 12.tar=third",
			"s3://bucket":                      "set/a.tar=012345 set/a/0.tar=first set/a/1.tar=second set/a/12.tar=third settings=y",
			"s3://bucket/set/a.tar":            "a.tar=012345",
			"s3://bucket/set/a/{1,0}.tar":      "1.tar=second 0.tar=first",
			"s3://bucket/set/a/1*.tar":         "1.tar=second 12.tar=third",
			"s3://bucket/set/*.tar":            "a.tar=012345",
			"s3://bucket/s?t/a/[1-9].tar":      "set/a/1.tar=second",
			"s3://bucket/set/{a/0,a}.tar":      "a/0.tar=first a.tar=012345",
			"s3://bucket/set/{a,none}/{1}?tar": "",
		} {
			got, err := read(t, source, options())
			if want == "" {
				if err == nil {
					t.Errorf("%s: got %q, want an error", source, got)
				}
				continue
			}
			if err != nil || got != want {
				t.Errorf("%s: got %q, %v, want %q", source, got, err, want)
			}
		}
	}
}

// TestKeysAreThoseOfTheStore lists keys that stand for others where they are encoded
// or not, and one that cannot stand in XML.
func TestKeysAreThoseOfTheStore(t *testing.T) {
	s := testserver.New(t, map[string][]byte{"odd/a+b.tar": []byte("plus"), "odd/c%41 d.tar": []byte("percent"), "odd/ü.tar": []byte("umlaut")})
	environment(t, s.URL)
	const want = "a+b.tar=plus c%41 d.tar=percen ü.tar=umlaut"
	if got, err := read(t, "s3://bucket/odd", options()); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	s.Fault = func(_ int, _ http.ResponseWriter, r *http.Request) bool { // as a store that does not know what is asked
		query := r.URL.Query()
		query.Del("encoding-type")
		r.URL.RawQuery = query.Encode()
		return false
	}
	if got, err := read(t, "s3://bucket/odd", options()); err != nil || got != want {
		t.Errorf("plain: got %q, %v, want %q", got, err, want)
	}
	s = testserver.New(t, map[string][]byte{"odd/\x01.tar": []byte("control")})
	environment(t, s.URL)
	if got, err := read(t, "s3://bucket/odd", options()); err != nil || got != "\x01.tar=contro" {
		t.Errorf("got %q, %v, want the object", got, err)
	}
}

func TestSourcesThatNameNothing(t *testing.T) {
	s := store(t)
	s.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/nobucket") {
			return false
		}
		testserver.Refuse(w, http.StatusNotFound, "NoSuchBucket")
		return true
	}
	for source, want := range map[string]string{
		"s3://":                        "names no bucket",
		"s3://{a,b}/x":                 "names no bucket",
		"s3://key:secret@bucket/x":     "names no bucket",
		"s3://key:sec/ret@bucket/x":    "names no bucket",
		"s3://bucket/none":             "no object has this key or prefix",
		"s3://bucket/set/*.zip":        "no object matches",
		"s3://bucket/set/a/{0..3}.tar": `2 of its 4 objects are missing, the first is "set/a/2.tar"`,
		"s3://bucket/set/a/{0":         "a { without its }",
		"s3://bucket/set/a/[":          "syntax error in pattern",
		"s3://nobucket/set":            `there is no bucket "nobucket"`,
	} {
		_, err := read(t, source, options())
		if pattern := (*shard.PatternError)(nil); !errors.As(err, &pattern) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec/ret") {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	cases := []struct {
		status  int
		code    string
		request int    // that is refused: the first lists, the third reads
		want    string // part of the error; "" for one that passes
	}{
		{http.StatusForbidden, "AccessDenied", 1, "list s3://bucket/set/a.tar: permission denied (403 AccessDenied: as the test wants it): set AWS_PROFILE"},
		{http.StatusForbidden, "InvalidAccessKeyId", 2, "read s3://bucket/set/a.tar: permission denied (403 InvalidAccessKeyId"},
		{http.StatusForbidden, "InvalidObjectState", 2, "archived"},
		{http.StatusNotFound, "NoSuchKey", 2, "404 NoSuchKey"},
		{http.StatusPreconditionFailed, "PreconditionFailed", 2, "the object has changed since it was listed"},
		{http.StatusBadRequest, "InvalidArgument", 2, "400 InvalidArgument"},
		{http.StatusServiceUnavailable, "SlowDown", 1, ""},
		{http.StatusServiceUnavailable, "SlowDown", 2, ""},
		{http.StatusInternalServerError, "InternalError", 2, ""},
		{http.StatusBadRequest, "ExpiredToken", 2, ""},
		{http.StatusBadRequest, "RequestTimeout", 2, ""},
	}
	for _, c := range cases {
		s := store(t)
		s.Fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == c.request {
				testserver.Refuse(w, c.status, c.code)
			}
			return n == c.request
		}
		_, err := read(t, "s3://bucket/set/a.tar", options())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of request %d: got %v, want %q", c.code, c.request, err, c.want)
		}
	}
}

func TestCutConnections(t *testing.T) {
	s := store(t)
	s.CutAfter = func(n int) int {
		if n == 1 {
			return 100 // inside the listing
		}
		return 9000 * (n % 4)
	}
	if got, err := read(t, "s3://bucket/set/a.tar", options()); err != nil || got != "a.tar=012345" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	s := store(t)
	s.Close()
	_, err := read(t, "s3://bucket/set", options())
	if err == nil || !strings.Contains(err.Error(), "connection refused (4 attempts)") || strings.Contains(err.Error(), "list-type") {
		t.Errorf("got %v, want what the network says, without the query", err)
	}
}

func TestObjectThatChanges(t *testing.T) {
	s := store(t)
	found, err := s3.Find(t.Context(), "s3://bucket/set/a.tar", options())
	if err != nil {
		t.Fatal(err)
	}
	s.Files["set/a.tar"] = []byte("changed")
	src, err := shard.OpenStream(t.Context(), found.Objects[0])
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := io.ReadAll(src); err == nil || !strings.Contains(err.Error(), "the object has changed since it was listed") {
		t.Errorf("got %v", err)
	}
}

func TestSignatures(t *testing.T) {
	s := store(t)
	for _, anonymous := range []bool{false, true} {
		s.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if signed := strings.Contains(r.Header.Get("Authorization"), "Credential=user/"); signed == anonymous {
				t.Errorf("anonymous %v: signed is %v", anonymous, signed)
			}
			return false
		}
		opts := options()
		opts.Anonymous = anonymous
		if _, err := read(t, "s3://bucket/set/a/0.tar", opts); err != nil {
			t.Error(err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := read(t, "s3://bucket/set/a/0.tar", options()); err == nil || !strings.Contains(err.Error(), "no credentials: set AWS_PROFILE") {
		t.Errorf("got %v, want what to do without credentials", err)
	}
}

func TestBucketInAnotherRegion(t *testing.T) {
	s := store(t)
	s.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.Header.Get("Authorization"), "/eu-north-1/s3/") {
			return false
		}
		w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
		testserver.Refuse(w, http.StatusMovedPermanently, "PermanentRedirect")
		return true
	}
	if _, err := read(t, "s3://bucket/set/a/0.tar", options()); err != nil {
		t.Error(err)
	}
	if s.Requests() != 3 {
		t.Errorf("got %d requests, want one to learn the region, a listing and a file", s.Requests())
	}
}

func TestAttemptsOfTheEnvironment(t *testing.T) {
	s := store(t)
	s.Fault = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		testserver.Refuse(w, http.StatusInternalServerError, "InternalError")
		return true
	}
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	opts := options()
	opts.Link.Attempts = 0
	if _, err := read(t, "s3://bucket/set", opts); err == nil || !strings.HasSuffix(err.Error(), "(2 attempts)") || s.Requests() != 2 {
		t.Errorf("got %v after %d requests, want 2", err, s.Requests())
	}
}
