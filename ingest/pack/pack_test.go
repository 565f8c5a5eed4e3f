package pack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/ingest"
	"clpipe/ingest/pack"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folders writes images in two classes and one in the root; one is damaged.
func folders(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{"cat/1.png", "cat/2.jpg", "dog/1.jpeg", "dog/2.png", "dog/bad.png", "root.png"} {
		m := image.NewGray(image.Rect(0, 0, 3+i, 4))
		var buf bytes.Buffer
		var err error
		if filepath.Ext(name) == ".png" {
			err = png.Encode(&buf, m)
		} else {
			err = jpeg.Encode(&buf, m, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "bad") {
			buf.Truncate(5)
		}
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read returns id, label and content of a source's samples.
func read(t *testing.T, source string) []string {
	t.Helper()
	src, err := ingest.Open(t.Context(), ingest.Config{Sources: []string{source}, Encoded: true, Epochs: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	err = batch.Run(t.Context(), 1, nil, nil, src.Stage(), func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			view, err := batch.NewEncoded(rec)
			if err != nil {
				return err
			}
			for i := range view.Len() {
				label, ok := view.Label(i)
				out = append(out, fmt.Sprintf("%s %d %v %x", view.ID(i), label, ok, view.Bytes(i)))
			}
			rec.Release()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func config(source, out string) pack.Config {
	return pack.Config{
		Ingest: ingest.Config{Sources: []string{source}, Rejects: &batch.Rejects{Max: 1}},
		Out:    filepath.Join(out, "new", "out-%03d.tar"), MaxSamples: 2,
	}
}

func TestWrittenShardsHoldTheSamples(t *testing.T) {
	source, out := folders(t), t.TempDir()
	cfg, told := config(source, out), 0
	cfg.Progress = func() { told++ }
	report, err := pack.Write(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if told != 5 {
		t.Errorf("told of %d samples, want 5", told)
	}
	if report.Samples != 5 || report.Rejected != 1 || len(report.Shards) != 3 || !slices.Equal(report.Classes, []string{"cat", "dog"}) {
		t.Errorf("got %+v, want 5 samples in 3 shards, 1 rejected", report)
	}
	for i, s := range report.Shards {
		info, err := os.Stat(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != s.Bytes || s.Samples != min(2, 5-2*i) {
			t.Errorf("%s: got %d samples, %d bytes of %d", s.Path, s.Samples, s.Bytes, info.Size())
		}
	}
	var want []string
	for i, line := range slices.DeleteFunc(read(t, source), func(l string) bool { return strings.Contains(l, "bad") }) {
		_, rest, _ := strings.Cut(line, " ")
		want = append(want, fmt.Sprintf("out-%03d.tar/%08d %s", i/2, i, rest))
	}
	if got := read(t, filepath.Join(out, "new")); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestImagesThatAreTooLargeAreLeftOut(t *testing.T) {
	cfg := config(folders(t), t.TempDir())
	cfg.Ingest.MaxPixels = 24 // one has 32
	var told []string
	cfg.Ingest.Rejects.Log = func(r batch.Reject) error { told = append(told, r.Error()); return nil }
	report, err := pack.Write(t.Context(), cfg)
	if err != nil || report.Samples != 4 || report.Rejected != 2 || !strings.Contains(told[1], "root.png@0: decode: ") || !strings.Contains(told[1], "got 32 pixels, want at most 24") {
		t.Errorf("got %+v, %v, rejected %q, want 4 samples", report, err, told)
	}
}

func TestShardsNamedByABracePattern(t *testing.T) {
	cfg := config(folders(t), t.TempDir())
	dir := filepath.Dir(cfg.Out)
	cfg.Out = filepath.Join(dir, "{b,a}-{08..10}.tar")
	report, err := pack.Write(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"b-08.tar", "b-09.tar", "b-10.tar"} {
		if got := report.Shards[i].Path; got != filepath.Join(dir, want) {
			t.Errorf("shard %d is %s, want %s", i, got, want)
		}
	}
	cfg.Out = filepath.Join(dir, "few-{0..1}.tar")
	report, err = pack.Write(t.Context(), cfg)
	if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "stands for 2 shards") || len(report.Shards) != 2 {
		t.Errorf("got %v %v, want a usage error after two shards", report, err)
	}
}

func TestEqualSamplesGiveEqualShards(t *testing.T) {
	source := folders(t)
	var first []byte
	for i := range 2 {
		cfg := config(source, t.TempDir())
		cfg.MaxSamples, cfg.Ingest.Shuffle, cfg.Ingest.Workers = 0, true, 1+3*i
		report, err := pack.Write(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(report.Shards[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = body
		} else if !bytes.Equal(body, first) {
			t.Error("the same samples gave different archives")
		}
	}
}

// TestChecksumsAreALineEach writes beside a line that has no end, and a name that
// would end one.
func TestChecksumsAreALineEach(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no file has such a name there")
	}
	cfg := config(folders(t), t.TempDir())
	dir := filepath.Dir(cfg.Out)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sums := filepath.Join(dir, ingest.SumsFile)
	if err := os.WriteFile(sums, []byte("somebody's"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.MaxSamples, cfg.Out = 3, filepath.Join(dir, "a\n%d.tar")
	report, err := pack.Write(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := "somebody's\n"
	for i, s := range report.Shards {
		want += fmt.Sprintf("\\%s  a\\n%d.tar\n", s.SHA256, i)
	}
	if got, err := os.ReadFile(sums); err != nil || string(got) != want || len(report.Shards) != 2 {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestMaxBytesBoundsAShard(t *testing.T) {
	cfg := config(folders(t), t.TempDir())
	cfg.MaxSamples, cfg.MaxBytes = 0, 4096+1024
	report, err := pack.Write(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Shards {
		if s.Bytes > cfg.MaxBytes && s.Samples > 1 {
			t.Errorf("%s: got %d bytes with %d samples, want at most %d", s.Path, s.Bytes, s.Samples, cfg.MaxBytes)
		}
	}
	if len(report.Shards) < 2 {
		t.Errorf("got %d shards, want several", len(report.Shards))
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	cfg := config(folders(t), t.TempDir())
	second := fmt.Sprintf(cfg.Out, 1)
	if err := os.MkdirAll(filepath.Dir(second), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	report, err := pack.Write(t.Context(), cfg)
	if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("got %v, want a usage error", err)
	}
	if body, err := os.ReadFile(second); err != nil || string(body) != "mine" {
		t.Errorf("the file that was there: %q %v", body, err)
	}
	if len(report.Shards) != 1 {
		t.Errorf("got %+v, want the first shard", report)
	}
}

func TestFailureLeavesNoPart(t *testing.T) {
	cfg := config(folders(t), t.TempDir())
	cfg.MaxSamples, cfg.Ingest.Rejects = 0, &batch.Rejects{Max: 0}
	if _, err := pack.Write(t.Context(), cfg); !errors.Is(err, batch.ErrTooManyRejects) {
		t.Errorf("got %v, want %v", err, batch.ErrTooManyRejects)
	}
	entries, err := os.ReadDir(filepath.Dir(cfg.Out))
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestConfigProblems(t *testing.T) {
	for _, out := range []string{"", "out.tar", "%d-%d.tar", "%s.tar", "%d%%.tar", "{a,a}.tar", "{a.tar"} {
		cfg := pack.Config{Ingest: ingest.Config{Sources: []string{"x"}}, Out: out, MaxBytes: -1}
		err := cfg.Validate()
		if usage := (*ingest.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "Out: ") || !strings.Contains(err.Error(), "MaxBytes: got -1") {
			t.Errorf("%q: got %v, want a usage error with both problems", out, err)
		}
	}
}
