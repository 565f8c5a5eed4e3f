package synth

import (
	"fmt"
	"image"
	"math"
	"slices"

	"clpipe/internal/rng"
)

// An Object is a shape in a scene as far as it can be seen.
type Object struct {
	Class int // in Shapes
	// Box holds the pixels of which at least one sample shows the shape, and is
	// as small as it can be.
	Box image.Rectangle
	// Truncated says that the box ends at the image's border.
	Truncated bool
	// Difficult says that the shape is tiny or mostly hidden.
	Difficult bool
}

const (
	mostShapes = 5 // of a scene
	// A shape whose box is narrower than tinySide pixels, or of which less than
	// leastVisible lies in the image and is not hidden, is difficult.
	tinySide     = 12
	leastVisible = 0.4
)

// shapes are the figures that scenes show. Textures have no extent that a box
// could be drawn around.
var shapes = slices.DeleteFunc(slices.Clone(figures), func(f figure) bool { return f.texture })

// Shapes are the names of the classes of scenes, by number.
func Shapes() []string {
	names := make([]string, len(shapes))
	for i, f := range shapes {
		names[i] = f.name
	}
	return names
}

// DrawScene returns scene i, size pixels wide and high, opaque, and the objects
// that can be seen in it: a pure function of its arguments. Up to five shapes of
// several sizes lie on one ground, some partly over others, some over the border.
// It panics if the size is not positive.
func DrawScene(seed uint64, i, size int) (*image.RGBA, []Object) {
	if size <= 0 {
		panic(fmt.Sprintf("synth: DrawScene: size %d", size))
	}
	s := rng.New(seed, rng.Scene, uint64(i))
	sc := drawScene(&s)
	return sc.render(&s, size)
}

// A scene is what an image shows, before it has pixels.
type scene struct {
	ground paint
	noise  float64
	shapes []shape // each hides those before it
}

// A shape is a figure in a scene.
type shape struct {
	placement
	class int
	unit  float64 // the square root of its area, in image sides
	paint paint
}

func drawScene(s *rng.Stream) scene {
	lightness := s.Uniform(30, 225)
	sc := scene{ground: drawPaint(s, lightness), noise: s.Uniform(2, 10), shapes: make([]shape, 1+s.IntN(mostShapes))}
	for i := range sc.shapes {
		sc.shapes[i] = drawShape(s, sc.shapes[:i], lightness)
	}
	return sc
}

// drawShape draws one that lies over those before it, on ground of a lightness.
func drawShape(s *rng.Stream, before []shape, ground float64) shape {
	h := shape{class: s.IntN(len(shapes)), unit: math.Exp(s.Uniform(math.Log(0.07), math.Log(0.45)))}
	h.turn(s.Uniform(0, 2*math.Pi), math.Exp(s.Uniform(-0.2, 0.2)), h.unit)
	// So that a good part of it lies in the image.
	room := 0.5 - 0.3*h.unit
	// Away from those before it as a rule. Where that takes long the image is full.
	const tries = 8
	for range tries {
		h.dx, h.dy = room*s.Uniform(-1, 1), room*s.Uniform(-1, 1)
		if !slices.ContainsFunc(before, h.hides) {
			break
		}
	}
	lightness := s.Uniform(30, 225)
	for math.Abs(lightness-ground) < contrast {
		lightness = s.Uniform(30, 225)
	}
	h.paint = drawPaint(s, lightness)
	return h
}

// hides reports whether the shape would lie over much of another one.
func (h *shape) hides(other shape) bool {
	return math.Hypot(h.dx-other.dx, h.dy-other.dy) < 0.3*(h.unit+other.unit)
}

// reach is how far, in units, any shape extends from its middle: the points of a
// star at the largest stretch.
const reach = 1.13

// window returns the pixels in which the shape may lie.
func (h *shape) window(size int) image.Rectangle {
	at := func(middle, side float64) int {
		return int(math.Floor((middle + side*reach*h.unit + 0.5) * float64(size)))
	}
	return image.Rect(at(h.dx, -1), at(h.dy, -1), at(h.dx, 1)+1, at(h.dy, 1)+1).Intersect(image.Rect(0, 0, size, size))
}

// render draws the scene. s decides the noise.
func (sc *scene) render(s *rng.Stream, size int) (*image.RGBA, []Object) {
	windows := make([]image.Rectangle, len(sc.shapes))
	for k := range sc.shapes {
		windows[k] = sc.shapes[k].window(size)
	}
	boxes := make([]image.Rectangle, len(sc.shapes))
	visible := make([]int, len(sc.shapes)) // samples of each shape
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			here := sc.look(windows, x, y, size)
			u, v := (float64(x)+0.5)/float64(size)-0.5, (float64(y)+0.5)/float64(size)-0.5
			var value [3]float64
			ground := samples * samples
			for k := range sc.shapes {
				if n := here[k]; n > 0 {
					ground -= n
					visible[k] += n
					boxes[k] = boxes[k].Union(image.Rect(x, y, x+1, y+1))
					for c := range value {
						value[c] += float64(n) / (samples * samples) * sc.shapes[k].paint.at(c, u, v)
					}
				}
			}
			grain := sc.noise * s.Normal()
			at := img.PixOffset(x, y)
			for c := range value {
				value[c] += float64(ground)/(samples*samples)*sc.ground.at(c, u, v) + grain
				img.Pix[at+c] = uint8(math.Round(min(max(value[c], 0), 255)))
			}
			img.Pix[at+3] = 255
		}
	}

	var objects []Object
	for k, h := range sc.shapes {
		box := boxes[k]
		if box.Empty() {
			continue // hidden altogether
		}
		area := h.unit * float64(size) * samples
		objects = append(objects, Object{
			Class:     h.class,
			Box:       box,
			Truncated: box.Min.X == 0 || box.Min.Y == 0 || box.Max.X == size || box.Max.Y == size,
			Difficult: min(box.Dx(), box.Dy()) < tinySide || float64(visible[k]) < leastVisible*area*area,
		})
	}
	return img, objects
}

// look returns in how many samples of a pixel each shape can be seen.
func (sc *scene) look(windows []image.Rectangle, x, y, size int) (seen [mostShapes]int) {
	var near [mostShapes]int // the shapes that may be seen, the one on top first
	n := 0
	for k := len(windows) - 1; k >= 0; k-- {
		if image.Pt(x, y).In(windows[k]) {
			near[n] = k
			n++
		}
	}
	if n == 0 {
		return seen
	}
	for j := range samples {
		for i := range samples {
			u, v := samplePoint(x, i, size), samplePoint(y, j, size)
			for _, k := range near[:n] {
				if h := &sc.shapes[k]; h.holds(shapes[h.class], u, v) {
					seen[k]++
					break
				}
			}
		}
	}
	return seen
}
