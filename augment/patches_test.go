package augment_test

import (
	"bytes"
	"slices"
	"testing"

	"clpipe/augment"
	"clpipe/internal/imagecodec"
)

// Without operators of their own patches are the boxes of the view, a stride
// apart, in the order of reading.
func TestPatchesAreBoxesOfTheView(t *testing.T) {
	img := noise(20, 20)
	whole := parse(t, "anchor: [{op: center_crop}]", 16)
	cut := parse(t, "anchor: [{op: center_crop}]\npatches: {size: 6, stride: 5}", 16)
	if got := cut.Shape(); !slices.Equal(got, []int{3, 3, 6, 6, 3}) || cut.Size() != 16 || cut.Views() != 1 {
		t.Fatalf("shape %v, size %d, %d views", got, cut.Size(), cut.Views())
	}
	view, _ := apply(t, whole, img, augment.SampleKey{ID: "a"}, &augment.Scratch{})
	patches, _ := apply(t, cut, img, augment.SampleKey{ID: "a"}, &augment.Scratch{})
	for p := range 9 {
		for y := range 6 {
			at := 3 * ((p/3*5+y)*16 + p%3*5)
			if got := patches[3*(p*36+y*6):][:18]; !bytes.Equal(got, view[at:at+18]) {
				t.Fatalf("patch %d, row %d: got %v, want %v", p, y, got, view[at:at+18])
			}
		}
	}
}

// Every patch draws for itself, and draws the same under the same key, whatever
// the scratch held.
func TestEveryPatchDrawsForItself(t *testing.T) {
	grey := &imagecodec.Image{W: 32, H: 32, Pix: bytes.Repeat([]byte{10, 20, 30}, 32*32)}
	p := parse(t, "anchor: []\npatches: {ops: [{op: color_drop, p: 0.75}]}", 32)
	if got := p.Shape(); !slices.Equal(got, []int{7, 7, 8, 8, 3}) {
		t.Fatalf("shape %v, want a grid of 7 with patches of a quarter", got)
	}
	var used augment.Scratch
	kinds := map[[3]byte]int{}
	for epoch := range uint32(20) {
		key := augment.SampleKey{Seed: 2, Epoch: epoch, ID: "a"}
		patches, _ := apply(t, p, grey, key, &used)
		if again, _ := apply(t, p, grey, key, &augment.Scratch{}); !bytes.Equal(again, patches) {
			t.Fatalf("epoch %d: other patches from a new scratch", epoch)
		}
		for i := range 49 {
			patch := patches[i*192 : (i+1)*192]
			if !bytes.Equal(patch, bytes.Repeat(patch[:3], 64)) {
				t.Fatalf("epoch %d: patch %d is of several colours", epoch, i)
			}
			kinds[[3]byte(patch)]++
		}
	}
	for _, kind := range [][3]byte{{10, 20, 30}, {10, 0, 0}, {0, 20, 0}, {0, 0, 30}} {
		if n := kinds[kind]; n < 190 || n > 300 { // of 980 a quarter each: 245 ± 13.6
			t.Errorf("%d patches are %v, want about 245", n, kind)
		}
		delete(kinds, kind)
	}
	if len(kinds) > 0 {
		t.Errorf("unexpected colours %v", kinds)
	}
}

// A sub-crop is a smaller box of the picture in the middle of a black one.
func TestSubCropLiesInTheMiddle(t *testing.T) {
	img := noise(8, 8)
	for i := range img.Pix {
		img.Pix[i] |= 1 // nothing is black
	}
	p := parse(t, "anchor: [{op: sub_crop, margin: 3}]", 8)
	places := map[[2]int]bool{}
	for epoch := range uint32(300) {
		view, _ := apply(t, p, img, augment.SampleKey{Epoch: epoch, ID: "a"}, &augment.Scratch{})
		pixel := func(x, y int) [3]byte { return [3]byte(view[3*(8*y+x):]) }
		found := false
		for y := range 4 {
			for x := range 4 {
				same := true
				for i := range 25 {
					same = same && pixel(1+i%5, 1+i/5) == [3]byte(img.Pix[3*(8*(y+i/5)+x+i%5):])
				}
				if same {
					found, places[[2]int{x, y}] = true, true
				}
			}
		}
		for i := range 64 {
			if x, y := i%8, i/8; (x < 1 || x > 5 || y < 1 || y > 5) != (pixel(x, y) == [3]byte{}) {
				t.Fatalf("pixel (%d,%d) is %v: black is not what is outside", x, y, pixel(x, y))
			}
		}
		if !found {
			t.Fatalf("epoch %d: no box of the picture", epoch)
		}
	}
	if len(places) != 16 {
		t.Errorf("%d places, want all 16", len(places))
	}
}
