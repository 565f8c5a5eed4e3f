package folder_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clpipe/ingest/folder"
	"clpipe/ingest/local"
	"clpipe/ingest/shard"
)

func TestClasses(t *testing.T) {
	got := folder.Classes([]string{"b/1.png", "root.png", "a/deep/2.png", "b/3.png", "Z/1.png"})
	if want := []string{"Z", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIsImage(t *testing.T) {
	for name, want := range map[string]bool{"a.jpg": true, "x/a.JPEG": true, "a.png": true, "a.webp": true, "a.gif": false, "png": false, "a.tar": false} {
		if got := folder.IsImage(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

// unknown is an object whose length is not known.
type unknown struct{ shard.Object }

func (unknown) Size() int64 { return -1 }

func TestImageIsAShardOfOneSample(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		name, body string
		label      int64
		want       string // the image, or part of the damage
		good       bool
	}{
		{"a.jpg", "12345", 7, "12345", true},
		{"b.PNG", "1", -1, "1", true},
		{"d.jpg", "", 0, "the file is empty", false},
		{"e.jpg", "1234567", 0, "7 bytes, want at most 6", false},
	}
	for _, c := range cases {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.body), 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := local.Find(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for _, obj := range []shard.Object{found.Objects[0], unknown{found.Objects[0]}} {
			m := folder.New(obj, c.label, 6)
			r, err := m.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: got %v after the sample, want %v", c.name, err, io.EOF)
			}
			if (s.Damage == nil) != c.good || s.HasLabel != (c.label >= 0) || s.HasLabel && s.Label != c.label {
				t.Errorf("%s: got %+v", c.name, s)
				continue
			}
			if !c.good {
				if !strings.Contains(s.Damage.Error(), c.want) || s.Size != 0 {
					t.Errorf("%s: got %d bytes, %v, want %q", c.name, s.Size, s.Damage, c.want)
				}
				continue
			}
			if !m.CheapToScan() {
				if string(s.Image) != c.want || s.Size != int64(len(c.want)) {
					t.Errorf("%s: of unknown length: got %q, %d bytes, want %q", c.name, s.Image, s.Size, c.want)
				}
				continue
			}
			f, err := m.OpenAt(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, s.Size)
			if err := f.Fetch(&s, got); err != nil || string(got) != c.want {
				t.Errorf("%s: got %q %v, want %q", c.name, got, err, c.want)
			}
			if err := f.Fetch(&s, make([]byte, 100)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: reading beyond its end: got %v, want %v", c.name, err, io.ErrUnexpectedEOF)
			}
			f.Close()
		}
	}
}
