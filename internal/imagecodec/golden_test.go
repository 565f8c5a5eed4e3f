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
	Scaled map[int]string // SHA-256 of a JPEG at 1/2, 1/4 and 1/8
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
	files := goldenFiles(t)
	for _, name := range imagecodec.Implementations() {
		t.Run("impl="+name, func(t *testing.T) {
			defer imagecodec.UseKernels(name)()
			if got := imagecodec.Kernels(); got != name {
				t.Fatalf("kernels in use: got %s, want %s", got, name)
			}
			var dec imagecodec.Decoder // one for all: nothing of a file may reach the next
			var img imagecodec.Image
			for _, f := range files {
				if err := dec.Decode(f.data, &img); err != nil {
					t.Errorf("%s: %v", f.Name, err)
					continue
				}
				sum := sha256.Sum256(img.Pix)
				if got := hex.EncodeToString(sum[:]); img.W != f.Width || img.H != f.Height || got != f.SHA256 {
					t.Errorf("%s: got %d x %d pixels %s, want %d x %d pixels %s", f.Name, img.W, img.H, got, f.Width, f.Height, f.SHA256)
				}
			}
		})
	}
}

// What a file needs to know of its scans is nothing that an earlier one has left:
// else pixels would depend on which worker got which files.
func TestNoScanReachesTheNextFile(t *testing.T) {
	files := goldenFiles(t)
	var several goldenFile // scans, but not progressive
	for _, f := range files {
		if f.Name == "noninterleaved.jpg" {
			several = f
		}
	}
	var dec imagecodec.Decoder
	var img imagecodec.Image
	for _, before := range files {
		if err := dec.Decode(before.data, &img); err != nil {
			t.Fatalf("%s: %v", before.Name, err)
		}
		if err := dec.Decode(several.data, &img); err != nil {
			t.Fatalf("%s: %v", several.Name, err)
		}
		sum := sha256.Sum256(img.Pix)
		if got := hex.EncodeToString(sum[:]); got != several.SHA256 {
			t.Errorf("%s behind %s: got %s, want %s", several.Name, before.Name, got, several.SHA256)
		}
	}
}

func TestDecodeScaledEqualsPillow(t *testing.T) {
	files := goldenFiles(t)
	for _, name := range imagecodec.Implementations() {
		t.Run("impl="+name, func(t *testing.T) {
			defer imagecodec.UseKernels(name)()
			var dec imagecodec.Decoder
			var img imagecodec.Image
			checked := 0
			for _, f := range files {
				for scale, want := range f.Scaled {
					if err := dec.DecodeScaled(f.data, scale, everything, &img); err != nil {
						t.Errorf("%s at 1/%d: %v", f.Name, scale, err)
						continue
					}
					checked++
					sum := sha256.Sum256(img.Pix)
					w, h := (f.Width+scale-1)/scale, (f.Height+scale-1)/scale
					if got := hex.EncodeToString(sum[:]); img.W != w || img.H != h || got != want {
						t.Errorf("%s at 1/%d: got %d x %d pixels %s, want %d x %d pixels %s", f.Name, scale, img.W, img.H, got, w, h, want)
					}
					if img.Scale != scale || img.FullW != f.Width || img.FullH != f.Height {
						t.Errorf("%s at 1/%d: got 1/%d of %d x %d, want %d x %d", f.Name, scale, img.Scale, img.FullW, img.FullH, f.Width, f.Height)
					}
				}
			}
			if checked < 300 {
				t.Errorf("got %d pictures in golden.json, want at least 300", checked)
			}
		})
	}
}

func TestReadInfo(t *testing.T) {
	formats := map[string]string{".jpg": "jpeg", ".png": "png", ".webp": "webp"}
	for _, f := range goldenFiles(t) {
		want := imagecodec.Info{Format: formats[filepath.Ext(f.Name)], W: f.Width, H: f.Height}
		if got, err := imagecodec.ReadInfo(f.data); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", f.Name, got, err, want)
		}
	}
}
