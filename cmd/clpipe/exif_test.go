package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExifTranspose reads an image that lies on its side: ingest and augment
// turn it where they are told to, and the views of both agree.
func TestExifTranspose(t *testing.T) {
	image, err := os.ReadFile("../../internal/imagecodec/testdata/orientation6.jpg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	set := filepath.Join(dir, "set", "class")
	if err := os.MkdirAll(set, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(set, "a.jpg"), image, 0o644); err != nil {
		t.Fatal(err)
	}
	stream := func(name string, args ...string) string {
		path := filepath.Join(dir, name)
		clpipe(t, append(args, "-o", path)...)
		return path
	}
	lines := func(path string) string {
		t.Helper()
		var out, stderr strings.Builder
		if code := run(t.Context(), []string{"cat", path}, stdio{strings.NewReader(""), &out, &stderr}); code != exitDone {
			t.Fatalf("cat: exit code %d: %s", code, &stderr)
		}
		return out.String()
	}
	src := filepath.Dir(set)
	stored := stream("stored", "ingest", "--src", src)
	turned := stream("turned", "ingest", "--src", src, "--exif-transpose")
	encoded := stream("encoded", "ingest", "--src", src, "--encoded", "--exif-transpose")
	if got := lines(stored); !strings.Contains(got, "37") || !strings.Contains(got, "23") || got == lines(turned) {
		t.Errorf("ingest gives the same image turned and not: %s", got)
	}
	want := written(t, stream("a", "augment", "--in", turned, "--policy", "none", "--size", "16"))
	for name, args := range map[string][]string{
		"encoded": {"augment", "--in", encoded, "--exif-transpose", "--policy", "none", "--size", "16"},
		"source":  {"augment", "--src", src, "--exif-transpose", "--policy", "none", "--size", "16"},
	} {
		if got := written(t, stream("b", args...)); len(got) != 1 || got[0] != want[0] {
			t.Errorf("%s: the view differs from that of the image ingest has turned", name)
		}
	}
	if plain := written(t, stream("c", "augment", "--in", encoded, "--policy", "none", "--size", "16")); plain[0] == want[0] {
		t.Error("augment turns an image without being told to")
	}
}
