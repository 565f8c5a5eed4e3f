package augment_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"clpipe/augment"
	"clpipe/internal/imagecodec"
)

// A white rectangle on black is found in the view where the placement of its box says,
// to the pixel that a filter blurs its edges by.
func TestPlacementSaysWhereABoxGoes(t *testing.T) {
	const w, h = 96, 72
	box := [4]float64{37, 20, 61, 52}
	img := &imagecodec.Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for y := int(box[1]); y < int(box[3]); y++ {
		for x := int(box[0]); x < int(box[2]); x++ {
			copy(img.Pix[3*(y*w+x):], []byte{255, 255, 255})
		}
	}
	const view = 48
	var s augment.Scratch
	for _, ops := range []string{
		"{op: resize, size: [48, 48]}",
		"{op: random_resized_crop, scale: [0.6, 1.0]}, {op: horizontal_flip, p: 0.5}, {op: grayscale, p: 0.5}",
		"{op: horizontal_flip, p: 0.5}, {op: random_resized_crop, scale: [0.4, 1.0], ratio: [0.5, 2]}, {op: brightness, factor: 0.9}",
		"{op: resize, size: 60}, {op: center_crop, size: 48}",
		"{op: resize, size: [70, 66]}, {op: color_jitter, brightness: 0.1}, {op: random_crop, size: 48, padding: 4}, {op: horizontal_flip}",
		"{op: crop, box: [20, 10, 60, 55]}, {op: resize, size: [48, 48]}",
	} {
		p := parse(t, "name: x\nshared: [{op: horizontal_flip, p: 0.3}]\nanchor: ["+ops+"]\n", view)
		anchor, _ := buffers(p)
		for i := range 40 {
			key := augment.SampleKey{Seed: 5, Epoch: uint32(i), ID: fmt.Sprint("sample", i)}
			if err := p.Apply(anchor, nil, img, key, &s); err != nil {
				t.Fatal(err)
			}
			at, err := p.Placement(w, h, key)
			if err != nil {
				t.Fatal(err)
			}
			want := at.Place(box)
			for k := range 4 {
				if back := at.Restore(want)[k]; math.Abs(back-box[k]) > 1e-9 {
					t.Fatalf("%s: restored to %v, want %v", ops, at.Restore(want), box)
				}
				want[k] = min(max(want[k], 0), view)
			}
			found := [4]float64{view, view, 0, 0}
			for y := range view {
				for x := range view {
					if anchor[3*(y*view+x)] > 110 {
						found = [4]float64{min(found[0], float64(x)), min(found[1], float64(y)), max(found[2], float64(x+1)), max(found[3], float64(y+1))}
					}
				}
			}
			if want[2]-want[0] < 1 || want[3]-want[1] < 1 {
				continue // cut off
			}
			for k := range 4 {
				if math.Abs(found[k]-want[k]) > 1 {
					t.Fatalf("%s: sample %d: the rectangle is at %v, the placement says %v", ops, i, found, want)
				}
			}
		}
	}
}

func TestPlacementRefusesWhatBoxesCannotFollow(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\nanchor: [{op: random_affine, degrees: 20}, {op: resize, size: [32, 32]}]\n":      "random_affine",
		"name: x\nanchor: [{op: resize, size: [32, 32]}, {op: translate_reflect, max: 3, p: 0}]\n": "translate_reflect",
		"name: x\npatches: {size: 8, stride: 8, ops: []}\nanchor: [{op: random_resized_crop}]\n":   "patches",
	} {
		p := parse(t, text, 32)
		if _, err := p.Placement(64, 64, augment.SampleKey{ID: "a"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that names %s", text, err, want)
		}
	}
}
