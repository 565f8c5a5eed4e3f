package synth

import (
	"fmt"
	"image"
	"math"

	"clpipe/internal/rng"
)

// samples is the number of points across a pixel in which a figure is looked
// up: its edges have samples² + 1 shades.
const samples = 4

// Classes are the names of the classes, by label.
func Classes() []string {
	names := make([]string, len(figures))
	for i, f := range figures {
		names[i] = f.name
	}
	return names
}

// Draw returns image i of a class, size pixels wide and high, opaque: a pure
// function of its arguments. It panics if there is no such class or the size is
// not positive.
func Draw(seed uint64, class, i, size int) *image.RGBA {
	if class < 0 || class >= len(figures) || size <= 0 {
		panic(fmt.Sprintf("synth: Draw: class %d of %d, size %d", class, len(figures), size))
	}
	s := rng.New(seed, rng.Synth, uint64(class), uint64(i))
	p := drawPlacement(&s, figures[class].texture)
	ground, figure := drawPaints(&s)
	noise := s.Uniform(2, 10)

	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			share := p.share(figures[class], x, y, size)
			u, v := (float64(x)+0.5)/float64(size)-0.5, (float64(y)+0.5)/float64(size)-0.5
			grain := noise * s.Normal()
			at := img.PixOffset(x, y)
			for c := range 3 {
				value := (1-share)*ground.at(c, u, v) + share*figure.at(c, u, v) + grain
				img.Pix[at+c] = uint8(math.Round(min(max(value, 0), 255)))
			}
			img.Pix[at+3] = 255
		}
	}
	return img
}

// A placement maps the image, sides of length 1 around the origin, to the
// coordinates of a figure: moved, then a rotation and stretch.
type placement struct {
	cover          float64
	dx, dy         float64
	xx, xy, yx, yy float64
}

func drawPlacement(s *rng.Stream, texture bool) placement {
	p := placement{cover: s.Uniform(0.15, 0.4)}
	turn := s.Uniform(0, 2*math.Pi)
	stretch := math.Exp(s.Uniform(-0.2, 0.2)) // one way, and as much less the other
	unit := math.Sqrt(p.cover)                // of the figure's coordinates, in image sides
	period := s.Uniform(0.22, 0.4)
	room := 0.5 - 0.62*unit // so that most of a shape lies within
	p.dx, p.dy = s.Uniform(-1, 1), s.Uniform(-1, 1)
	if texture {
		unit, room = period, 1
	}
	p.dx, p.dy = p.dx*max(room, 0), p.dy*max(room, 0)
	p.turn(turn, stretch, unit)
	return p
}

// turn sets the angle, the stretch and the unit of the figure's coordinates.
func (p *placement) turn(angle, stretch, unit float64) {
	sin, cos := math.Sincos(angle)
	p.xx, p.xy = cos/unit*stretch, sin/unit*stretch
	p.yx, p.yy = -sin/unit/stretch, cos/unit/stretch
}

// holds reports whether a point of the image belongs to the figure.
func (p *placement) holds(f figure, u, v float64) bool {
	u, v = u-p.dx, v-p.dy
	return f.inside(p.xx*u+p.xy*v, p.yx*u+p.yy*v, p.cover)
}

// share returns how much of pixel (x, y) belongs to the figure, in [0,1].
func (p *placement) share(f figure, x, y, size int) float64 {
	n := 0
	for j := range samples {
		for i := range samples {
			if p.holds(f, samplePoint(x, i, size), samplePoint(y, j, size)) {
				n++
			}
		}
	}
	return float64(n) / (samples * samples)
}

// samplePoint returns where sample i of pixel x lies between the image's sides.
func samplePoint(x, i, size int) float64 {
	return (float64(x)+(float64(i)+0.5)/samples)/float64(size) - 0.5
}

// A paint is a colour, 0 to 255, with a shading across the image.
type paint struct {
	rgb    [3]float64
	sx, sy float64 // change over one side
}

func (p *paint) at(c int, u, v float64) float64 { return p.rgb[c] + p.sx*u + p.sy*v }

// contrast is how far, of 255, figure and ground are apart in lightness.
const contrast = 60

// drawPaints returns two paints that differ in lightness and may be exchanged:
// which of them is the figure's says nothing. Little of them is colour. Were
// it more, two views of an image could be matched by that alone, and nothing
// would have to be learned of shapes.
func drawPaints(s *rng.Stream) (a, b paint) {
	la, lb := s.Uniform(30, 225), s.Uniform(30, 225)
	for math.Abs(la-lb) < contrast {
		la, lb = s.Uniform(30, 225), s.Uniform(30, 225)
	}
	return drawPaint(s, la), drawPaint(s, lb)
}

func drawPaint(s *rng.Stream, lightness float64) paint {
	p := paint{sx: s.Uniform(-20, 20), sy: s.Uniform(-20, 20)}
	hue, chroma := s.Uniform(0, 2*math.Pi), s.Uniform(0, 30)
	for c := range p.rgb {
		p.rgb[c] = lightness + chroma*math.Cos(hue+float64(c)*2*math.Pi/3)
	}
	return p
}
