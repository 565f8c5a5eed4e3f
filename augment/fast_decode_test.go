package augment

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"strings"
	"testing"

	"clpipe/internal/imagecodec"
)

// slopes is a JPEG in which red tells the column and green the row, so that a view
// tells which part of the picture it shows. orientation, if not 0, is its EXIF tag.
func slopes(t *testing.T, w, h, orientation int) []byte {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			picture.Set(x, y, color.RGBA{byte(255 * x / (w - 1)), byte(255 * y / (h - 1)), 128, 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, &jpeg.Options{Quality: 98}); err != nil {
		t.Fatal(err)
	}
	if orientation == 0 {
		return file.Bytes()
	}
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00" + string(rune(orientation)) + "\x00\x00\x00\x00\x00\x00\x00"
	return bytes.Join([][]byte{file.Bytes()[:2], []byte{0xFF, 0xE1, 0, byte(len(exif) + 2)}, []byte(exif), file.Bytes()[2:]}, nil)
}

// A view of a picture decoded at a smaller scale shows what the same view of the
// whole picture shows: the slopes differ by less than a pixel would make.
func TestFastDecodeShowsTheSamePart(t *testing.T) {
	const size = 40
	crop := "{op: random_resized_crop, scale: [0.1, 1]}"
	for _, c := range []struct {
		policy            string
		w, h, orientation int
		least             int // of 60 draws decoded at a smaller scale
	}{
		{"both: [" + crop + "]", 600, 450, 0, 10},
		{"both: [" + crop + "]", 601, 453, 0, 10},
		{"{shared: [{op: horizontal_flip}], both: [" + crop + "]}", 600, 448, 0, 10},
		{"{shared: [{op: horizontal_flip}], both: [" + crop + "]}", 602, 451, 0, 5},
		{"{shared: [{op: horizontal_flip}], both: [{op: horizontal_flip, p: 0.5}, " + crop + "]}", 600, 451, 0, 10},
		{"{shared: [" + crop + "], both: [{op: horizontal_flip, p: 0.5}, " + crop + "]}", 600, 451, 0, 10},
		{"both: [" + crop + "]", 600, 450, 6, 10},
		{"both: [" + crop + "]", 603, 453, 3, 0},
		{"both: [" + crop + "]", 592, 456, 8, 10},
	} {
		t.Run(fmt.Sprintf("%s/%dx%d/%d", c.policy, c.w, c.h, c.orientation), func(t *testing.T) {
			slow, err := Parse("test", []byte(c.policy), size)
			if err != nil {
				t.Fatal(err)
			}
			fast, err := slow.WithFastDecode()
			if err != nil {
				t.Fatal(err)
			}
			file := slopes(t, c.w, c.h, c.orientation)
			w := worker{decoder: imagecodec.Decoder{Upright: true}}
			scales := map[int]int{}
			views := func(p *Policy, key SampleKey) (out [2][]byte, scale int) {
				out = [2][]byte{make([]byte, 3*size*size), make([]byte, 3*size*size)}
				clear(w.image.Pix) // what lies outside the region must not count
				if err := p.Decode(&w.decoder, file, key, &w.image); err != nil {
					t.Fatal(err)
				}
				if err := p.Apply(out[0], out[1], &w.image, key, &w.scratch); err != nil {
					t.Fatal(err)
				}
				return out, max(w.image.Scale, 1)
			}
			for i := range 60 {
				key := SampleKey{Seed: 5, ID: fmt.Sprint("slope/", i)}
				want, _ := views(slow, key)
				got, scale := views(fast, key)
				scales[scale]++
				for v := range got {
					if scale == 1 && !bytes.Equal(got[v], want[v]) {
						t.Fatalf("draw %d, view %d: decoded whole, but the pixels differ", i, v)
					}
					for channel := range 2 {
						sum, most := 0.0, 0.0
						for at := channel; at < len(got[v]); at += 3 {
							d := float64(got[v][at]) - float64(want[v][at])
							sum, most = sum+d, max(most, math.Abs(d))
						}
						if mean := sum / (size * size); math.Abs(mean) > 0.5 || most > 4 {
							t.Errorf("draw %d, view %d at 1/%d: channel %d differs by %.2f in the mean, at most %v", i, v, scale, channel, mean, most)
						}
					}
				}
			}
			if scaled := 60 - scales[1]; scaled < c.least || c.least == 0 && scaled > 0 {
				t.Errorf("got %v by scale, want at least %d of 60 decoded at a smaller one", scales, c.least)
			}
		})
	}
}

func TestFastDecodeNeedsACropThatScales(t *testing.T) {
	for policy, want := range map[string]string{
		"both: [{op: center_crop}]": "anchor begins with center_crop",
		"{anchor: [{op: random_resized_crop}], positive: [{op: gaussian_blur, sigma: 1}, {op: random_resized_crop}]}": "positive begins with gaussian_blur",
		"{shared: [{op: resize, size: [99, 99]}], both: [{op: random_resized_crop}]}":                                 "shared begins with resize",
		"both: [{op: horizontal_flip}]": "anchor begins with no operator",
	} {
		p, err := Parse("test", []byte(policy), 32)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.WithFastDecode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", policy, err, want)
		}
		with := "{fast_decode: true, " + strings.TrimPrefix(policy, "{")
		if !strings.HasPrefix(policy, "{") {
			with += "}"
		}
		if _, err := Parse("test", []byte(with), 32); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", with, err, want)
		}
	}
	p, err := Builtin("moco-v2", 224)
	if err != nil {
		t.Fatal(err)
	}
	fast, err := p.WithFastDecode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("again", []byte(fast.String()), 0)
	if err != nil || !again.FastDecode() || again.String() != fast.String() || p.FastDecode() {
		t.Errorf("got %v, %v, want %s", again, err, fast)
	}
}

// A picture at a smaller scale is refused by operators that would take it for a
// small picture.
func TestPicturesAtASmallerScaleAreRefused(t *testing.T) {
	img := imagecodec.Image{W: 20, H: 20, Pix: make([]byte, 3*20*20), Scale: 2, FullW: 40, FullH: 39}
	view := make([]byte, 3*16*16)
	for policy, want := range map[string]string{
		"anchor: [{op: random_resized_crop}]":                        "",
		"anchor: [{op: horizontal_flip}, {op: random_resized_crop}]": "",
		"anchor: [{op: center_crop}]":                                "got a picture decoded at 1/2",
		"anchor: [{op: contrast, factor: 1}, {op: resize}]":          "got a picture decoded at 1/2",
	} {
		p, err := Parse("test", []byte(policy), 16)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Apply(view, nil, &img, SampleKey{ID: "x"}, &Scratch{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", policy, err, want)
		}
	}
	img.FullW = 43
	p, _ := Parse("test", []byte("anchor: [{op: random_resized_crop}]"), 16)
	if err := p.Apply(view, nil, &img, SampleKey{ID: "x"}, &Scratch{}); err == nil || !strings.Contains(err.Error(), "20x20 pixels as 1/2 of 43x39") {
		t.Errorf("a picture of another size: got %v", err)
	}
}
