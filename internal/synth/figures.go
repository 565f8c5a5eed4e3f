package synth

import "math"

// A figure reports whether a point belongs to it. cover is the share of the
// image it is to cover.
//
// A shape is given in coordinates in which it has area 1 and lies around the
// origin; it takes no notice of cover. A texture fills the plane with period 1
// and covers the share cover of it.
type figure struct {
	name    string
	texture bool
	inside  func(x, y, cover float64) bool
}

// figures are the classes, by label.
var figures = []figure{
	{"disc", false, disc},
	{"square", false, square},
	{"triangle", false, triangle},
	{"star", false, star},
	{"ring", false, ring},
	{"cross", false, cross},
	{"stripes", true, stripes},
	{"checker", true, checker},
	{"dots", true, dots},
	{"waves", true, waves},
}

func disc(x, y, _ float64) bool { return x*x+y*y <= 1/math.Pi }

func square(x, y, _ float64) bool { return math.Abs(x) <= 0.5 && math.Abs(y) <= 0.5 }

// triangle is equilateral: within the radius of its incircle of the origin,
// seen in the directions of its three sides. Area 3*sqrt(3)*r².
func triangle(x, y, _ float64) bool {
	const r = 0.43869133765083085
	return -y <= r && math.Abs(x)*(math.Sqrt(3)/2)+y/2 <= r
}

// star has five points; its inner radius is 0.4 of the outer. Area
// 5*R*(0.4*R)*sin(36°).
func star(x, y, _ float64) bool {
	const (
		outer  = 0.9223211029741143
		inner  = 0.4 * outer
		sector = math.Pi / 5 // from a point to the notch beside it
	)
	angle := math.Abs(math.Mod(math.Atan2(y, x)+2*math.Pi, 2*sector) - sector) // 0 at a notch, sector at a point
	r := math.Hypot(x, y)
	// The edge from the point (outer, 0) to the notch inner*(cos, sin)(sector).
	px, py := r*math.Cos(sector-angle), r*math.Sin(sector-angle)
	nx, ny := inner*math.Cos(sector), inner*math.Sin(sector)
	return (nx-outer)*py-ny*(px-outer) >= 0
}

// ring has an inner radius of 0.6 of the outer. Area pi*R²*(1-0.36).
func ring(x, y, _ float64) bool {
	const outer2 = 1 / (math.Pi * 0.64)
	r2 := x*x + y*y
	return r2 <= outer2 && r2 >= 0.36*outer2
}

// cross has bars three times as long as wide. Area 5/9 of the length squared.
func cross(x, y, _ float64) bool {
	const long, wide = 0.6708203932499369, 0.22360679774997896 // half of each
	x, y = math.Abs(x), math.Abs(y)
	return x <= long && y <= wide || x <= wide && y <= long
}

func stripes(x, _, cover float64) bool { return fraction(x) < cover }

// waves are stripes that swing by a quarter of their period, over two periods.
func waves(x, y, cover float64) bool {
	return fraction(x+0.25*math.Sin(math.Pi*y)) < cover
}

// checker sets squares on every other field of a board.
func checker(x, y, cover float64) bool {
	const field = 0.7
	x, y = x/field, y/field
	if odd := math.Mod(math.Abs(math.Floor(x)+math.Floor(y)), 2); odd != 0 {
		return false
	}
	half := math.Sqrt(cover / 2)
	return math.Abs(fraction(x)-0.5) <= half && math.Abs(fraction(y)-0.5) <= half
}

// dots are discs whose centres are those of a honeycomb's cells.
func dots(x, y, cover float64) bool {
	const rowHeight = 0.8660254037844386 // sqrt(3)/2
	r2 := cover * rowHeight / math.Pi
	row := math.Floor(y/rowHeight + 0.5)
	for _, r := range []float64{row - 1, row, row + 1} {
		dx := fraction(x+0.5*math.Mod(math.Abs(r), 2)+0.5) - 0.5
		dy := y - r*rowHeight
		if dx*dx+dy*dy <= r2 {
			return true
		}
	}
	return false
}

// fraction returns how far x lies above the integer below it, in [0,1).
func fraction(x float64) float64 { return x - math.Floor(x) }
