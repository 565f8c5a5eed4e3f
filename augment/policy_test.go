package augment_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"clpipe/augment"
	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// noise returns a picture in which every pixel tells its place.
func noise(w, h int) *imagecodec.Image {
	draw := rng.New(1, rng.Benchmark, uint64(w), uint64(h))
	img := &imagecodec.Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for i := range img.Pix {
		img.Pix[i] = byte(draw.Uint64())
	}
	return img
}

func builtin(t testing.TB, name string, size int) *augment.Policy {
	t.Helper()
	p, err := augment.Builtin(name, size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(t testing.TB, text string, size int) *augment.Policy {
	t.Helper()
	p, err := augment.Parse("test.yaml", []byte(text), size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// apply returns the views of one sample.
func apply(t testing.TB, p *augment.Policy, img *imagecodec.Image, key augment.SampleKey, s *augment.Scratch) (anchor, positive []byte) {
	t.Helper()
	anchor, positive = buffers(p)
	if err := p.Apply(anchor, positive, img, key, s); err != nil {
		t.Fatal(err)
	}
	return anchor, positive
}

func buffers(p *augment.Policy) (anchor, positive []byte) {
	n := 1
	for _, d := range p.Shape() {
		n *= d
	}
	return make([]byte, n), make([]byte, n)
}

func TestBuiltinsFillEveryViewOfAnyImage(t *testing.T) {
	var s augment.Scratch
	for _, name := range augment.Builtins() {
		for _, size := range []int{1, 32, 96, 97} {
			if size == 1 && strings.HasPrefix(name, "cpc") {
				continue // a quarter of it is no patch
			}
			p := builtin(t, name, size)
			if p.Size() != size {
				t.Fatalf("%s: got size %d, want %d", name, p.Size(), size)
			}
			for _, wh := range [][2]int{{1, 1}, {1, 300}, {300, 1}, {2, 3}, {33, 47}, {128, 96}} {
				img := noise(wh[0], wh[1])
				before := bytes.Clone(img.Pix)
				for epoch := range uint32(4) {
					apply(t, p, img, augment.SampleKey{Seed: 3, Epoch: epoch, ID: "a"}, &s)
				}
				if !bytes.Equal(img.Pix, before) {
					t.Fatalf("%s: the image was overwritten", name)
				}
			}
		}
	}
}

func TestViewsAreAFunctionOfTheKey(t *testing.T) {
	p := builtin(t, "moco-v2", 48)
	img := noise(64, 50)
	key := augment.SampleKey{Seed: 7, Epoch: 2, ID: "shard-0.tar/000001"}
	anchor, positive := apply(t, p, img, key, &augment.Scratch{})
	if bytes.Equal(anchor, positive) {
		t.Error("anchor and positive are equal")
	}

	// The same scratch after other work, in another order, gives the same views.
	var s augment.Scratch
	for _, other := range []augment.SampleKey{{Seed: 8, Epoch: 2, ID: key.ID}, {Seed: 7, Epoch: 3, ID: key.ID}, {Seed: 7, Epoch: 2, ID: "shard-0.tar/000002"}} {
		a, b := apply(t, p, img, other, &s)
		if bytes.Equal(a, anchor) || bytes.Equal(b, positive) {
			t.Errorf("%+v gives a view of %+v", other, key)
		}
	}
	apply(t, builtin(t, "simclr", 128), noise(200, 10), key, &s)
	a, b := apply(t, p, img, key, &s)
	if !bytes.Equal(a, anchor) || !bytes.Equal(b, positive) {
		t.Error("the same key gives other views")
	}
}

// The probability of one operator is no draw of another.
func TestDrawsStayWhenAnotherOperatorChanges(t *testing.T) {
	img := noise(40, 40)
	base := parse(t, "anchor: [{op: random_crop, size: 16}, {op: horizontal_flip, p: 0}]", 0)
	more := parse(t, "anchor: [{op: random_crop, size: 16, p: 1}, {op: grayscale, p: 0}]", 0)
	for id := range 20 {
		key := augment.SampleKey{ID: fmt.Sprint(id)}
		a, _ := apply(t, base, img, key, &augment.Scratch{})
		b, _ := apply(t, more, img, key, &augment.Scratch{})
		if !bytes.Equal(a, b) {
			t.Fatal("the crop moved")
		}
	}
}

func TestSharedOperatorsAreDrawnOnce(t *testing.T) {
	p := parse(t, "shared: [{op: horizontal_flip, p: 0.5}, {op: color_jitter, brightness: 0.5}]\nboth: []", 9)
	img := noise(9, 9)
	flipped := 0
	for id := range 50 {
		anchor, positive := apply(t, p, img, augment.SampleKey{ID: fmt.Sprint(id)}, &augment.Scratch{})
		if !bytes.Equal(anchor, positive) {
			t.Fatal("anchor and positive differ after shared operators only")
		}
		if (anchor[0] > anchor[24]) != (img.Pix[0] > img.Pix[24]) {
			flipped++
		}
	}
	if flipped == 0 || flipped == 50 {
		t.Errorf("%d of 50 flipped", flipped)
	}
}

// What both views read must survive the first of them.
func TestSharedPictureIsNotOverwritten(t *testing.T) {
	whole := parse(t, "shared: [{op: resize, size: [20, 20]}]\nanchor: [{op: brightness, factor: 0.3}, {op: gaussian_blur, sigma: 2}]\npositive: [{op: horizontal_flip}]", 0)
	alone := parse(t, "anchor: [{op: resize, size: [20, 20]}, {op: horizontal_flip}]", 0)
	img := noise(31, 44)
	_, positive := apply(t, whole, img, augment.SampleKey{}, &augment.Scratch{})
	want, _ := apply(t, alone, img, augment.SampleKey{}, &augment.Scratch{})
	if !bytes.Equal(positive, want) {
		t.Error("the positive is not made from the shared picture")
	}
}

func TestFlipProbability(t *testing.T) {
	p := parse(t, "both: [{op: horizontal_flip, p: 0.3}]", 3)
	img := noise(3, 3)
	var s augment.Scratch
	const n = 20000
	flips := [2]int{}
	together := 0
	for id := range n {
		anchor, positive := apply(t, p, img, augment.SampleKey{ID: fmt.Sprint(id)}, &s)
		a, b := anchor[0] != img.Pix[0], positive[0] != img.Pix[0]
		if a {
			flips[0]++
		}
		if b {
			flips[1]++
		}
		if a && b {
			together++
		}
	}
	// Five standard deviations of a binomial around .3 n and .09 n.
	for v, got := range flips {
		if got < 5676 || got > 6324 {
			t.Errorf("view %d: %d of %d flipped, want about 6000", v, got, n)
		}
	}
	if together < 1598 || together > 2002 {
		t.Errorf("both views flipped %d times, want about 1800 as of independent draws", together)
	}
}

func TestCropRegionHoldsAllThatIsRead(t *testing.T) {
	for _, text := range []string{
		"both: [{op: random_resized_crop, size: 16}, {op: horizontal_flip, p: 0.5}]",
		"both: [{op: grayscale, p: 0.5}, {op: random_crop, size: 16, padding: 4}]",
		"shared: [{op: hue, factor: 0.1}, {op: random_crop, size: 32}]\nboth: [{op: random_resized_crop, size: 16}]",
		"anchor: [{op: crop, box: [50, -3, 16, 16]}]\npositive: [{op: center_crop, size: 16}]",
		"anchor: [{op: random_resized_crop, size: 16, interpolation: bicubic, scale: 0.05}]",
		"shared: [{op: horizontal_flip, p: 0.5}]\nboth: [{op: random_resized_crop, size: 16}, {op: horizontal_flip}]",
		"shared: [{op: horizontal_flip}]\nboth: [{op: horizontal_flip, p: 0.5}, {op: color_drop}, {op: random_crop, size: 16, padding: 5}]",
		"shared: [{op: horizontal_flip}, {op: random_crop, size: 16}]\npatches: {ops: [{op: sub_crop}]}",
	} {
		p := parse(t, text, 0)
		img := noise(61, 47)
		var s augment.Scratch
		for id := range 30 {
			key := augment.SampleKey{Seed: 5, ID: fmt.Sprint(id)}
			region, ok := p.CropRegion(img.W, img.H, key)
			if !ok {
				t.Fatalf("%s: no region", text)
			}
			if region != region.Clip(img.W, img.H) {
				t.Fatalf("%s: got %+v outside the image", text, region)
			}
			partly := &imagecodec.Image{W: img.W, H: img.H, Pix: make([]byte, len(img.Pix))}
			for y := region.Y0; y < region.Y1; y++ {
				from, to := 3*(y*img.W+region.X0), 3*(y*img.W+region.X1)
				copy(partly.Pix[from:to], img.Pix[from:to])
			}
			a1, b1 := apply(t, p, img, key, &s)
			a2, b2 := apply(t, p, partly, key, &s)
			if !bytes.Equal(a1, a2) || !bytes.Equal(b1, b2) {
				t.Fatalf("%s: id %d: pixels outside %+v are read", text, id, region)
			}
		}
	}
}

func TestCropRegionGivesUpWhereAllIsRead(t *testing.T) {
	for _, text := range []string{
		"both: [{op: resize, size: [16, 16]}]",
		"both: [{op: contrast, factor: 0.5}, {op: random_resized_crop, size: 16}]",
		"both: [{op: translate_reflect}, {op: random_resized_crop, size: 16}]",
		"anchor: [{op: random_resized_crop, size: 16}]\npositive: [{op: gaussian_blur}, {op: center_crop, size: 16}]",
		"both: [{op: random_resized_crop, size: 16, p: 0}]",
	} {
		if region, ok := parse(t, text, 0).CropRegion(40, 40, augment.SampleKey{}); ok {
			t.Errorf("%s: got %+v", text, region)
		}
	}
}

func TestStringIsThePolicyAgain(t *testing.T) {
	for _, name := range augment.Builtins() {
		for _, size := range []int{32, 224} {
			p := builtin(t, name, size)
			again := parse(t, p.String(), 0)
			if again.String() != p.String() || again.Size() != size || again.Views() != p.Views() {
				t.Errorf("%s: got %s, want %s", name, again, p)
			}
		}
	}
	want := `{"name":"none","anchor":[{"op":"resize","size":146,"interpolation":"bilinear","p":1},{"op":"center_crop","size":128,"p":1}]}`
	if got := builtin(t, "none", 128).String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestApplyNamesSampleViewAndOperator(t *testing.T) {
	for _, c := range []struct {
		text string
		img  *imagecodec.Image
		want string
	}{
		{"both: [{op: random_crop, size: 32, padding: 2}]", noise(20, 40),
			`augment: sample "x/1": anchor: random_crop: got a picture of 20x40 with padding 2, want at least 32x32, or pad_if_needed`},
		{"both: [{op: resize, size: 32}]", noise(20, 40), `augment: sample "x/1": anchor: got a view of 32x64, want 32x32`},
		{"both: [{op: resize, size: 32}]", noise(1, 140000), `augment: sample "x/1": anchor: resize: picture of 32x4480000 pixels, want at most 134217728 pixels`},
		{"both: []", &imagecodec.Image{W: 4, H: 2, Pix: make([]byte, 23)}, `augment: sample "x/1": image: got 23 bytes for 4x2 pixels`},
		{"both: []", &imagecodec.Image{W: 0, H: 0}, `augment: sample "x/1": image: got 0 bytes for 0x0 pixels`},
	} {
		p := parse(t, c.text, 32)
		anchor, positive := buffers(p)
		err := p.Apply(anchor, positive, c.img, augment.SampleKey{ID: "x/1"}, &augment.Scratch{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestRefusalTakesNoMemory resizes a thin image to one whose weights alone would
// take hundreds of megabytes.
func TestRefusalTakesNoMemory(t *testing.T) {
	p := parse(t, "both: [{op: resize, size: 32}]", 32)
	img := noise(1, 1<<19)
	anchor, positive := buffers(p)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := p.Apply(anchor, positive, img, augment.SampleKey{}, &augment.Scratch{})
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; err == nil || taken > 1<<20 {
		t.Errorf("got %v after %d bytes of memory, want an error and no more than a few", err, taken)
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	for _, name := range augment.Builtins() {
		for _, size := range []int{32, 224} {
			p := builtin(t, name, size)
			img := noise(2*size, size+9)
			anchor, positive := buffers(p)
			var s augment.Scratch
			epoch := uint32(0)
			one := func() {
				key := augment.SampleKey{Seed: 1, Epoch: epoch, ID: "shard/000001"}
				if err := p.Apply(anchor, positive, img, key, &s); err != nil {
					t.Fatal(err)
				}
			}
			runs := 20
			for ; epoch < uint32(runs)+1; epoch++ {
				one() // grow the scratch to what these draws need
			}
			epoch = 0
			if n := testing.AllocsPerRun(runs, func() { one(); epoch++ }); n != 0 {
				t.Errorf("%s at %d: %v allocations a sample", name, size, n)
			}
		}
	}
}

// AMDIM mirrors both views or neither, before either is moved.
func TestAMDIMSharesItsFlip(t *testing.T) {
	p := builtin(t, "amdim", 32)
	// Dark on the left, bright on the right: what colours and shifts of 4 pixels
	// do leaves it so.
	img := &imagecodec.Image{W: 32, H: 32, Pix: make([]byte, 3*32*32)}
	for i := range img.Pix {
		img.Pix[i] = byte(40 + 5*(i/3%32))
	}
	mirrored := func(view []byte) bool { return view[3*(16*32+8)] > view[3*(16*32+24)] }
	flips := 0
	for id := range 100 {
		anchor, positive := apply(t, p, img, augment.SampleKey{ID: fmt.Sprint(id)}, &augment.Scratch{})
		if mirrored(anchor) != mirrored(positive) {
			t.Fatalf("id %d: one view is mirrored, the other is not", id)
		}
		if mirrored(anchor) {
			flips++
		}
	}
	if flips < 25 || flips > 75 {
		t.Errorf("%d of 100 mirrored, want about 50", flips)
	}
}
