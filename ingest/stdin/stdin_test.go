package stdin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"clpipe/ingest/shard"
	"clpipe/ingest/stdin"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, obj *stdin.Object) io.ReadCloser {
	t.Helper()
	src, err := shard.OpenStream(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestTheBeginningCanBeReadAgain(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 30000)
	obj := stdin.New(iotest.HalfReader(bytes.NewReader(body)))
	for _, n := range []int{5, 100000, 7, len(body), len(body)} { // a look, another, all of it twice
		src := open(t, obj)
		got := make([]byte, n)
		if _, err := io.ReadFull(src, got); err != nil || !bytes.Equal(got, body[:n]) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if n == len(body) {
			if more, err := src.Read(got); more != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("after the end: got %d bytes, %v", more, err)
			}
		}
		src.Close()
	}
}

func TestMoreThanIsKeptIsReadOnce(t *testing.T) {
	const size = 40 << 20
	obj := stdin.New(io.LimitReader(zeros{}, size))
	if n, err := io.Copy(io.Discard, open(t, obj)); n != size || err != nil {
		t.Fatalf("got %d bytes, %v, want %d", n, err, size)
	}
	if _, err := open(t, obj).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "can be read only once") {
		t.Errorf("again: got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestReadingIsCancelled(t *testing.T) {
	in, out := io.Pipe()
	obj := stdin.New(in)
	ctx, cancel := context.WithCancel(t.Context())
	src, err := obj.Open(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := src.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	go func() { out.Write([]byte("x")); out.Close() }()
	if got, err := io.ReadAll(open(t, obj)); string(got) != "x" || err != nil { // nothing is lost
		t.Errorf("got %q, %v", got, err)
	}
}

func TestErrorsOfTheInput(t *testing.T) {
	fault := errors.New("input/output error")
	obj := stdin.New(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(fault)))
	if got, err := io.ReadAll(open(t, obj)); string(got) != "ab" || !errors.Is(err, fault) {
		t.Errorf("got %q, %v", got, err)
	}
}
