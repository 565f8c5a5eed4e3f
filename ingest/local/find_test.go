package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/ingest/shard"
)

func names(l shard.Listing) string {
	var out []string
	for _, f := range l.Objects {
		out = append(out, f.Name())
	}
	return strings.Join(out, " ")
}

func TestFindNamesFilesBelowTheRoot(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/1.tar", "a/2.tar", "b/1.tar", ".git/x", "__MACOSX/x", "b/._1.tar", "top.tar"} {
		full := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("12345"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(root, "top.tar"), filepath.Join(root, "b", "link.tar")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	cases := []struct{ source, want string }{
		{"", "a/1.tar a/2.tar b/1.tar b/link.tar top.tar"},
		{"a", "1.tar 2.tar"},
		{"a/2.tar", "2.tar"},
		{"a/*.tar", "1.tar 2.tar"},
		{"*/1.tar", "a/1.tar b/1.tar"},
		{"{b,a}/{1..1}.tar", "b/1.tar a/1.tar"},
		{"a/{1,2}.t?r", "1.tar 2.tar"},
		{"t[no]p.tar", "top.tar"},
	}
	for _, c := range cases {
		got, err := Find(t.Context(), filepath.Join(root, filepath.FromSlash(c.source)))
		if err != nil || names(got) != c.want {
			t.Errorf("%q: got %q %v, want %q", c.source, names(got), err, c.want)
		}
		for _, f := range got.Objects {
			if f.Size() != 5 {
				t.Errorf("%q: %s has %d bytes, want 5", c.source, f.Name(), f.Size())
			}
		}
	}
	if err := os.Symlink(filepath.Join(root, "none"), filepath.Join(root, "b", "nothing.tar")); err != nil {
		t.Fatal(err)
	}
	got, err := Find(t.Context(), filepath.Join(root, "b"))
	if err != nil || names(got) != "1.tar link.tar nothing.tar" || got.Objects[2].Size() != -1 {
		t.Errorf("a link to nothing: got %q, %v, want it among them, of unknown length", names(got), err)
	}
	for _, source := range []string{"none", "*.gz", "a*", "{1,2}.tar", "[", "{x"} {
		_, err := Find(t.Context(), filepath.Join(root, source))
		if pattern := (*shard.PatternError)(nil); !errors.As(err, &pattern) {
			t.Errorf("%q: got %v, want a *shard.PatternError", source, err)
		}
	}
}
