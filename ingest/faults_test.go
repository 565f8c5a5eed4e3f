package ingest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"
)

// isPart tells whether a request is for a shard's bytes: neither a listing nor
// the look at a first byte that tells a file's length.
func isPart(r *http.Request) bool {
	return r.URL.Query().Get("list-type") == "" && r.Header.Get("Range") != "bytes=0-0"
}

// A fault answers a request for a shard's bytes in its own way.
type fault struct {
	name  string
	spoil func(s *testserver.Server, w http.ResponseWriter, r *http.Request)
	// lost is part of the reason for which the shard is given up, "" for a fault
	// that changes nothing.
	lost string
	// rest tells that only requests that begin behind the first byte are met.
	rest bool
}

var faults = []fault{
	{name: "cut", spoil: func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		answer := s.Answer(r)
		answer.Body.Truncate(answer.Body.Len() / 3)
		testserver.Send(w, answer)
	}},
	{name: "cut before the first byte", spoil: func(_ *testserver.Server, _ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }},
	{name: "cut within the header", spoil: func(_ *testserver.Server, w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Le")
			conn.Close()
		}
	}},
	{name: "short without an error", spoil: func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		answer := s.Answer(r)
		answer.Body.Truncate(answer.Body.Len() / 2)
		answer.Header().Del("Content-Length")
		body := answer.Body.Bytes()
		answer.Body = bytes.NewBuffer(nil)
		testserver.Send(w, answer)
		w.(http.Flusher).Flush() // and so in chunks, with a proper end
		w.Write(body)
	}},
	{name: "slow", spoil: func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		answer := s.Answer(r)
		body := answer.Body.Bytes()
		answer.Body = bytes.NewBuffer(nil)
		testserver.Send(w, answer)
		for len(body) > 0 {
			n := min(len(body), 4000)
			w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
	}},
	{name: "stalled", spoil: func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		answer := s.Answer(r)
		answer.Body.Truncate(answer.Body.Len() / 2)
		testserver.Send(w, answer)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}},
	{name: "longer than it says", spoil: func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		answer := s.Answer(r)
		answer.Header().Del("Content-Length")
		answer.Body.WriteString("and what nobody has asked for")
		testserver.Send(w, answer)
	}, rest: true},
	{name: "500", spoil: refuses(http.StatusInternalServerError, "InternalError", "")},
	{name: "502 of a proxy", spoil: refuses(http.StatusBadGateway, "", "")},
	{name: "503 with Retry-After", spoil: refuses(http.StatusServiceUnavailable, "SlowDown", "1")},
	{name: "429", spoil: refuses(http.StatusTooManyRequests, "", "3")},
	{name: "503 for an hour", spoil: refuses(http.StatusServiceUnavailable, "SlowDown", "3600"), lost: "the server asks to come back in 1h0m0s"},
	{name: "403", spoil: refuses(http.StatusForbidden, "AccessDenied", ""), lost: "permission denied (403"},
	{name: "404", spoil: refuses(http.StatusNotFound, "NoSuchKey", ""), lost: "404"},
	{name: "another version", spoil: alters(func(h http.Header) { h.Set("ETag", `"another"`) }), lost: "has changed since it was listed"},
	{name: "another length", spoil: alters(func(h http.Header) {
		h.Set("Content-Range", h.Get("Content-Range")+"0")
	}), lost: "says that this version has", rest: true},
	{name: "another part", spoil: alters(func(h http.Header) {
		var from, to, size int64
		fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size)
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from-1, to-1, size))
	}), lost: "sent bytes from", rest: true},
	{name: "no part that makes sense", spoil: alters(func(h http.Header) { h.Set("Content-Range", "bytes all") }), lost: "want a Content-Range", rest: true},
	{name: "the whole file", spoil: func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		testserver.Send(w, s.Answer(r))
	}, lost: "sent the whole file", rest: true},
}

func refuses(status int, code, after string) func(*testserver.Server, http.ResponseWriter, *http.Request) {
	return func(_ *testserver.Server, w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		testserver.Refuse(w, status, code)
	}
}

func alters(change func(h http.Header)) func(*testserver.Server, http.ResponseWriter, *http.Request) {
	return func(s *testserver.Server, w http.ResponseWriter, r *http.Request) {
		answer := s.Answer(r)
		change(answer.Header())
		testserver.Send(w, answer)
	}
}

// TestFaults meets every third request for a shard's bytes with a fault, those
// for the rest of a file all if they are met alone. The order and the bytes stay
// as they are on disk, or the shard is given up with the reason.
func TestFaults(t *testing.T) {
	dir := packings(t)
	cfg := ingest.Config{Sources: []string{dir}, Shuffle: true, Seed: 3, ShuffleBuffer: 10, Interleave: 3, Epochs: 1, StallTimeout: 300 * time.Millisecond}.WithoutWaiting()
	want, err := digest(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		for _, cached := range []bool{false, true} {
			server := testserver.New(t, contents(t, dir, "set/"))
			storeEnvironment(t, server.URL)
			parts := make(chan int, 1)
			parts <- 0
			server.Fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if !isPart(r) {
					return false
				}
				n := <-parts + 1
				parts <- n
				later := r.Header.Get("Range") != "" && !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-")
				switch {
				case f.rest && !later: // so that a rest is asked for
					answer := server.Answer(r)
					answer.Body.Truncate(answer.Body.Len() / 3)
					testserver.Send(w, answer)
				case f.rest || n%3 == 0:
					f.spoil(server, w, r)
				default:
					return false
				}
				return true
			}
			for _, source := range []string{"s3://bucket/set", server.URL + "/set/" + packingsPattern} {
				cfg.Sources, cfg.CacheDir = []string{source}, ""
				if cached {
					cfg.CacheDir = t.TempDir()
				}
				if f.lost == "" {
					if got, err := digest(t, cfg); err != nil || got != want {
						t.Errorf("%s, %s, cache %v: got %s, %v, want %s", f.name, source, cached, got, err, want)
					}
					continue
				}
				rows, rejects, _, err := rejected(t, cfg)
				if err != nil || len(rejects) == 0 || !rejects[0].GivenUp {
					t.Errorf("%s, %s, cache %v: got %d rows, %d rejects, %v, want a shard given up", f.name, source, cached, len(rows), len(rejects), err)
				}
				for _, r := range rejects {
					if !strings.Contains(r.Error(), f.lost) {
						t.Errorf("%s, %s, cache %v: got %v, want %q", f.name, source, cached, r, f.lost)
					}
				}
			}
		}
	}
}
