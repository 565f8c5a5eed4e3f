package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/vbauerster/mpb/v8"
)

// What is written beside a live line goes through what draws it, and to the file again
// once that has ended.
func TestTextStaysAboveLiveLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "screen")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := &screen{file: file}
	var drawn bytes.Buffer
	live := mpb.New(mpb.WithOutput(&drawn), mpb.WithAutoRefresh())
	s.live.Store(live)
	bar := addBar(live, 2)
	bar.SetCurrent(2)
	if _, err := s.Write([]byte("beside\n")); err != nil {
		t.Fatal(err)
	}
	bar.Abort(false)
	live.Wait()
	if _, err := s.Write([]byte("behind\n")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "behind\n" || bytes.Count(drawn.Bytes(), []byte("beside\n")) != 1 {
		t.Errorf("the file holds %q, %v; what was drawn is %q", text, err, &drawn)
	}
}
