package synth

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// files returns the names in a directory and what they hold.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// members returns the names in an archive and what they hold.
func members(t *testing.T, archive []byte) (names []string, bodies map[string][]byte) {
	t.Helper()
	bodies = map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if bodies[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSetIsWritten(t *testing.T) {
	set := Set{Images: 23, Test: 11, Size: 16, Shards: 2, Seed: 5}
	dir := filepath.Join(t.TempDir(), "a", "set")
	var drawn atomic.Int64
	if err := set.Write(t.Context(), dir, 2, func() { drawn.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if drawn.Load() != 34 {
		t.Errorf("told of %d images, want 34", drawn.Load())
	}
	written := files(t, dir)
	for name, want := range map[string][2]int{"train-000000.tar": {0, 11}, "train-000001.tar": {11, 23}, "test-000000.tar": {0, 11}} {
		var keys []string
		for n := want[0]; n < want[1]; n++ {
			keys = append(keys, fmt.Sprintf("%08d.jpg", n), fmt.Sprintf("%08d.cls", n))
		}
		names, bodies := members(t, written[name])
		if !slices.Equal(names, keys) {
			t.Errorf("%s holds %q, want %q", name, names, keys)
			continue
		}
		for n := want[0]; n < want[1]; n++ {
			if got, want := string(bodies[fmt.Sprintf("%08d.cls", n)]), fmt.Sprint(n%10); got != want {
				t.Errorf("%s: sample %d: class %q, want %q", name, n, got, want)
			}
			cfg, err := jpeg.DecodeConfig(bytes.NewReader(bodies[fmt.Sprintf("%08d.jpg", n)]))
			if err != nil || cfg.Width != 16 || cfg.Height != 16 {
				t.Errorf("%s: sample %d: %dx%d, %v; want 16x16", name, n, cfg.Width, cfg.Height, err)
			}
		}
	}
	if len(written) != 4 {
		t.Errorf("%d files, want three shards and %s", len(written), SetFile)
	}
	if got, err := ReadSet(dir); err != nil || got != set {
		t.Errorf("read back %+v, %v; want %+v", got, err, set)
	}
	if beside, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(beside) != 1 {
		t.Errorf("beside the set: %v %v, want nothing", beside, err)
	}
}

// Neither the number of workers nor the training set's size plays a part in
// what is drawn.
func TestSetIsAFunctionOfItsFields(t *testing.T) {
	dir := t.TempDir()
	set := Set{Images: 20, Test: 5, Size: 8, Shards: 3, Seed: 1}
	larger := set
	larger.Images = 40
	for name, s := range map[string]Set{"one": set, "two": set, "larger": larger} {
		workers := 1
		if name == "two" {
			workers = 4
		}
		if err := s.Write(t.Context(), filepath.Join(dir, name), workers, nil); err != nil {
			t.Fatal(err)
		}
	}
	one, two, more := files(t, filepath.Join(dir, "one")), files(t, filepath.Join(dir, "two")), files(t, filepath.Join(dir, "larger"))
	for name := range one {
		if !bytes.Equal(one[name], two[name]) {
			t.Errorf("%s depends on the number of workers", name)
		}
	}
	if !bytes.Equal(one["test-000000.tar"], more["test-000000.tar"]) {
		t.Error("the test set depends on the size of the training set")
	}
	_, train := members(t, one["train-000000.tar"])
	_, test := members(t, one["test-000000.tar"])
	if bytes.Equal(train["00000000.jpg"], test["00000000.jpg"]) {
		t.Error("the test set repeats the training set")
	}
}

func TestTestImagesAreOthers(t *testing.T) {
	seen := map[string]bool{}
	for n := range 100 {
		for _, i := range []int{trainPlace(n), testPlace(n)} {
			img := Draw(1, 0, i, 8)
			if seen[string(img.Pix)] {
				t.Fatalf("image %d is there twice", i)
			}
			seen[string(img.Pix)] = true
		}
	}
}

func TestSetThatFailsLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var drawn atomic.Int64
	stop := func() {
		if drawn.Add(1) == 5 {
			cancel()
		}
	}
	set := Set{Images: 1000, Size: 8, Shards: 4}
	if err := set.Write(ctx, filepath.Join(parent, "set"), 2, stop); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left := files(t, parent); len(left) != 0 {
		t.Errorf("left behind: %d entries", len(left))
	}
}

func TestSetOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, mine} {
		if err := (Set{Images: 1, Size: 8, Shards: 1}).Write(t.Context(), path, 1, nil); err == nil {
			t.Errorf("wrote over %s", path)
		}
	}
	if got := files(t, dir); len(got) != 1 || string(got["mine"]) != "mine" {
		t.Errorf("now there is %q", got)
	}
}

func TestReadSetProblems(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadSet(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	if err := os.WriteFile(filepath.Join(dir, SetFile), []byte(`{"images": "many"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSet(dir); err == nil || !strings.Contains(err.Error(), SetFile) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestSetProblems(t *testing.T) {
	err := Set{Images: 0, Test: -1, Size: MaxSize + 1, Shards: 7}.Validate()
	for _, want := range []string{"images is 0", "test is -1", "size is 4097", "shards is 7, want 1 to 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
