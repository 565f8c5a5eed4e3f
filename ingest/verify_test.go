package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"clpipe/ingest"
	"clpipe/ingest/internal/testserver"
	"clpipe/ingest/shard"
	"clpipe/internal/synth"
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
		r := verified(t, cfg, ingest.NoIndex)
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

// verified returns the report on a source.
func verified(t *testing.T, cfg ingest.Config, index string) *ingest.Report {
	t.Helper()
	src, err := ingest.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Verify(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func shardNames(r *ingest.Report) (names []string) {
	for _, s := range r.Shards {
		names = append(names, s.Name)
	}
	return names
}

func TestVerifyGathersTheImagesOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"cat/1.png", "cat/kitten/1.png", "cat/old/1.png", "cat/z.png", "dog/1.png"} {
		write(t, dir, name, picture(2, 2, byte(i)))
	}
	r := verified(t, ingest.Config{Sources: []string{dir}}, ingest.NoIndex)
	if got, want := fmt.Sprint(shardNames(r)), "[cat cat/kitten cat/old dog]"; got != want || r.Shards[0].Readable != 2 || r.Shards[3].Readable != 1 {
		t.Errorf("got %+v, want %s with two images in the first and one in each other", r.Shards, want)
	}
}

// TestVerifyFindsWhatLooksAlike saves each of some images again: compressed
// harder, at half the size, and brighter.
func TestVerifyFindsWhatLooksAlike(t *testing.T) {
	dir := t.TempDir()
	const n = 24
	for i := range n {
		m := synth.Draw(1, i%len(synth.Classes()), i, 96)
		save := func(kind string, m image.Image, quality int) {
			var file bytes.Buffer
			if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: quality}); err != nil {
				t.Fatal(err)
			}
			write(t, dir, fmt.Sprintf("%02d/%s.jpg", i, kind), file.Bytes())
		}
		save("a", m, 95)
		if i%3 > 0 {
			continue
		}
		save("b", m, 40)
		half, bright := image.NewRGBA(image.Rect(0, 0, 48, 48)), image.NewRGBA(m.Rect)
		for at := range half.Pix {
			x, y, c := at/4%48, at/4/48, at%4
			sum := 0
			for dy := range 2 {
				for dx := range 2 {
					sum += int(m.Pix[m.PixOffset(2*x+dx, 2*y+dy)+c])
				}
			}
			half.Pix[at] = byte(sum / 4)
		}
		for at, v := range m.Pix {
			bright.Pix[at] = byte(min(int(v)+5, 255))
		}
		save("c", half, 90)
		save("d", bright, 90)
	}
	r := verified(t, ingest.Config{Sources: []string{dir}}, ingest.NoIndex)
	var want [][]string
	for i := 0; i < n; i += 3 {
		var group []string
		for _, kind := range []string{"a", "b", "c", "d"} {
			group = append(group, fmt.Sprintf("%02d/%s.jpg", i, kind))
		}
		want = append(want, group)
	}
	if got := fmt.Sprint(r.NearDuplicates); got != fmt.Sprint(want) {
		t.Errorf("got  %s\nwant %v", got, want)
	}
	if len(r.Duplicates) > 0 {
		t.Errorf("got equal images %v, want none", r.Duplicates)
	}
}

// TestVerifyAsksOnce compares the checksums of remote shards without a request for
// each beside that for its samples.
func TestVerifyAsksOnce(t *testing.T) {
	dir := packings(t)
	server := testserver.New(t, contents(t, dir, "set/"))
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{server.URL + "/set/" + packingsPattern}}.WithoutWaiting())
	if err != nil {
		t.Fatal(err)
	}
	before := server.Requests()
	report, err := src.Verify(t.Context(), ingest.NoIndex)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Shards {
		body, err := os.ReadFile(filepath.Join(dir, s.Name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(body)); s.SHA256 != want {
			t.Errorf("%s: got SHA-256 %s, want %s", s.Name, s.SHA256, want)
		}
	}
	// Beside the shards, a SHA256SUMS is looked for.
	if asked := server.Requests() - before; len(report.Shards) == 0 || asked > len(report.Shards)+1 {
		t.Errorf("%d requests for %d shards, want one each and one for checksums", asked, len(report.Shards))
	}
}

// TestVerifyOfUnknownLength verifies and indexes shards whose length the server does
// not say.
func TestVerifyOfUnknownLength(t *testing.T) {
	dir := packings(t)
	server := testserver.New(t, contents(t, dir, "set/"))
	inChunks(server)
	cfg := ingest.Config{Sources: []string{server.URL + "/set/" + packingsPattern}}.WithoutWaiting()
	r := verified(t, cfg, ingest.NoIndex)
	if r.Readable != 48 || len(r.Damage) > 0 {
		t.Errorf("got %d readable images, damage %v, want 48 and none", r.Readable, r.Damage)
	}
	for _, s := range r.Shards {
		body, err := os.ReadFile(filepath.Join(dir, s.Name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(body)); s.SHA256 != want {
			t.Errorf("%s: got SHA-256 %s, want %s", s.Name, s.SHA256, want)
		}
	}
	if report := makeIndex(t, cfg, filepath.Join(t.TempDir(), "x")); report.Samples != 48 || report.Damaged > 0 {
		t.Errorf("index: got %+v, want 48 samples", report)
	}
}

// TestVerifyOfTablesByOtherNames verifies and indexes a remote Parquet file whose name
// does not tell what it is.
func TestVerifyOfTablesByOtherNames(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(tables, "plain.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	server := testserver.New(t, map[string][]byte{"download": body})
	for _, cache := range []string{"", filepath.Join(t.TempDir(), "cache")} {
		cfg := ingest.Config{Sources: []string{server.URL + "/download"}, CacheDir: cache}.WithoutWaiting()
		r := verified(t, cfg, ingest.NoIndex)
		if r.Readable != 12 || len(r.Damage) > 0 || r.Shards[0].SHA256 != fmt.Sprintf("%x", sha256.Sum256(body)) {
			t.Errorf("got %d readable images, damage %v, SHA-256 %s, want 12 and that of the file", r.Readable, r.Damage, r.Shards[0].SHA256)
		}
		if report := makeIndex(t, cfg, filepath.Join(t.TempDir(), "x")); report.Samples != 12 || report.Damaged > 0 || report.Bytes != int64(len(body)) {
			t.Errorf("index: got %+v, want 12 samples", report)
		}
	}
}

// TestVerifyLeavesNoImages looks at the memory of images of packed shards.
func TestVerifyLeavesNoImages(t *testing.T) {
	shard.DropFree()
	before := shard.HeldBytes()
	verified(t, ingest.Config{Sources: []string{packings(t)}}, ingest.NoIndex)
	if shard.DropFree(); shard.HeldBytes() != before {
		t.Errorf("%d bytes are held, %d before", shard.HeldBytes(), before)
	}
}

func TestVerifyEndsWhenCancelled(t *testing.T) {
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{filepath.Join(shards(t, 3), "*.tar")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.Verify(ctx, ingest.NoIndex); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
