package synth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"clpipe/ingest/voc"
)

func TestBoxSetIsRead(t *testing.T) {
	set := BoxSet{Images: 7, Test: 3, Size: 64, Seed: 5}
	dir := filepath.Join(t.TempDir(), "voc")
	var drawn atomic.Int64
	if err := set.Write(t.Context(), dir, 2, func() { drawn.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if drawn.Load() != 10 {
		t.Errorf("told of %d images, want 10", drawn.Load())
	}
	for part, c := range map[string]struct {
		n     int
		place func(int) int
	}{"trainval": {7, trainPlace}, "test": {3, testPlace}} {
		read, err := voc.Load(dir, part)
		if err != nil {
			t.Fatal(err)
		}
		if len(read) != c.n {
			t.Fatalf("%s: %d images, want %d", part, len(read), c.n)
		}
		for n, got := range read {
			_, objects := DrawScene(set.Seed, c.place(n), set.Size)
			want := voc.Image{Name: fmt.Sprintf("%s-%06d", part, n), Width: 64, Height: 64}
			want.Path = filepath.Join(dir, "JPEGImages", want.Name+".jpg")
			for _, o := range objects {
				b := o.Box
				want.Objects = append(want.Objects, voc.Object{
					Class: Shapes()[o.Class], Difficult: o.Difficult,
					Box: voc.Box{float64(b.Min.X), float64(b.Min.Y), float64(b.Max.X), float64(b.Max.Y)},
				})
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %+v, want %+v", part, got, want)
			}
			picture, err := os.ReadFile(got.Path)
			if err != nil {
				t.Fatal(err)
			}
			if cfg, err := jpeg.DecodeConfig(bytes.NewReader(picture)); err != nil || image.Pt(cfg.Width, cfg.Height) != image.Pt(64, 64) {
				t.Errorf("%s: %dx%d, %v; want 64x64", got.Path, cfg.Width, cfg.Height, err)
			}
		}
	}
}

// tree returns the files below a folder and what they hold.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Neither the number of workers nor the size of the other set plays a part.
func TestBoxSetIsAFunctionOfItsFields(t *testing.T) {
	dir := t.TempDir()
	set := BoxSet{Images: 4, Test: 2, Size: 64, Seed: 1}
	larger := set
	larger.Images, larger.Test = 6, 3
	for name, s := range map[string]BoxSet{"one": set, "two": set, "larger": larger} {
		workers := 1
		if name == "two" {
			workers = 4
		}
		if err := s.Write(t.Context(), filepath.Join(dir, name), workers, nil); err != nil {
			t.Fatal(err)
		}
	}
	one, two, more := tree(t, filepath.Join(dir, "one")), tree(t, filepath.Join(dir, "two")), tree(t, filepath.Join(dir, "larger"))
	if len(one) != 2*6+2 {
		t.Errorf("%d files, want an image and an annotation of each of 6, and two lists", len(one))
	}
	for name := range one {
		if one[name] != two[name] {
			t.Errorf("%s depends on the number of workers", name)
		}
		if !strings.HasPrefix(name, "ImageSets") && one[name] != more[name] {
			t.Errorf("%s depends on the size of the set", name)
		}
	}
	if one["JPEGImages/trainval-000000.jpg"] == one["JPEGImages/test-000000.jpg"] {
		t.Error("the test set repeats the training set")
	}
}

func TestBoxSetProblems(t *testing.T) {
	err := BoxSet{Images: 0, Test: -1, Size: 32}.Validate()
	for _, want := range []string{"images is 0", "test is -1", "size is 32, want 64 to 4096"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	set := BoxSet{Images: 100, Size: 64}
	if err := set.Write(ctx, filepath.Join(parent, "voc"), 2, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left := tree(t, parent); len(left) != 0 {
		t.Errorf("left behind: %d files", len(left))
	}
}
