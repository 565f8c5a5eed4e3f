package imagecodec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"clpipe/internal/imagecodec"
)

func TestUprightEqualsPillow(t *testing.T) {
	var golden struct {
		Files []struct {
			goldenFile
			Orientation imagecodec.Orientation
		}
	}
	if err := json.Unmarshal(readTestdata(t, "orientation.json"), &golden); err != nil || len(golden.Files) == 0 {
		t.Fatalf("orientation.json names %d files, %v", len(golden.Files), err)
	}
	dec := imagecodec.Decoder{Upright: true}
	draw := rand.New(rand.NewPCG(5, 6))
	var full, part imagecodec.Image
	for _, f := range golden.Files {
		data := readTestdata(t, f.Name)
		if got := imagecodec.ReadOrientation(data); got != f.Orientation {
			t.Errorf("%s: got orientation %d, want %d", f.Name, got, f.Orientation)
		}
		if err := dec.Decode(data, &full); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		sum := sha256.Sum256(full.Pix)
		if got := hex.EncodeToString(sum[:]); full.W != f.Width || full.H != f.Height || got != f.SHA256 {
			t.Errorf("%s: got %d x %d pixels %s, want %d x %d pixels %s", f.Name, full.W, full.H, got, f.Width, f.Height, f.SHA256)
		}
		if info, err := dec.ReadInfo(data); err != nil || info.W != f.Width || info.H != f.Height || info.Turned != (f.Orientation != 1) {
			t.Errorf("%s: got %+v, %v, want %d x %d, turned unless the orientation is 1", f.Name, info, err, f.Width, f.Height)
		}
		for scale, want := range f.Scaled {
			if err := dec.DecodeScaled(data, scale, everything, &part); err != nil {
				t.Fatalf("%s at 1/%d: %v", f.Name, scale, err)
			}
			sum := sha256.Sum256(part.Pix)
			if got := hex.EncodeToString(sum[:]); got != want || part.Scale != scale || part.FullW != f.Width || part.FullH != f.Height {
				t.Errorf("%s at 1/%d: got 1/%d of %d x %d pixels, %s, want %d x %d, %s", f.Name, scale, part.Scale, part.FullW, part.FullH, got, f.Width, f.Height, want)
			}
		}
		for range 20 {
			x, y := draw.IntN(full.W), draw.IntN(full.H)
			r := imagecodec.Rect{X0: x, Y0: y, X1: x + 1 + draw.IntN(full.W-x), Y1: y + 1 + draw.IntN(full.H-y)}
			clear(part.Pix)
			if err := dec.DecodeRegion(data, r, &part); err != nil {
				t.Fatalf("%s: region %v: %v", f.Name, r, err)
			}
			for y := r.Y0; y < r.Y1; y++ {
				from, to := (y*full.W+r.X0)*3, (y*full.W+r.X1)*3
				if !bytes.Equal(part.Pix[from:to], full.Pix[from:to]) {
					t.Fatalf("%s: region %v: row %d differs", f.Name, r, y)
				}
			}
		}
		var plain imagecodec.Decoder // which turns nothing
		if err := plain.Decode(data, &part); err != nil || part.W != 37 || part.H != 23 {
			t.Errorf("%s: as stored: got %d x %d, %v, want 37 x 23", f.Name, part.W, part.H, err)
		}
	}
}

// TestOrientationOfAnyInteger writes the tag in types and numbers that it should not
// have; beside it XMP data say 3.
func TestOrientationOfAnyInteger(t *testing.T) {
	for _, c := range []struct {
		kind, count byte
		want        imagecodec.Orientation
	}{
		{1, 1, 1}, {2, 1, 1}, {3, 1, 6}, {4, 1, 6}, {5, 1, 1}, {6, 1, 6}, {7, 1, 1}, {8, 1, 6}, {9, 1, 6}, {10, 1, 1}, {13, 1, 6}, {99, 1, 3},
		{3, 0, 3}, {3, 2, 6}, {3, 5, 1}, {3, 255, 3},
	} {
		tiff := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x00\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
		tiff[12], tiff[14] = c.kind, c.count
		data := []byte{0xff, 0xd8}
		for _, p := range []string{"Exif\x00\x00" + string(tiff), "http://ns.adobe.com/xap/1.0/\x00<tiff:Orientation>3<"} {
			data = append(append(data, 0xff, 0xe1, 0, byte(len(p)+2)), p...)
		}
		if got := imagecodec.ReadOrientation(data); got != c.want {
			t.Errorf("%d values of type %d: got orientation %d, want %d", c.count, c.kind, got, c.want)
		}
	}
}

// TestOrientationOfDamage cuts and alters EXIF data: at worst nothing is turned.
func TestOrientationOfDamage(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 8))
	for _, name := range []string{"orientation6.jpg", "orientation6.png", "orientation8.webp", "orientation-xmp2.png", "orientation-raw8.png", "orientation-raw-packed8.png"} {
		whole := readTestdata(t, name)
		for n := range 400 {
			if o := imagecodec.ReadOrientation(whole[:min(n, len(whole))]); o < 1 || o > 8 {
				t.Fatalf("%s: first %d bytes: orientation %d", name, n, o)
			}
			data := bytes.Clone(whole)
			for range 3 {
				data[draw.IntN(min(len(data), 300))] = byte(draw.Uint32())
			}
			if o := imagecodec.ReadOrientation(data); o < 1 || o > 8 {
				t.Fatalf("%s: altered: orientation %d", name, o)
			}
		}
	}
}
