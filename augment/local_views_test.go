package augment

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// photo draws a picture whose every part differs.
func photo(w, h int) *imagecodec.Image {
	img := &imagecodec.Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for i := range img.Pix {
		x, y := i/3%w, i/3/w
		img.Pix[i] = byte(x*(3+i%3) + y*(7-i%3) ^ x*y>>4)
	}
	return img
}

// Local views leave the views of the pair as they are, differ from each other, and
// the first ones are the same however many there are.
func TestLocalViewsLeaveThePairAlone(t *testing.T) {
	img := photo(260, 200)
	var s Scratch
	for _, name := range []string{"moco-v1", "moco-v2", "moco-cifar", "moco-v3", "simclr", "amdim"} {
		for _, side := range []int{32, 112} {
			plain, err := Builtin(name, side)
			if err != nil {
				t.Fatal(err)
			}
			six, err := plain.WithLocal(6, 0)
			if name == "amdim" && side == 32 {
				if err == nil || !strings.Contains(err.Error(), "no view with random_resized_crop") {
					t.Errorf("%s of %d px: got %v", name, side, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			two, err := plain.WithLocal(2, 0)
			if err != nil {
				t.Fatal(err)
			}
			count, size := six.Locals()
			if count != 6 || size != LocalSide(side) || six.RowBytes() != plain.RowBytes()+6*3*size*size {
				t.Errorf("%s: got %d views of %d px in %d bytes", name, count, size, six.RowBytes())
			}
			again, err := Parse("again", []byte(six.String()), 0)
			if err != nil || again.String() != six.String() {
				t.Errorf("%s: got %v, %v, want %v", name, again, err, six)
			}
			for i := range 5 {
				key := SampleKey{Seed: 2, Epoch: uint32(i), ID: "photo"}
				var pairs [2][2][]byte
				for p, policy := range []*Policy{plain, six} {
					for v := range pairs[p] {
						pairs[p][v] = make([]byte, 3*side*side)
					}
					if err := policy.Apply(pairs[p][0], pairs[p][1], img, key, &s); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(pairs[0][0], pairs[1][0]) || !bytes.Equal(pairs[0][1], pairs[1][1]) {
					t.Fatalf("%s of %d px: the pair differs", name, side)
				}
				local, fewer := make([]byte, six.LocalBytes()), make([]byte, two.LocalBytes())
				if err := six.ApplyLocal(local, img, key, &s); err != nil {
					t.Fatal(err)
				}
				if err := two.ApplyLocal(fewer, img, key, &s); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(local[:len(fewer)], fewer) {
					t.Errorf("%s: two local views are not the first two of six", name)
				}
				for v := 1; v < 6; v++ {
					if n := 3 * size * size; bytes.Equal(local[:n], local[v*n:(v+1)*n]) {
						t.Errorf("%s: local views 0 and %d are the same", name, v)
					}
				}
			}
		}
	}
}

// Local crops take the published share of the picture, and decoding leaves out what
// neither they nor the pair need.
func TestLocalCropsAreSmall(t *testing.T) {
	plain, err := Builtin("moco-v2", 224)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := plain.WithLocal(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, size := policy.Locals(); size != 96 {
		t.Errorf("got local views of %d px, want 96 as published", size)
	}
	op := policy.local.steps[0].op.(*randomResizedCrop)
	const w, h = 500, 375
	for i := range 300 {
		key := SampleKey{Seed: 1, ID: fmt.Sprint(i)}
		region, ok := policy.CropRegion(w, h, key)
		if !ok {
			t.Fatal("no region")
		}
		for v := range 4 {
			draw := policy.local.steps[0].stream(key, 0, uint64(viewLocal+v))
			policy.local.steps[0].applies(&draw)
			box := op.box(w, h, &draw)
			if share := float64(box.Dx()*box.Dy()) / (w * h); share < 0.048 || share > 0.143 {
				t.Errorf("got %.3f of the picture, want 0.05 to 0.14", share)
			}
		}
		of := firstCrop(policy.local.steps, w, h, key, rng.HashID(key.ID), viewLocal)
		if b := of.box; b.Min.X < region.X0 || b.Min.Y < region.Y0 || b.Max.X > region.X1 || b.Max.Y > region.Y1 {
			t.Errorf("the crop %v is not inside what is decoded, %v", b, region)
		}
	}
}

func TestLocalSectionNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"local: 3": "got 3, want count, size and ops",
		"local: {count: 0, size: 8, ops: [{op: random_resized_crop}]}":               "local: count: got 0, want a whole number in [1, 64]",
		"local: {count: 2, ops: [{op: random_resized_crop}]}":                        "local: size: got nothing",
		"local: {count: 3, size: 8192, ops: [{op: random_resized_crop}]}":            "local: 3 views of 8192 x 8192 pixels are more than",
		"local: {count: 2, size: 8}":                                                 "local: ops is missing",
		"local: {count: 2, size: 8, ops: [{op: random_resized_crop}], scale: 2}":     `local: unknown "scale"`,
		"local: {count: 2, size: 8, ops: [{op: random_resized_crop, size: 9}]}":      "local: got views of 9x9, want 8",
		"local: {count: 2, size: 8, ops: [{op: nonsense}]}":                          "operator 1: got op \"nonsense\"",
		"{patches: {size: 8}, local: {count: 1, size: 8, ops: [{op: center_crop}]}}": "stands beside patches",
		"{fast_decode: true, local: {count: 1, size: 8, ops: [{op: center_crop}]}}":  "local begins with center_crop",
	} {
		section, braced := strings.CutPrefix(text, "{")
		if braced {
			section = strings.TrimSuffix(section, "}")
		}
		section = "anchor: [{op: random_resized_crop}], " + section
		if _, err := Parse("test", []byte("{"+section+"}"), 32); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	p, err := Parse("test", []byte("{both: [{op: random_resized_crop}], local: {count: 2, size: 8, ops: [{op: random_resized_crop}]}}"), 32)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := p.WithLocal(2, 8); err != nil || same != p {
		t.Errorf("the local views that are there: got %v", err)
	}
	if _, err := p.WithLocal(3, 8); err == nil || !strings.Contains(err.Error(), "has 2 of 8 px, asked for are 3 of 8 px") {
		t.Errorf("others: got %v", err)
	}
	if _, err := p.WithLocal(65, 0); err == nil {
		t.Error("65 local views: got no error")
	}
}
