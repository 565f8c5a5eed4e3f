package augment

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// Decoding only what the crops need changes no byte of the views.
func TestRegionDecodingChangesNoByte(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 231, 187))
	draw := rng.New(1, rng.Benchmark)
	for y := range 187 {
		for x := range 231 {
			picture.Set(x, y, color.RGBA{byte(x ^ y), byte(x * y >> 5), byte(draw.IntN(64) + x/2), 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, nil); err != nil {
		t.Fatal(err)
	}
	var whole imagecodec.Image
	if err := imagecodec.Decode(file.Bytes(), &whole, imagecodec.Limits{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"moco-v1", "moco-v2", "simclr"} {
		policy, err := Builtin(name, 64)
		if err != nil {
			t.Fatal(err)
		}
		size := 3 * policy.Size() * policy.Size()
		got, want := make([]byte, 2*size), make([]byte, 2*size)
		var w worker
		parts := 0
		for i := range 40 {
			key := SampleKey{Seed: 3, Epoch: uint32(i), ID: fmt.Sprint("photo/", i)}
			if r, ok := policy.CropRegion(whole.W, whole.H, key); ok && (r.X1-r.X0 < whole.W || r.Y1-r.Y0 < whole.H) {
				parts++
			}
			clear(w.image.Pix) // what lies outside the region must not count
			if err := policy.Decode(&w.decoder, file.Bytes(), key, &w.image); err != nil {
				t.Fatal(err)
			}
			if err := policy.Apply(got[:size], got[size:], &w.image, key, &w.scratch); err != nil {
				t.Fatal(err)
			}
			if err := policy.Apply(want[:size], want[size:], &whole, key, &w.scratch); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s, draw %d: the views differ", name, i)
			}
		}
		if parts < 10 {
			t.Errorf("%s: only %d of 40 draws needed less than the whole picture", name, parts)
		}
	}
}
