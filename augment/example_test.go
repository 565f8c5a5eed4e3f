package augment_test

import (
	"fmt"

	"clpipe/augment"
	"clpipe/internal/imagecodec"
)

// A policy of one's own: the same flip for both views, then a crop and colours
// for each.
func ExampleParse() {
	policy, err := augment.Parse("mine.yaml", []byte(`
shared:
  - {op: horizontal_flip, p: 0.5}
both:
  - {op: random_resized_crop, scale: [0.3, 1]}
  - {op: color_jitter, brightness: 0.4, saturation: [0.5, 1], p: 0.8}
`), 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	side := policy.Size()
	anchor, positive := make([]byte, 3*side*side), make([]byte, 3*side*side)
	img := &imagecodec.Image{W: 100, H: 80, Pix: make([]byte, 3*100*80)}
	var scratch augment.Scratch
	err = policy.Apply(anchor, positive, img, augment.SampleKey{Seed: 1, ID: "train-000.tar/cat"}, &scratch)
	fmt.Println(policy.Views(), "views of", side, "pixels:", err)

	_, err = augment.Parse("mine.yaml", []byte("both:\n  - {op: gaussian_blur, sigma: -1}\n"), 64)
	fmt.Println(err)
	// Output:
	// 2 views of 64 pixels: <nil>
	// augment: policy mine.yaml: line 2: gaussian_blur: sigma: got -1, want a number or [low, high] in (0, 100]
}
