package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"clpipe/ingest"
)

func TestVerifyReport(t *testing.T) {
	dir := shards(t, 4, 2)
	files := samples(0, 3)                    // equal to the first three of train-000.tar
	files[2].body = []byte("text")            // 001.png
	files = append(files[:5], files[5+1:]...) // 002 has no label
	body := archive(t, files...)
	write(t, dir, "z/extra.tar", body[:len(body)-1024]) // without end marker: the last sample is lost
	for _, workers := range []int{1, 3} {
		var checked atomic.Int64
		cfg := ingest.Config{Sources: []string{dir}, Workers: workers, Progress: func() { checked.Add(1) }}
		src, err := ingest.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		r, err := src.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if checked.Load() != 9 {
			t.Errorf("%d workers: told of %d samples, want 9", workers, checked.Load())
		}
		if r.Samples != 9 || r.Readable != 7 || r.Unlabelled != 0 {
			t.Errorf("got %d samples, %d readable, %d without label, want 9, 7, 0", r.Samples, r.Readable, r.Unlabelled)
		}
		for want, got := range map[string]any{
			"[{0 5} {1 2}]":                             r.Classes,
			"[{png 2 2 4} {png 3 2 2} {png 4 2 1}]":     r.Sizes,
			"[[train-000.tar/000 z/extra.tar/000]]":     r.Duplicates,
			"[train-000.tar train-001.tar z/extra.tar]": shardNames(r),
		} {
			if fmt.Sprint(got) != want {
				t.Errorf("%d workers: got %v, want %s", workers, got, want)
			}
		}
		if len(r.Damage) != 2 || !strings.HasPrefix(r.Damage[0].Error(), "z/extra.tar/001@2048: decode: ") || !strings.HasPrefix(r.Damage[1].Error(), "z/extra.tar/002@") {
			t.Errorf("got damage %v", r.Damage)
		}
	}
}

func shardNames(r *ingest.Report) (names []string) {
	for _, s := range r.Shards {
		names = append(names, s.Name)
	}
	return names
}

func TestVerifyGathersTheImagesOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"cat/1.png", "cat/2.png", "dog/1.png"} {
		write(t, dir, name, picture(2, 2, byte(i)))
	}
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(shardNames(r)), "[cat dog]"; got != want || r.Shards[0].Readable != 2 {
		t.Errorf("got %+v, want %s with two and one image", r.Shards, want)
	}
}

func TestVerifyEndsWhenCancelled(t *testing.T) {
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{filepath.Join(shards(t, 3), "*.tar")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
