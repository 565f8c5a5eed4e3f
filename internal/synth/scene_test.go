package synth

import (
	"bytes"
	"image"
	"math"
	"testing"

	"clpipe/internal/rng"
)

func TestSceneIsAFunctionOfItsArguments(t *testing.T) {
	want, objects := DrawScene(1, 7, 64)
	if got, again := DrawScene(1, 7, 64); !bytes.Equal(got.Pix, want.Pix) || len(again) != len(objects) || again[0] != objects[0] {
		t.Error("the same arguments, another scene")
	}
	for name, c := range map[string]struct {
		seed uint64
		i    int
	}{"seed": {2, 7}, "i": {1, 8}} {
		if other, _ := DrawScene(c.seed, c.i, 64); bytes.Equal(other.Pix, want.Pix) {
			t.Errorf("another %s, the same scene", name)
		}
	}
}

// The box of an object is the pixels that another paint of its shape changes, and
// so is the part of the shape that can be seen, by how much it changes them.
func TestBoxesMatchThePixels(t *testing.T) {
	const size = 64
	objectsSeen, difficult, truncated := 0, 0, 0
	for i := range 40 {
		s := rng.New(3, rng.Scene, uint64(i))
		sc := drawScene(&s)
		sc.noise = 0 // so that every pixel that differs is of the shape
		before, objects := sc.render(&s, size)
		k := 0
		for n, h := range sc.shapes {
			paint := h.paint
			brighter := 100.0
			if h.paint.rgb[0] > 127 {
				brighter = -100
			}
			for c := range paint.rgb {
				sc.shapes[n].paint.rgb[c] += brighter
			}
			after, _ := sc.render(&s, size)
			sc.shapes[n].paint = paint

			var box image.Rectangle
			changed := 0.0 // pixels, those of which the shape has a part by that part
			for y := range size {
				for x := range size {
					at := before.PixOffset(x, y)
					if d := float64(after.Pix[at]) - float64(before.Pix[at]); d != 0 {
						box = box.Union(image.Rect(x, y, x+1, y+1))
						changed += d / brighter
					}
				}
			}
			if box.Empty() {
				continue // hidden by others
			}
			if k == len(objects) {
				t.Fatalf("scene %d: shape %d of %d can be seen and is not among the %d objects", i, n, len(sc.shapes), len(objects))
			}
			o := objects[k]
			k++
			if o.Class != h.class || o.Box != box {
				t.Errorf("scene %d, shape %d: got class %d in %v, want class %d in %v", i, n, o.Class, o.Box, h.class, box)
			}
			visible := changed / (h.unit * h.unit * size * size)
			tiny := box.Dx() < tinySide || box.Dy() < tinySide
			// Pixels are rounded, and samples are not quite the area.
			if border := math.Abs(visible-leastVisible) < 0.05; !border && o.Difficult != (tiny || visible < leastVisible) {
				t.Errorf("scene %d, shape %d: difficult is %v of one of %dx%d of which %.2f is visible", i, n, o.Difficult, box.Dx(), box.Dy(), visible)
			}
			if cut := !box.In(image.Rect(1, 1, size-1, size-1)); o.Truncated != cut {
				t.Errorf("scene %d, shape %d: truncated is %v in %v", i, n, o.Truncated, box)
			}
			objectsSeen++
			difficult += flag(o.Difficult)
			truncated += flag(o.Truncated)
		}
		if k != len(objects) {
			t.Errorf("scene %d: %d objects, want %d, those that can be seen", i, len(objects), k)
		}
	}
	if difficult == 0 || difficult > objectsSeen/2 || truncated == 0 || truncated > objectsSeen/2 {
		t.Errorf("of %d objects %d are difficult and %d truncated, want some of each, and less than half", objectsSeen, difficult, truncated)
	}
}

// What lies under a later shape is no object.
func TestLaterShapesHide(t *testing.T) {
	at := func(class int, unit float64) shape {
		h := shape{class: class, unit: unit}
		h.turn(0, 1, unit)
		return h
	}
	for _, c := range []struct {
		first, second float64
		want          int
	}{{0.2, 0.5, 1}, {0.5, 0.2, 2}} {
		sc := scene{shapes: []shape{at(0, c.first), at(1, c.second)}}
		s := rng.New(1, rng.Scene, 0)
		if _, objects := sc.render(&s, 64); len(objects) != c.want || objects[len(objects)-1].Class != 1 {
			t.Errorf("a shape of side %v under one of %v: got %+v, want %d objects", c.first, c.second, objects, c.want)
		}
	}
}

// Scenes have every class and every number of shapes, and boxes overlap in some.
func TestScenesVary(t *testing.T) {
	classes, numbers, overlaps := map[int]bool{}, map[int]bool{}, 0
	for i := range 200 {
		s := rng.New(1, rng.Scene, uint64(i))
		sc := drawScene(&s)
		numbers[len(sc.shapes)] = true
		for k, h := range sc.shapes {
			classes[h.class] = true
			if d := math.Abs(lightness(h.paint) - lightness(sc.ground)); d < contrast-1e-9 {
				t.Errorf("scene %d, shape %d: it differs from the ground by %.1f in lightness, want %d", i, k, d, contrast)
			}
			for _, other := range sc.shapes[:k] {
				overlaps += flag(h.window(128).Overlaps(other.window(128)))
			}
		}
	}
	if len(classes) != len(Shapes()) || len(numbers) != mostShapes || overlaps == 0 {
		t.Errorf("got classes %v, numbers of shapes %v, %d overlaps; want %d classes and 1 to %d shapes", classes, numbers, overlaps, len(Shapes()), mostShapes)
	}
}

// No shape extends beyond reach, whatever its stretch, and one nearly to it.
func TestShapesLieWithinReach(t *testing.T) {
	longest := 0.0
	for class, f := range shapes {
		for _, stretch := range []float64{math.Exp(-0.2), math.Exp(0.2)} {
			h := shape{class: class, unit: 0.3}
			h.turn(0.7, stretch, h.unit)
			for a := range 3600 {
				sin, cos := math.Sincos(float64(a) / 3600 * 2 * math.Pi)
				for r := 1.0; r < 2; r += 0.01 {
					if h.holds(f, r*h.unit*cos, r*h.unit*sin) {
						longest = max(longest, r)
					}
				}
			}
		}
	}
	if longest > reach || longest < reach-0.03 {
		t.Errorf("a shape extends to %.2f units from its middle, want %v to be a little more than that", longest, reach)
	}
}

func BenchmarkDrawScene(b *testing.B) {
	for i := range b.N {
		DrawScene(1, i, 128)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
}
