package imagecodec_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"clpipe/internal/imagecodec"
)

// goldenFile is a picture of testdata and what Pillow makes of it; see
// testdata/make_golden.py.
type goldenFile struct {
	Name   string
	Width  int
	Height int
	SHA256 string
	data   []byte
}

func goldenFiles(t testing.TB) []goldenFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Files []goldenFile }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Files) == 0 {
		t.Fatal("golden.json names no files")
	}
	for i := range golden.Files {
		golden.Files[i].data = readTestdata(t, golden.Files[i].Name)
	}
	return golden.Files
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeEqualsPillow(t *testing.T) {
	var dec imagecodec.Decoder // one for all: nothing of a file may reach the next
	var img imagecodec.Image
	for _, f := range goldenFiles(t) {
		if err := dec.Decode(f.data, &img); err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		sum := sha256.Sum256(img.Pix)
		if got := hex.EncodeToString(sum[:]); img.W != f.Width || img.H != f.Height || got != f.SHA256 {
			t.Errorf("%s: got %d x %d pixels %s, want %d x %d pixels %s", f.Name, img.W, img.H, got, f.Width, f.Height, f.SHA256)
		}
		info, err := imagecodec.ReadInfo(f.data)
		if err != nil || info.W != f.Width || info.H != f.Height || "."+info.Format[:2] != filepath.Ext(f.Name)[:3] {
			t.Errorf("%s: ReadInfo: got %+v, %v, want %d x %d", f.Name, info, err, f.Width, f.Height)
		}
	}
}
