package sink

import (
	"bytes"
	"image/color"
	"image/png"
	"math"
	"testing"
)

// The outline of a mark lies on the pixels at its box's edges, in the colour of its
// class, and the picture that was marked stays as it was. What juts out, and what is no
// number, draws nothing outside.
func TestMarksOutlineTheirBoxes(t *testing.T) {
	p := Picture{Pix: make([]byte, 3*10*8), W: 10, H: 8}
	for i := range p.Pix {
		p.Pix[i] = 100
	}
	marked := p.Marked([]Mark{{Box: [4]float64{2, 1, 6, 5}, Class: 1}})
	for y := range 8 {
		for x := range 10 {
			on := x >= 2 && x <= 5 && y >= 1 && y <= 4 && (x == 2 || x == 5 || y == 1 || y == 4)
			want := []byte{100, 100, 100}
			if on {
				want = []byte{Palette[1].R, Palette[1].G, Palette[1].B}
			}
			if got := marked.Pix[3*(10*y+x):][:3]; !bytes.Equal(got, want) {
				t.Fatalf("pixel (%d, %d) is %v, want %v", x, y, got, want)
			}
		}
	}
	if p.Pix[3*(10+2)] != 100 {
		t.Error("the picture itself was marked")
	}
	nan, inf := math.NaN(), math.Inf(1)
	p.Marked([]Mark{{Box: [4]float64{-5, -5, 50, 50}}, {Box: [4]float64{nan, nan, nan, nan}, Class: 900}, {Box: [4]float64{-inf, inf, inf, -inf}}})
}

// A large picture shrinks to what a sheet shows of it, and its marks with it.
func TestMarksShrinkWithThePicture(t *testing.T) {
	const w, h = 4 * largeCell, 2 * largeCell
	marked := Picture{Pix: make([]byte, 3*w*h), W: w, H: h}.Marked([]Mark{{Box: [4]float64{w / 2, 0, w, h}, Class: 2}})
	if marked.W != largeCell || marked.H != largeCell/2 {
		t.Fatalf("%d×%d pixels, want %d×%d", marked.W, marked.H, largeCell, largeCell/2)
	}
	for x := range marked.W {
		if got, want := marked.Pix[3*x+1] == Palette[2].G, x >= largeCell/2; got != want {
			t.Fatalf("column %d is marked: %v, want %v", x, got, want)
		}
	}
}

func TestSheetNamesItsClasses(t *testing.T) {
	p := Picture{Pix: make([]byte, 3*largeCell*largeCell), W: largeCell, H: largeCell}
	sheet := Sheet{Title: "objects", Columns: []string{"truth"}, Classes: []string{"cat", "a class whose name is so long that it has no room at all beside the other one"}, Rows: []SheetRow{{Pictures: []Picture{p}}}}
	var file bytes.Buffer
	if err := sheet.Encode(&file); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[color.RGBA]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			seen[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)] = true
		}
	}
	if !seen[Palette[0]] || seen[Palette[1]] {
		t.Errorf("the first class is shown: %v, the second, for which there is no room: %v", seen[Palette[0]], seen[Palette[1]])
	}
}
