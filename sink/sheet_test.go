package sink_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/sink"
)

// plainPicture is w x h pixels of one colour, the first of them red.
func plainPicture(w, h int, c color.RGBA) sink.Picture {
	pix := bytes.Repeat([]byte{c.R, c.G, c.B}, w*h)
	copy(pix, []byte{255, 0, 0})
	return sink.Picture{Pix: pix, W: w, H: h}
}

func decodeSheet(t *testing.T, s sink.Sheet) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// count returns how many pixels have a colour.
func count(img image.Image, c color.RGBA) int {
	n := 0
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			if color.RGBAModel.Convert(img.At(x, y)) == c {
				n++
			}
		}
	}
	return n
}

func TestSheetShowsEveryPicture(t *testing.T) {
	green, blue := color.RGBA{0, 200, 0, 255}, color.RGBA{0, 0, 200, 255}
	img := decodeSheet(t, sink.Sheet{
		Columns: []string{"original", "anchor"},
		Rows: []sink.SheetRow{
			{"a", []sink.Picture{plainPicture(32, 32, green), plainPicture(48, 96, blue)}},
			{"b", []sink.Picture{plainPicture(1, 1, green)}}, // red, enlarged
		},
	})
	// Each is enlarged by 6, 2 and 192, and so is its red pixel.
	if got, want := count(img, green), (32*32-1)*6*6; got != want {
		t.Errorf("got %d green pixels, want %d", got, want)
	}
	if got, want := count(img, blue), (48*96-1)*2*2; got != want {
		t.Errorf("got %d blue pixels, want %d", got, want)
	}
	if got, want := count(img, color.RGBA{255, 0, 0, 255}), 6*6+2*2+192*192; got != want {
		t.Errorf("got %d red pixels, want %d", got, want)
	}
}

func TestSheetShrinksLargePictures(t *testing.T) {
	green := color.RGBA{0, 200, 0, 255}
	img := decodeSheet(t, sink.Sheet{Rows: []sink.SheetRow{{"", []sink.Picture{plainPicture(1000, 500, green)}}}})
	// All of 224 x 112 but what the red corner bleeds into.
	if got := count(img, green); got < 224*112-16 || got > 224*112 {
		t.Errorf("got %d green pixels, want nearly %d", got, 224*112)
	}
}

func TestSheetWritesText(t *testing.T) {
	rows := []sink.SheetRow{{strings.Repeat("long/é/", 100000) + "end", []sink.Picture{plainPicture(2, 2, color.RGBA{255, 0, 0, 255})}}}
	bare := decodeSheet(t, sink.Sheet{Rows: []sink.SheetRow{{"", rows[0].Pictures}}})
	captioned := decodeSheet(t, sink.Sheet{Rows: rows})
	if bare.Bounds() != captioned.Bounds() {
		t.Fatalf("a caption changes the size from %v to %v", bare.Bounds(), captioned.Bounds())
	}
	inked := func(img image.Image, r image.Rectangle) (n int) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if bare.At(x, y) != img.At(x, y) {
					n++
				}
			}
		}
		return n
	}
	all := inked(captioned, bare.Bounds())
	within := inked(captioned, bare.Bounds().Inset(24))
	if all == 0 || all != within {
		t.Errorf("the caption inks %d pixels, %d of them within the margins", all, within)
	}
	titled := decodeSheet(t, sink.Sheet{Title: "moco-cifar", Rows: rows})
	if titled.Bounds().Dy() <= captioned.Bounds().Dy() {
		t.Errorf("a title leaves the height at %d", titled.Bounds().Dy())
	}
}

func TestSheetRefusesBadPictures(t *testing.T) {
	for name, c := range map[string]struct {
		sheet sink.Sheet
		want  string
	}{
		"nothing":   {sink.Sheet{}, "nothing to show"},
		"short":     {sink.Sheet{Rows: []sink.SheetRow{{"", []sink.Picture{{make([]byte, 11), 2, 2}}}}}, "row 0, picture 0: 11 bytes for an image [2,2,3]"},
		"no pixels": {sink.Sheet{Rows: []sink.SheetRow{{"", []sink.Picture{{nil, 0, 2}}}}}, "row 0, picture 0"},
		"too many":  {sink.Sheet{Columns: []string{"x"}, Rows: make([]sink.SheetRow, 10000)}, "10000 rows make"},
	} {
		dir := t.TempDir()
		err := c.sheet.WriteFile(filepath.Join(dir, "x.png"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s: left behind %v (%v)", name, entries, err)
		}
	}
}

// TestShownPictureMakesTheSameSheet wants nothing of a sheet to be lost with the
// pixels that are not kept.
func TestShownPictureMakesTheSameSheet(t *testing.T) {
	for _, size := range [][2]int{{500, 300}, {3, 900}, {224, 100}, {20, 30}} {
		p := sink.Picture{Pix: make([]byte, 3*size[0]*size[1]), W: size[0], H: size[1]}
		rand.NewChaCha8([32]byte{1}).Read(p.Pix)
		shown := p.Shown()
		if most := max(shown.W, shown.H); most > 224 || &shown.Pix[0] == &p.Pix[0] {
			t.Errorf("%v: %d x %d pixels are kept, want a copy of at most 224", size, shown.W, shown.H)
		}
		sheet := func(p sink.Picture) (text bytes.Buffer) {
			s := sink.Sheet{Columns: []string{"original"}, Rows: []sink.SheetRow{{"a", []sink.Picture{p}}}}
			if err := s.Encode(&text); err != nil {
				t.Fatal(err)
			}
			return text
		}
		whole, small := sheet(p), sheet(shown)
		if !bytes.Equal(whole.Bytes(), small.Bytes()) {
			t.Errorf("%v: the sheets differ", size)
		}
	}
}
