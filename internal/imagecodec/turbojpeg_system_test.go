//go:build system && (linux || darwin)

package imagecodec

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestSystemDecoderEqualsOurs decodes whole files of testdata, sound and damaged
// ones, by the library where it takes them, and as regions, which are always
// decoded here.
func TestSystemDecoderEqualsOurs(t *testing.T) {
	library, err := SystemDecoder()
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	defer UseKernels("generic")() // with others the library is not asked
	names, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(names) == 0 {
		t.Fatalf("testdata/*.jpg: got %d files, %v", len(names), err)
	}
	var (
		dec       Decoder
		got, want Image
		byLibrary int
	)
	compare := func(what string, data []byte) {
		t.Helper()
		gotErr := dec.Decode(data, &got)
		wantErr := dec.DecodeRegion(data, Rect{X1: 1 << 20, Y1: 1 << 20}, &want)
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("%s: got error %v, want %v", what, gotErr, wantErr)
		}
		if gotErr == nil && (got.W != want.W || got.H != want.H || !bytes.Equal(got.Pix, want.Pix)) {
			t.Errorf("%s: %s gives other bytes", what, library)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		compare(name, data)
		if taken(t, data) {
			byLibrary++
		}
		for i := range 60 {
			damaged := bytes.Clone(data)
			switch i % 3 {
			case 0:
				damaged = damaged[:rng.IntN(len(damaged))]
			case 1:
				damaged[2+rng.IntN(len(damaged)-2)] ^= 1 << rng.IntN(8)
			case 2:
				at := 2 + rng.IntN(len(damaged)-2)
				damaged = append(damaged[:at], damaged[min(at+rng.IntN(8), len(damaged)):]...)
			}
			compare(fmt.Sprintf("%s, damage %d", name, i), damaged)
		}
	}
	if byLibrary < len(names)/2 {
		t.Errorf("%s took %d of %d files, want at least half", library, byLibrary, len(names))
	}
}

// taken tells whether the library decodes a file.
func taken(t *testing.T, data []byte) bool {
	t.Helper()
	var d jpegDecoder
	d.reset(data, Limits{}.withDefaults())
	d.size = 8
	if err := d.readToScan(); err != nil {
		t.Fatal(err)
	}
	var img Image
	img.reset(d.width, d.height)
	return d.system.decode(&d, &img)
}

func TestOpenTurboJPEGSaysWhatIsMissing(t *testing.T) {
	if _, err := openTurboJPEG("libturbojpeg-of-nobody.so"); err == nil {
		t.Error("a library that does not exist: got no error")
	}
	if _, err := openTurboJPEG("libc.so.6"); err == nil {
		t.Error("a library without the functions: got no error")
	} else if errors.Is(err, os.ErrNotExist) {
		t.Errorf("a library without the functions: got %v", err)
	}
}
