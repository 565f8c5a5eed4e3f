package ingest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
)

// rejected runs a source that may reject anything and returns the rejects.
func rejected(t *testing.T, cfg ingest.Config) (rows []row, rejects []batch.Reject, src *ingest.Source, err error) {
	t.Helper()
	cfg.Rejects = &batch.Rejects{Max: 1, Log: func(r batch.Reject) error { rejects = append(rejects, r); return nil }}
	rows, src, err = read(t, cfg, 0)
	return rows, rejects, src, err
}

func TestRejectedSamplesLeaveGaps(t *testing.T) {
	dir := t.TempDir()
	files := samples(1, 6)
	files[2].body = []byte("text")      // 001.png
	files[7].body = []byte("a label")   // 003.cls
	files = slices.Delete(files, 8, 9)  // 004.png
	files[10].body = picture(40, 40, 1) // 005.cls: too long
	write(t, dir, "a.tar", archive(t, files...))
	cfg := ingest.Config{Sources: []string{dir}, Epochs: 1, RecordRows: 2}
	for _, encoded := range []bool{false, true} {
		cfg.Encoded = encoded
		rows, rejects, _, err := rejected(t, cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := "[0:0=a.tar/000 0:2=a.tar/002]"
		wantRejects := []string{"1 a.tar/001@2048: decode: ", "3 a.tar/003@", "4 a.tar/004@", "5 a.tar/005@"}
		if encoded { // not decoded here
			want, wantRejects = "[0:0=a.tar/000 0:1=a.tar/001 0:2=a.tar/002]", wantRejects[1:]
		}
		if got := fmt.Sprint(rows); got != want {
			t.Errorf("encoded %v: got %s, want %s", encoded, got, want)
		}
		for i, r := range rejects {
			if got := fmt.Sprintf("%d %v", r.Index, r); i >= len(wantRejects) || !strings.HasPrefix(got, wantRejects[i]) || r.Lost != 1 || r.GivenUp {
				t.Errorf("encoded %v: reject %d: got %q of %d samples, given up %v, want %q", encoded, i, got, r.Lost, r.GivenUp, wantRejects)
			}
		}
		if len(rejects) != len(wantRejects) {
			t.Errorf("encoded %v: got %v, want %q", encoded, rejects, wantRejects)
		}
	}
}

func TestTooManyRejects(t *testing.T) {
	files := samples(1, 20)
	files[2].body = []byte("text")
	dir := t.TempDir()
	write(t, dir, "a.tar", archive(t, files...))
	for limit, want := range map[float64]error{0.05: nil, 0.04: batch.ErrTooManyRejects} {
		_, _, err := read(t, ingest.Config{Sources: []string{dir}, Epochs: 1, Rejects: &batch.Rejects{Max: limit}}, 0)
		if !errors.Is(err, want) {
			t.Errorf("1 of 20 with at most %v: got %v, want %v", limit, err, want)
		}
	}
}

func TestBrokenShardIsGivenUp(t *testing.T) {
	dir := shards(t, 3, 4, 2)
	broken := filepath.Join(dir, "train-001.tar")
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, err := src.Count(t.Context()); n != 9 || err != nil {
		t.Fatalf("got %d samples, %v, want 9", n, err)
	}
	if err := os.Truncate(broken, 2048+1024+100); err != nil { // in the header of 001.cls
		t.Fatal(err)
	}
	for _, workers := range []int{1, 4} {
		rows, rejects, _, err := rejected(t, ingest.Config{Sources: []string{dir}, Epochs: 1, Workers: workers, RecordRows: 2})
		if err != nil {
			t.Fatal(err)
		}
		want := "[0:0=train-000.tar/000 0:1=train-000.tar/001 0:2=train-000.tar/002 0:3=train-001.tar/000 0:5=train-002.tar/000 0:6=train-002.tar/001]"
		if got := fmt.Sprint(rows); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if len(rejects) != 1 || !rejects[0].GivenUp || rejects[0].Index != 4 || !strings.Contains(rejects[0].Error(), "train-001.tar/001@3072: header: truncated") {
			t.Errorf("got %+v, want one reject at 4, given up", rejects)
		}
	}
}

func TestLostSamplesAreCountedWhereKnown(t *testing.T) {
	dir := shards(t, 10)
	var rejects []batch.Reject
	cfg := ingest.Config{Sources: []string{dir}, Epochs: 1, Rejects: &batch.Rejects{Max: 1, Log: func(r batch.Reject) error { rejects = append(rejects, r); return nil }}}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := src.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "train-000.tar"), 2*2048+100); err != nil {
		t.Fatal(err)
	}
	if err := batch.Run(t.Context(), 1, nil, nil, src.Stage(), discard); err != nil {
		t.Fatal(err)
	}
	if len(rejects) != 1 || rejects[0].Lost != 9 {
		t.Errorf("got %+v, want one reject for 9 samples", rejects)
	}
}

// TestLostSamplesAreEstimated loses a shard that nobody has counted: it stands for as
// many samples as its length makes of those of the others, more than is tolerated.
func TestLostSamplesAreEstimated(t *testing.T) {
	dir := shards(t, 30, 30, 30, 20)
	var lost []int
	cfg := ingest.Config{Sources: []string{dir}, Epochs: 1, Interleave: 2,
		Rejects: &batch.Rejects{Max: 0.01, Log: func(r batch.Reject) error { lost = append(lost, r.Lost); return nil }}}
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "train-003.tar")); err != nil {
		t.Fatal(err)
	}
	err = batch.Run(t.Context(), 1, nil, nil, src.Stage(), discard)
	if !errors.Is(err, batch.ErrTooManyRejects) || fmt.Sprint(lost) != "[20]" {
		t.Errorf("got %v lost, %v, want 20 and too many", lost, err)
	}
}

func TestSourceWithoutAReadableImage(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bad/a.tar", archive(t, file{"x.png", []byte("text")}))
	write(t, dir, "good/b.tar", archive(t, samples(1, 3)...))
	bad := filepath.Join(dir, "bad")
	_, _, src, err := rejected(t, ingest.Config{Sources: []string{filepath.Join(dir, "good"), bad}, Epochs: 1})
	if err == nil || !strings.Contains(err.Error(), "not one readable image in") || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "a.tar/x@0: decode") {
		t.Errorf("got %v, want a failure that names %s and the sample", err, bad)
	}
	if _, err := src.First(t.Context()); err != nil {
		t.Errorf("first of both sources: %v", err)
	}
	if src, err = ingest.Open(t.Context(), ingest.Config{Sources: []string{bad}}); err != nil {
		t.Fatal(err)
	}
	if _, err := src.First(t.Context()); err == nil || !strings.Contains(err.Error(), "not one readable image") {
		t.Errorf("first: got %v", err)
	}
}

func TestImageLimits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "c/big.png", picture(30, 30, 1))
	write(t, dir, "c/small.png", picture(3, 3, 1))
	cfg := ingest.Config{Sources: []string{dir}, Epochs: 1, MaxPixels: 100}
	rows, rejects, _, err := rejected(t, cfg)
	if err != nil || fmt.Sprint(rows) != "[0:1=c/small.png]" || len(rejects) != 1 || !strings.Contains(rejects[0].Error(), "c/big.png@0: decode: ") {
		t.Errorf("pixels: got %v %v %v", rows, rejects, err)
	}
	cfg.MaxPixels, cfg.MaxSampleBytes = 0, int64(len(picture(3, 3, 1)))
	rows, rejects, _, err = rejected(t, cfg)
	if err != nil || fmt.Sprint(rows) != "[0:1=c/small.png]" || len(rejects) != 1 || !strings.Contains(rejects[0].Error(), "c/big.png@0: read: ") {
		t.Errorf("bytes: got %v %v %v", rows, rejects, err)
	}
}

func TestSampleThatCannotBeReadIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		write(t, dir, fmt.Sprintf("c/%d.png", i), picture(2, 2, byte(i)))
	}
	var rejects []batch.Reject
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{dir}, Epochs: 1,
		Rejects: &batch.Rejects{Max: 1, Log: func(r batch.Reject) error { rejects = append(rejects, r); return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "c", "1.png")); err != nil {
		t.Fatal(err)
	}
	if err := batch.Run(t.Context(), 1, nil, nil, src.Stage(), discard); err != nil {
		t.Fatal(err)
	}
	if len(rejects) != 1 || !strings.HasPrefix(rejects[0].Error(), "c/1.png@0: open: ") || !rejects[0].GivenUp {
		t.Errorf("got rejects %+v, want one for c/1.png, given up", rejects)
	}
}
