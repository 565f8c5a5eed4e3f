package chart

import (
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inked counts the pixels of a picture that are not white, and returns its size.
func inked(t *testing.T, path string) (n, w, h int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			if r, g, b, _ := img.At(x, y).RGBA(); r+g+b < 3*0xffff {
				n++
			}
		}
	}
	return n, b.Dx(), b.Dy()
}

func TestPanelsAreLaidOutInRows(t *testing.T) {
	panel := Panel{Title: "a", Lines: []Line{
		{Name: "line", X: []float64{1, 10, 100}, Y: []float64{1, 2, 0}, Err: []float64{0.1, 0.2, 0}},
		{Name: "ceiling", X: []float64{1, 100}, Y: []float64{3, 3}, Dashed: true},
		{Name: "nothing yet"},
	}, LogX: true}
	one, three := filepath.Join(t.TempDir(), "one.png"), filepath.Join(t.TempDir(), "three.png")
	if err := WritePanels(one, []Panel{panel}, 2); err != nil {
		t.Fatal(err)
	}
	if err := WritePanels(three, []Panel{panel, panel, panel}, 2); err != nil {
		t.Fatal(err)
	}
	n1, w1, h1 := inked(t, one)
	n3, w3, h3 := inked(t, three)
	if w3 != 2*w1 || h3 != 2*h1 || n1 < 1000 || n3 < 2*n1 {
		t.Errorf("one panel is %dx%d with %d pixels drawn, three are %dx%d with %d", w1, h1, n1, w3, h3, n3)
	}
	if left, err := os.ReadDir(filepath.Dir(one)); err != nil || len(left) != 1 {
		t.Errorf("%d files beside the picture, %v", len(left)-1, err)
	}
}

// A run that diverges logs numbers beside which 1 is nothing, and then no more.
func TestPanelOfOneLargeValue(t *testing.T) {
	for _, y := range []float64{0, 1e15, -9.8e19, 1e300} {
		if _, err := SVG([]Panel{{Title: "a", Lines: []Line{{Name: "line", X: []float64{1}, Y: []float64{y}}}}}, 1); err != nil {
			t.Errorf("%g: %v", y, err)
		}
	}
}

func TestBarsWithoutAValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bars.png")
	d := Bars{Title: "t", Groups: []string{"a", "b"}, Series: []BarSeries{{"x", []float64{1, math.NaN()}, []float64{0.1, 0}}, {"y", []float64{2, 3}, []float64{0, 0}}}}
	if err := WriteBars(path, d); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := inked(t, path); n < 1000 {
		t.Errorf("%d pixels drawn", n)
	}
	if err := WriteBars(filepath.Join(path, "below", "a.png"), d); err == nil {
		t.Error("a file as a directory: no error")
	}
}

// Of nothing but zeros the axis begins at zero too.
func TestBarsOfZeros(t *testing.T) {
	dir := t.TempDir()
	axis := func(name string, value float64) string { // the left of the picture
		path := filepath.Join(dir, name)
		if err := WriteBars(path, Bars{Groups: []string{"a"}, Series: []BarSeries{{"x", []float64{value}, []float64{0}}}}); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		var left strings.Builder
		for y := range img.Bounds().Dy() {
			for x := range 60 {
				fmt.Fprint(&left, img.At(x, y))
			}
		}
		return left.String()
	}
	if axis("zeros.png", 0) != axis("one.png", 1) {
		t.Error("the axis of a bar of 0 is another than that of a bar of 1")
	}
}

func TestLegendKeepsOffTheLines(t *testing.T) {
	for _, c := range []struct {
		name      string
		y         []float64
		top, left bool
	}{
		{"rising", []float64{0, 1, 2, 3}, true, true},
		{"falling", []float64{3, 2, 1, 0}, true, false},
		{"high, and falling at the end", []float64{3, 3, 3, 3, 0}, false, true},
	} {
		x := make([]float64, len(c.y))
		for i := range x {
			x[i] = float64(i)
		}
		d := Panel{Lines: []Line{{Name: "a", X: x, Y: c.y}, {Name: "b", X: x, Y: c.y}}}
		p, err := d.plot(true)
		if err != nil {
			t.Fatal(err)
		}
		if p.Legend.Top != c.top || p.Legend.Left != c.left {
			t.Errorf("%s: the legend is at top %v, left %v, want %v, %v", c.name, p.Legend.Top, p.Legend.Left, c.top, c.left)
		}
	}
}

func TestTicksAreRoundNumbers(t *testing.T) {
	for _, c := range []struct {
		least, most float64
		want        string
	}{
		{0, 450, "0 100 200 300 400"},
		{10, 450, "100 200 300 400"},
		{4.5, 6.7, "4.5 5.0 5.5 6.0 6.5"},
		{0.027, 0.071, "0.03 0.04 0.05 0.06 0.07"},
		{-2.1, 1.7, "-2 -1 0 1"},
		{0, 105, "0 20 40 60 80 100"},
		{0, 3e7, "0 1e+07 2e+07 3e+07"},
		{-5e299, 1.5e300, "-5e+299 0 5e+299 1e+300 1.5e+300"},
	} {
		var labels []string
		for _, tick := range roundTicks(c.least, c.most) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("from %g to %g: got %s, want %s", c.least, c.most, got, c.want)
		}
	}
}

func TestNamesOfGroupsAreWrapped(t *testing.T) {
	for name, want := range map[string]string{
		"":                              "",
		"pixels":                        "pixels",
		"random cpc":                    "random cpc",
		"random resnet18-cifar (moco)":  "random\nresnet18-cifar\n(moco)",
		"crop, flip, colour, grey":      "crop, flip,\ncolour, grey",
		"resnet18-cifar-of-long-breath": "resnet18-cifar-of-long-breath",
	} {
		if got := wrapped(name); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
