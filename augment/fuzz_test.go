package augment_test

import (
	"testing"

	"clpipe/augment"
	"clpipe/internal/imagecodec"
)

// FuzzParse asks that a file is refused or makes a policy which is stable under
// String, and which either makes views or says why not.
func FuzzParse(f *testing.F) {
	for _, name := range augment.Builtins() {
		f.Add(builtin(f, name, 32).String())
	}
	f.Add("name: x\nshared: [{op: horizontal_flip, p: .5}]\nanchor: [{op: crop, box: [-1, 2, 8, 8]}]\npositive: [{op: random_crop, size: 8, padding: 3}]\n")
	f.Add("both: [{op: resize, size: [3, 8]}, {op: translate_reflect, max: 9}, {op: center_crop}, {op: solarize, threshold: 3.5}]")
	f.Add("anchor: [{op: center_crop}]\npatches: {size: 4, stride: 3, ops: [{op: sub_crop, margin: 3}, {op: color_drop, p: .5}]}")
	f.Add("both: [{op: gaussian_blur, kind: torchvision, kernel: 41, sigma: 90}, {op: gaussian_blur, sigma: 100}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := augment.Parse("fuzz.yaml", []byte(text), 8)
		if err != nil {
			return
		}
		again, err := augment.Parse("fuzz.yaml", []byte(p.String()), 0)
		if err != nil {
			if again, err = augment.Parse("fuzz.yaml", []byte(p.String()), 8); err != nil {
				t.Fatalf("%s: %v", p, err)
			}
		}
		if again.String() != p.String() {
			t.Fatalf("got %s, want %s", again, p)
		}
		if len(text) > 400 {
			return // many operators on great pictures take long, without a fault
		}
		anchor, positive := buffers(p)
		for _, img := range []*imagecodec.Image{noise(1, 1), noise(13, 7)} {
			// An error is as good as views: it must not panic.
			_ = p.Apply(anchor, positive, img, augment.SampleKey{ID: text}, &augment.Scratch{})
			p.CropRegion(img.W, img.H, augment.SampleKey{ID: text})
		}
	})
}
