package synth

import (
	"bytes"
	"image"
	"math"
	"testing"

	"clpipe/internal/rng"
)

func TestDrawIsAFunctionOfItsArguments(t *testing.T) {
	want := Draw(1, 3, 7, 32)
	if got := Draw(1, 3, 7, 32); !bytes.Equal(got.Pix, want.Pix) {
		t.Error("the same arguments, another image")
	}
	for name, other := range map[string]*image.RGBA{
		"seed": Draw(2, 3, 7, 32), "class": Draw(1, 4, 7, 32), "i": Draw(1, 3, 8, 32),
	} {
		if bytes.Equal(other.Pix, want.Pix) {
			t.Errorf("another %s, the same image", name)
		}
	}
}

func TestDrawAnySize(t *testing.T) {
	for class := range Classes() {
		for _, size := range []int{1, 7, 96} {
			img := Draw(1, class, 0, size)
			if img.Bounds() != image.Rect(0, 0, size, size) || !img.Opaque() {
				t.Errorf("class %d: got %v, opaque %v, want size %d", class, img.Bounds(), img.Opaque(), size)
			}
		}
	}
}

// A figure covers the share it was asked for: shapes have area 1, textures
// cover that part of the plane.
func TestFiguresCoverTheirShare(t *testing.T) {
	const side, n = 1.9, 800 // of the window that a shape fits in, points across
	for _, f := range figures {
		for _, cover := range []float64{0.15, 0.4} {
			extent, want := side, 1/(side*side)
			if f.texture {
				extent, want = 1.5*2*0.8660254037844386*0.7*10, cover // many periods of each
			}
			in := 0
			for j := range n {
				for i := range n {
					if f.inside(extent*((float64(i)+0.5)/n-0.5), extent*((float64(j)+0.5)/n-0.5), cover) {
						in++
					}
				}
			}
			tolerance := 0.002
			if f.texture {
				tolerance = 0.02 // what the periods cut off at the window's edges amount to
			}
			if got := float64(in) / (n * n); math.Abs(got-want) > tolerance {
				t.Errorf("%s: covers %.4f, want %.4f for %.2f", f.name, got, want, cover)
			}
		}
	}
}

// The mean colours of any two classes differ by less than chance explains: by
// 4 standard errors, which 135 comparisons exceed once in 100 times.
func TestMeanColourSaysNothing(t *testing.T) {
	const n, size = 150, 8
	type moments struct{ sum, squares [3]float64 }
	classes := make([]moments, len(figures))
	for class := range figures {
		for i := range n {
			img := Draw(1, class, i, size)
			for c := range 3 {
				mean := 0.0
				for p := range size * size {
					mean += float64(img.Pix[4*p+c])
				}
				mean /= size * size
				classes[class].sum[c] += mean
				classes[class].squares[c] += mean * mean
			}
		}
	}
	for a := range classes {
		for b := range a {
			for c := range 3 {
				ma, va := meanVariance(classes[a].sum[c], classes[a].squares[c], n)
				mb, vb := meanVariance(classes[b].sum[c], classes[b].squares[c], n)
				if z := (ma - mb) / math.Sqrt((va+vb)/n); math.Abs(z) > 4 {
					t.Errorf("%s and %s, channel %d: means %.1f and %.1f are %.1f standard errors apart, want at most 4", figures[a].name, figures[b].name, c, ma, mb, z)
				}
			}
		}
	}
}

func meanVariance(sum, squares, n float64) (mean, variance float64) {
	mean = sum / n
	return mean, squares/n - mean*mean
}

// In every class there is something to be seen: a figure that differs from its
// ground.
func TestEveryClassShowsItsFigure(t *testing.T) {
	const size = 16
	for class, f := range figures {
		for i := range 50 {
			s := rng.New(1, rng.Synth, uint64(class), uint64(i))
			p := drawPlacement(&s, f.texture)
			ground, figure := drawPaints(&s)
			total := 0.0
			for y := range size {
				for x := range size {
					total += p.share(f, x, y, size)
				}
			}
			if share := total / (size * size); share < 0.05 || share > 0.6 {
				t.Errorf("%s %d: the figure covers %.3f of the image, want about %.2f", f.name, i, share, p.cover)
			}
			if d := math.Abs(lightness(figure) - lightness(ground)); d < contrast-1e-9 {
				t.Errorf("%s %d: figure and ground differ by %.1f in lightness, want %d", f.name, i, d, contrast)
			}
		}
	}
}

// lightness is that in the image's middle.
func lightness(p paint) float64 { return (p.at(0, 0, 0) + p.at(1, 0, 0) + p.at(2, 0, 0)) / 3 }

func BenchmarkDraw(b *testing.B) {
	for i := range b.N {
		Draw(1, i%len(figures), i, 32)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
}
