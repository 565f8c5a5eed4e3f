package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"clpipe/ingest/shard"
)

var errReset = errors.New("connection reset by peer")

// server answers requests for a file from memory.
type server struct {
	file    []byte
	version string
	ranges  bool
	// cut is after how many bytes the body of the n-th request ends, counted
	// from 1, and how; -1: it does not.
	cut func(n int) (after int, how error)
	// refuse is the failure of the n-th request, nil: none.
	refuse func(n int) error
	// answer may change an answer.
	answer func(n int, r *Response)

	asked []Request
	open  int // bodies not closed
}

func (s *server) get(_ context.Context, r Request) (*Response, error) {
	s.asked = append(s.asked, r)
	n := len(s.asked)
	if s.refuse != nil {
		if err := s.refuse(n); err != nil {
			return nil, err
		}
	}
	got := &Response{Size: int64(len(s.file)), Version: s.version}
	body := s.file
	if s.ranges {
		got.From = r.From
		if r.To >= 0 && r.To < int64(len(body)) {
			body = body[:r.To+1]
		}
		body = body[r.From:]
	}
	var src io.Reader = bytes.NewReader(body)
	if s.cut != nil {
		if after, how := s.cut(n); after >= 0 && after < len(body) {
			src = io.MultiReader(bytes.NewReader(body[:after]), iotest.ErrReader(how))
		}
	}
	s.open++
	got.Body = &counted{src, s}
	if s.answer != nil {
		s.answer(n, got)
	}
	return got, nil
}

type counted struct {
	io.Reader
	server *server
}

func (c *counted) Close() error { c.server.open--; return nil }

// waits is a clock that stands still and keeps how long it was to wait.
type waits []time.Duration

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	*w = append(*w, d)
	return ctx.Err()
}

func (s *server) object(w *waits) *Object {
	return &Object{Link: &Link{Wait: w.wait}, Get: s.get, Where: "s3://bucket/x.tar", Below: "x.tar",
		Bytes: int64(len(s.file)), Version: s.version, Ranges: s.ranges}
}

func bytesOf(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i*i>>8 + i)
	}
	return out
}

// read reads an object to its end.
func read(t *testing.T, obj *Object) ([]byte, error) {
	t.Helper()
	src, err := shard.OpenStream(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return io.ReadAll(src)
}

func TestCutBodiesGoOnAtEveryByte(t *testing.T) {
	file := bytesOf(100)
	for _, how := range []error{io.EOF, io.ErrUnexpectedEOF, errReset} {
		for _, ranges := range []bool{true, false} {
			for at := range len(file) {
				s := &server{file: file, version: `"1"`, ranges: ranges, cut: func(n int) (int, error) {
					if n > 1 {
						return -1, nil
					}
					return at, how
				}}
				got, err := read(t, s.object(&waits{}))
				if err != nil || !bytes.Equal(got, file) {
					t.Fatalf("cut at %d by %v, ranges %v: got %d bytes, %v", at, how, ranges, len(got), err)
				}
				if last := s.asked[len(s.asked)-1]; len(s.asked) != 2 || last != (Request{int64(at), -1, `"1"`}) {
					t.Fatalf("cut at %d: asked %+v", at, s.asked)
				}
				if s.open != 0 {
					t.Fatalf("cut at %d: %d bodies left open", at, s.open)
				}
			}
		}
	}
}

func TestEveryAnswerCutAfterAByte(t *testing.T) {
	s := &server{file: bytesOf(300), version: `"1"`, ranges: true, cut: func(int) (int, error) { return 1, errReset }}
	var w waits
	got, err := read(t, s.object(&w))
	if err != nil || !bytes.Equal(got, s.file) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	for _, d := range w { // each brought a byte: the waits do not grow
		if d > shortestWait {
			t.Fatalf("waited %v, want at most %v", d, shortestWait)
		}
	}
}

func TestGivingUp(t *testing.T) {
	s := &server{file: bytesOf(10), version: `"1"`, ranges: true, cut: func(n int) (int, error) {
		if n == 1 {
			return 4, io.ErrUnexpectedEOF
		}
		return 0, io.ErrUnexpectedEOF
	}}
	var w waits
	got, err := read(t, s.object(&w))
	want := "read s3://bucket/x.tar at byte 4: the connection was cut (10 attempts)"
	if len(got) != 4 || err == nil || err.Error() != want {
		t.Errorf("got %d bytes, %v, want 4 and %s", len(got), err, want)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, shard.ErrFinal) {
		t.Errorf("%v looks like the end of the file, or is read again", err)
	}
	if len(s.asked) != defaultAttempts { // the cut after four bytes is the first failure in a row
		t.Errorf("asked %d times, want %d", len(s.asked), defaultAttempts)
	}
	for i, d := range w {
		most := min(shortestWait<<i, longestWait)
		if d < most/2 || d > most {
			t.Errorf("wait %d is %v, want %v to %v", i, d, most/2, most)
		}
	}
}

func TestWrongAnswersEndReading(t *testing.T) {
	cut := func(n int) (int, error) {
		if n > 1 {
			return -1, nil
		}
		return 5, errReset
	}
	const one, all = 2, defaultAttempts // requests: the cut is the first failure in a row
	cases := []struct {
		name    string
		version string
		server  server
		want    string
		asked   int
	}{
		{"another version", `"1"`, server{answer: func(n int, r *Response) { r.Version = fmt.Sprintf(`"%d"`, n) }}, `changed since it was listed: got version "\"2\"", want "\"1\""`, one},
		{"no version any more", `"1"`, server{answer: func(n int, r *Response) {
			if n > 1 {
				r.Version = ""
			}
		}}, `does not say which version of the file it sends, want "\"1\""`, one},
		{"another length", "", server{answer: func(n int, r *Response) { r.Size += int64(n - 1) }}, "changed since it was listed: got 11 bytes, want 10", one},
		{"another length of the version", `"1"`, server{answer: func(n int, r *Response) { r.Size += int64(n - 1) }}, "says that this version has 19 bytes, want 10 (10 attempts)", all},
		{"the whole file", `"1"`, server{answer: func(_ int, r *Response) { r.From = 0 }}, "sent the whole file, want the part from byte 5 on (10 attempts)", all},
		{"another part", `"1"`, server{answer: func(n int, r *Response) { r.From += 2 * int64(n-1) }}, "sent bytes from 23 on, want 5 (10 attempts)", all},
		{"final", `"1"`, server{refuse: func(n int) error {
			if n == 1 {
				return nil
			}
			return &Failure{Kind: Final, Why: errors.New("no way")}
		}}, "no way", one},
	}
	for _, c := range cases {
		c.server.file, c.server.version, c.server.ranges, c.server.cut = bytesOf(10), c.version, true, cut
		got, err := read(t, c.server.object(&waits{}))
		if len(got) != 5 || err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "read s3://bucket/x.tar at byte 5: ") {
			t.Errorf("%s: got %d bytes, %v, want 5 and %q", c.name, len(got), err, c.want)
		}
		if len(c.server.asked) != c.asked || c.server.open != 0 {
			t.Errorf("%s: asked %d times, want %d, %d bodies left open", c.name, len(c.server.asked), c.asked, c.server.open)
		}
	}
}

// TestWrongAnswerIsAskedForAgain has every other answer wrong in a way that its
// version gives away.
func TestWrongAnswerIsAskedForAgain(t *testing.T) {
	for name, spoil := range map[string]func(r *Response){
		"another length": func(r *Response) { r.Size++ },
		"the whole file": func(r *Response) { r.From = 0 },
		"another part":   func(r *Response) { r.From++ },
	} {
		s := &server{file: bytesOf(10), version: `"1"`, ranges: true, cut: func(int) (int, error) { return 3, errReset }}
		s.answer = func(n int, r *Response) {
			if n%2 == 0 {
				spoil(r)
			}
		}
		if got, err := read(t, s.object(&waits{})); err != nil || !bytes.Equal(got, s.file) || s.open != 0 {
			t.Errorf("%s: got %d bytes, %v, %d bodies left open", name, len(got), err, s.open)
		}
	}
}

func TestCutWithoutRangesOrVersion(t *testing.T) {
	s := &server{file: bytesOf(10), cut: func(int) (int, error) { return 5, errReset }}
	if _, err := read(t, s.object(&waits{})); err == nil || !strings.Contains(err.Error(), "neither sends parts of files nor names their version") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownLengthEndsWithTheBody(t *testing.T) {
	s := &server{file: bytesOf(10), answer: func(_ int, r *Response) { r.Size = -1 }}
	obj := s.object(&waits{})
	obj.Bytes = -1
	if got, err := read(t, obj); err != nil || !bytes.Equal(got, s.file) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	s := &server{file: bytesOf(10), ranges: true, refuse: func(n int) error {
		if n > 2 {
			return nil
		}
		return &Failure{Kind: SlowDown, Why: errors.New("503"), RetryAfter: time.Duration(n) * 30 * time.Second}
	}}
	var w waits
	if _, err := read(t, s.object(&w)); err != nil || fmt.Sprint(w) != "[30s 1m0s]" {
		t.Errorf("waited %v, %v", w, err)
	}
	s.asked, s.refuse = nil, func(int) error {
		return &Failure{Kind: SlowDown, Why: errors.New("503"), RetryAfter: time.Hour}
	}
	if _, err := read(t, s.object(&w)); err == nil || !strings.Contains(err.Error(), "503; the server asks to come back in 1h0m0s, want at most 1m20s") {
		t.Errorf("got %v", err)
	}
}

// Of eight files read in turn, a SlowDown leaves four connections open and the
// bytes as they are; after enough answers all are read as before.
func TestSlowDownHalvesTheFilesReadAtOnce(t *testing.T) {
	const files = 8
	file := bytesOf(3*blockBytes + 100)
	refused := false
	s := &server{file: file, version: `"1"`, ranges: true, refuse: func(n int) error {
		if n == files && !refused {
			refused = true
			return &Failure{Kind: SlowDown, Why: errors.New("SlowDown")}
		}
		return nil
	}}
	var w waits
	obj := s.object(&w)
	var got [files][]byte
	var readers [files]io.ReadCloser
	for i := range readers {
		readers[i], _ = obj.Open(t.Context(), 0)
		defer readers[i].Close()
	}
	buf := make([]byte, 1<<20)
	limited := 0 // rounds under the limit: in the first of them connections are closed as their turn comes
	for done := 0; done < files; {
		done = 0
		for i, r := range readers {
			n, err := r.Read(buf)
			got[i] = append(got[i], buf[:n]...)
			if err == io.EOF {
				done++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if limit := obj.Link.gate.limit; limit > 0 {
			limited++
			if limit < files/2 || limited > 1 && s.open > limit {
				t.Fatalf("%d connections are open, limit %d", s.open, limit)
			}
		}
	}
	if limited < 2 {
		t.Errorf("%d rounds were under the limit, want more", limited)
	}
	for i := range got {
		if !bytes.Equal(got[i], file) {
			t.Errorf("file %d: got %d bytes, want %d", i, len(got[i]), len(file))
		}
	}
	for range 2 * calmAnswers {
		obj.Link.gate.answered()
	}
	if obj.Link.gate.limit != 0 || obj.Link.gate.brief != 0 {
		t.Errorf("after a calm time: limit %d, %d short requests under way", obj.Link.gate.limit, obj.Link.gate.brief)
	}
}

// stalling is a body that sends four bytes and then waits for its request to end.
type stalling struct {
	ctx  context.Context
	sent bool
}

func (s *stalling) Read(p []byte) (int, error) {
	if s.sent {
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	s.sent = true
	return copy(p, "1234"), nil
}

func (s *stalling) Close() error { return nil }

func TestStalledBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // on a clock that does not wait
		obj := &Object{Link: &Link{Stall: time.Minute, Attempts: 3}, Where: "https://host/x.tar", Bytes: 8, Ranges: true}
		asked := 0
		obj.Get = func(ctx context.Context, r Request) (*Response, error) {
			if asked++; asked == 1 {
				return &Response{Body: &stalling{ctx: ctx}, Size: 8}, nil
			}
			<-ctx.Done() // not even an answer
			return nil, ctx.Err()
		}
		got, err := read(t, obj)
		want := "read https://host/x.tar at byte 4: no byte came for 1m0s (3 attempts)"
		if string(got) != "1234" || err == nil || err.Error() != want {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	})
}

func TestCancelledReading(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{file: bytesOf(10), ranges: true, refuse: func(int) error { cancel(); return errReset }}
	src, err := s.object(&waits{}).Open(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Read(make([]byte, 4)); !errors.Is(err, context.Canceled) || len(s.asked) != 1 {
		t.Errorf("got %v after %d requests, want the context's error after one", err, len(s.asked))
	}
}

func TestDoNamesWhatFailed(t *testing.T) {
	var w waits
	l := &Link{Wait: w.wait, Attempts: 3}
	asked := 0
	err := l.Do(t.Context(), "list", "https://host/x", func(context.Context) error {
		asked++
		return &url.Error{Op: "Get", URL: "https://host/x?signature=secret", Err: errReset}
	})
	if want := "list https://host/x: connection reset by peer (3 attempts)"; asked != 3 || err == nil || err.Error() != want {
		t.Errorf("got %v after %d requests, want %s", err, asked, want)
	}
	err = l.Do(t.Context(), "list", "https://host/x", func(context.Context) error {
		return &Failure{Kind: Final, Why: fmt.Errorf("404: %w", fs.ErrNotExist)}
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestContentRange(t *testing.T) {
	cases := []struct {
		header     string
		from, size int64
		ok         bool
	}{
		{"bytes 0-0/1", 0, 1, true},
		{"bytes 5-9/10", 5, 10, true},
		{"bytes 5-9/*", 5, -1, true},
		{"bytes 5-10/10", 0, 0, false},
		{"bytes 6-5/10", 0, 0, false},
		{"bytes */10", 0, 0, false},
		{"bytes -1-5/10", 0, 0, false},
		{"bytes 0-0/-1", 0, 0, false},
		{"bytes 0-0/99999999999999999999", 0, 0, false},
		{"items 0-0/1", 0, 0, false},
		{"", 0, 0, false},
	}
	for _, c := range cases {
		from, size, ok := ContentRange(c.header)
		if ok != c.ok || ok && (from != c.from || size != c.size) {
			t.Errorf("%q: got %d of %d, %v", c.header, from, size, ok)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":    0,
		"120": 2 * time.Minute,
		"-1":  0,
		"x":   0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := RetryAfter(header, now); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for address, want := range map[string]string{
		"https://user:secret@host:1/a/b.tar?token=secret#x": "https://host:1/a/b.tar",
		"https://host?token=secret":                         "https://host",
		"s3://bucket/a@b":                                   "s3://bucket/a@b",
		"dir/a?b":                                           "dir/a?b",
		"https://[::1]:80/@a/b":                             "https://[::1]:80/@a/b",
		"https://[fe80::1]/b":                               "https://[fe80::1]/b",
		"https://user:se/cr@et@host:1/a.tar":                "https://host:1/a.tar",
		"https://user:sec#ret@host/a.tar?b#c":               "https://host/a.tar",
		"https://user:sec?ret@host/a.tar":                   "https://host/a.tar",
	} {
		if got := Redact(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Fuzz(func(t *testing.T, header string) {
		if from, size, ok := ContentRange(header); ok && (from < 0 || size >= 0 && from >= size) {
			t.Errorf("%q: got byte %d of %d", header, from, size)
		}
	})
}
