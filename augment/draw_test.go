package augment

import (
	"fmt"
	"image"
	"math"
	"testing"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

func TestRandomResizedCropKeepsToItsRanges(t *testing.T) {
	op := &randomResizedCrop{scale: span{0.2, 0.6}, ratio: span{0.5, 2}}
	draw := rng.New(1, rng.Sample)
	for range 5000 {
		w, h := 1+draw.IntN(300), 1+draw.IntN(300)
		box := op.box(w, h, &draw)
		if box.Empty() || !box.In(image.Rect(0, 0, w, h)) {
			t.Fatalf("%dx%d: got %v", w, h, box)
		}
	}
	for range 5000 {
		box := op.box(400, 300, &draw)
		share := float64(box.Dx()*box.Dy()) / (400 * 300)
		ratio := float64(box.Dx()) / float64(box.Dy())
		// Half a pixel of rounding on sides of at least 100.
		if share < 0.2*0.99 || share > 0.6*1.01 || ratio < 0.5*0.99 || ratio > 2*1.01 {
			t.Fatalf("got %v: share %v, ratio %v", box, share, ratio)
		}
	}
}

// On a square with scale .08-1 and ratio 3/4-4/3 a try fails where a side would
// exceed the picture: sqrt(A max(r,1/r)) > side. With x = |log r| uniform in
// [0,log 4/3] and A uniform, it succeeds for A <= exp(-x): the share of accepted
// tries and their mean area have closed forms.
func TestRandomResizedCropAcceptance(t *testing.T) {
	const lo, side, n = 0.08, 1000, 40000
	l := math.Log(4. / 3)
	accepted := ((1-math.Exp(-l))/l - lo) / (1 - lo)
	area := ((1-math.Exp(-2*l))/(2*l) - lo*lo) / 2 / (1 - lo) / accepted

	op := &randomResizedCrop{scale: span{lo, 1}, ratio: span{3. / 4, 4. / 3}}
	sum, whole := 0.0, 0
	for i := range n {
		draw := rng.New(2, rng.Sample, uint64(i))
		box := op.box(side, side, &draw)
		share := float64(box.Dx()*box.Dy()) / (side * side)
		if share == 1 {
			whole++
		}
		sum += share
	}
	// The area's standard deviation is below .3: five of the mean's are .0075.
	if mean := sum / n; math.Abs(mean-area) > 0.0075 {
		t.Errorf("got a mean area of %.4f, want %.4f", mean, area)
	}
	// Ten rejections in a row, (1-accepted)^10, do not happen in n draws.
	if whole > 2 {
		t.Errorf("%d of %d boxes are the whole picture; a try is accepted with probability %.3f", whole, n, accepted)
	}
}

func TestRandomResizedCropFallsBackToTheCentre(t *testing.T) {
	op := &randomResizedCrop{scale: span{0.9, 1}, ratio: span{3. / 4, 4. / 3}}
	for _, c := range []struct {
		w, h int
		want image.Rectangle
	}{
		{10, 100, image.Rect(0, 43, 10, 56)}, // 10/(3/4) = 13.3 rows
		{100, 10, image.Rect(43, 0, 56, 10)},
		{1, 1000, image.Rect(0, 499, 1, 500)},
	} {
		draw := rng.New(1, rng.Sample)
		if got := op.box(c.w, c.h, &draw); got != c.want {
			t.Errorf("%dx%d: got %v, want %v", c.w, c.h, got, c.want)
		}
	}
}

func TestRandomCropReachesEveryPlace(t *testing.T) {
	for _, c := range []struct {
		op       randomCrop
		w, h     int
		from, to image.Point
	}{
		{randomCrop{size: extent{4, 4}, padding: 2}, 4, 5, image.Pt(-2, -2), image.Pt(2, 3)},
		{randomCrop{size: extent{3, 7}, padIfNeeded: true}, 5, 4, image.Pt(-2, 0), image.Pt(0, 1)},
	} {
		seen := map[image.Point]bool{}
		draw := rng.New(1, rng.Sample)
		for range 2000 {
			box := c.op.box(c.w, c.h, &draw)
			if box.Size() != image.Pt(c.op.size.w, c.op.size.h) {
				t.Fatalf("got %v", box)
			}
			seen[box.Min] = true
		}
		want := 0
		for y := c.from.Y; y <= c.to.Y; y++ {
			for x := c.from.X; x <= c.to.X; x++ {
				if want++; !seen[image.Pt(x, y)] {
					t.Errorf("%+v: never at %d,%d", c.op, x, y)
				}
			}
		}
		if len(seen) != want {
			t.Errorf("%+v: %d places, want %d", c.op, len(seen), want)
		}
	}
}

// A jitter is its fixed operators, in the order and with the factors drawn.
func TestColorJitterIsItsOperatorsInDrawnOrder(t *testing.T) {
	g := loadGolden(t)
	img := g.picture(g.Images["33x21"])
	st := parseOps(t, "[{op: color_jitter, brightness: 0.4, contrast: [0.5, 0.9], saturation: 0.3, hue: 0.2}]")[0]
	orders := map[[4]int]bool{}
	for id := range uint64(120) {
		draw := st.stream(SampleKey{}, id, viewAnchor)
		st.applies(&draw)
		j := st.op.(*colorJitter).pick(&draw)
		orders[j.order] = true

		names := [...]string{"brightness", "contrast", "saturation", "hue"}
		ops := ""
		for _, i := range j.order {
			ops += fmt.Sprintf("{op: %s, factor: %v}, ", names[i], j.factors[i])
		}
		want := runSteps(t, parseOps(t, "["+ops+"]"), img)

		source, _ := newRaster(img)
		s := &Scratch{held: callersImage}
		got, err := run([]step{st}, source, SampleKey{}, id, viewAnchor, s)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, packed(got), want)
	}
	if len(orders) != 24 {
		t.Errorf("%d orders in 120 draws, want all 24", len(orders))
	}
}

// A factor's span covers the whole range and nothing else.
func TestColorJitterFactors(t *testing.T) {
	op := parseOps(t, "[{op: color_jitter, brightness: 1.5, contrast: [0.5, 0.9], hue: 0.1}]")[0].op.(*colorJitter)
	if op.spans[jitterBrightness] != (span{0, 2.5}) || !op.off[jitterSaturation] || op.off[jitterHue] {
		t.Fatalf("got %+v", op)
	}
	low, high := math.Inf(1), math.Inf(-1)
	draw := rng.New(1, rng.Sample)
	for range 1000 {
		f := op.pick(&draw).factors[jitterContrast]
		low, high = min(low, f), max(high, f)
	}
	if low < 0.5 || low > 0.51 || high < 0.89 || high >= 0.9 {
		t.Errorf("got factors from %v to %v, want 0.5 to 0.9", low, high)
	}
}

// An affine move is drawn from all of its ranges, shifts in whole pixels, and is
// the fixed operator with what was drawn.
func TestRandomAffineIsAffineAsDrawn(t *testing.T) {
	g := loadGolden(t)
	img := g.picture(g.Images["33x21"])
	st := parseOps(t, "[{op: random_affine, degrees: [-30, 10], translate: [0.1, 0.2], scale: [0.8, 1.5], shear: [-5, 5, 2, 12], interpolation: bilinear, fill: 9}]")[0]
	low, high := [5]float64{}, [5]float64{}
	for i := range low {
		low[i], high[i] = math.Inf(1), math.Inf(-1)
	}
	for id := range uint64(400) {
		draw := st.stream(SampleKey{}, id, viewAnchor)
		st.applies(&draw)
		by := st.op.(*randomAffine).pick(33, 21, &draw)
		for i, v := range [5]float64{by.angle, float64(by.dx), float64(by.dy), by.scale, by.shearY} {
			low[i], high[i] = min(low[i], v), max(high[i], v)
		}
		if id%40 > 0 {
			continue
		}
		fixed := fmt.Sprintf("[{op: affine, angle: %v, translate: [%d, %d], scale: %v, shear: [%v, %v], interpolation: bilinear, fill: 9}]",
			by.angle, by.dx, by.dy, by.scale, by.shearX, by.shearY)
		source, _ := newRaster(img)
		got, err := run([]step{st}, source, SampleKey{}, id, viewAnchor, &Scratch{held: callersImage})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, packed(got), runSteps(t, parseOps(t, fixed), img))
	}
	within := func(i int, lo, hi, slack float64) {
		if low[i] < lo || low[i] > lo+slack || high[i] > hi || high[i] < hi-slack {
			t.Errorf("number %d: got %v to %v, want %v to %v", i, low[i], high[i], lo, hi)
		}
	}
	within(0, -30, 10, 1)
	within(1, -3, 3, 0)
	within(2, -4, 4, 0)
	within(3, 0.8, 1.5, 0.02)
	within(4, 2, 12, 0.2)
}

// Displacements are as large as torchvision's: noise of variance 1/3, smoothed by
// a Gaussian, which leaves 1/(4πσ²) of it, times alpha/2 pixels.
func TestElasticTransformMovesAsFarAsItSays(t *testing.T) {
	const side, alpha, sigma = 64, 200, 3.0
	op := &elasticTransform{alpha: [2]float64{alpha, alpha / 4}, sigma: sigma}
	img := &imagecodec.Image{W: side, H: side, Pix: make([]byte, 3*side*side)}
	source, _ := newRaster(img)
	squares := [2]float64{}
	const runs = 60
	for i := range uint64(runs) {
		s := &Scratch{held: callersImage, draw: rng.New(3, rng.Sample, i)}
		if _, err := op.apply(source, s); err != nil {
			t.Fatal(err)
		}
		for axis := range squares {
			for _, d := range s.field[axis*side*side : (axis+1)*side*side] {
				pixels := float64(d) * side / 2
				squares[axis] += pixels * pixels / (runs * side * side)
			}
		}
	}
	for axis, a := range op.alpha {
		want := a / 2 / math.Sqrt(3) / (2 * sigma * math.Sqrt(math.Pi))
		// Mirrored edges add a few per cent.
		if got := math.Sqrt(squares[axis]); got < 0.97*want || got > 1.15*want {
			t.Errorf("axis %d: root mean square of %v pixels, want about %v", axis, got, want)
		}
	}
}

func TestTranslateReflectReachesEveryShift(t *testing.T) {
	img := &imagecodec.Image{W: 3, H: 3, Pix: make([]byte, 27)}
	for i := range 9 {
		img.Pix[3*i] = byte(i)
	}
	source, _ := newRaster(img)
	st := parseOps(t, "[{op: translate_reflect, max: 1}]")
	seen := map[byte]bool{}
	s := &Scratch{held: callersImage}
	for id := range uint64(200) {
		out, err := run(st, source, SampleKey{}, id, viewAnchor, s)
		if err != nil {
			t.Fatal(err)
		}
		seen[out.row(1)[3]] = true // what the middle shows tells the shift
	}
	if len(seen) != 9 {
		t.Errorf("%d shifts, want 9", len(seen))
	}
}

// A window of a resize is that part of the whole.
func TestResampleWindowIsPartOfTheWhole(t *testing.T) {
	g := loadGolden(t)
	source, _ := newRaster(g.picture(g.Images["40x57"]))
	for _, f := range filters {
		for _, size := range []image.Point{{20, 30}, {40, 80}, {57, 57}, {80, 20}} {
			var whole, part Scratch
			whole.held, part.held = callersImage, callersImage
			all, err := whole.resample(source, f, size.X, size.Y, image.Rectangle{Max: size})
			if err != nil {
				t.Fatal(err)
			}
			window := image.Rect(3, 5, size.X-4, size.Y-2)
			got, err := part.resample(source, f, size.X, size.Y, window)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, packed(got), packed(all.crop(window)))
		}
	}
}
