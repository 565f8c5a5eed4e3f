package sink

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// A Picture is an image of H rows of W RGB pixels, packed.
type Picture struct {
	Pix  []byte
	W, H int
}

// Shown returns a copy of the picture, which shrinks to what a sheet shows of it:
// who gathers many need not hold them whole.
func (p Picture) Shown() Picture {
	small := p.shrunk()
	if small.W == p.W && small.H == p.H {
		small.Pix = slices.Clone(p.Pix)
	}
	return small
}

// shrunk returns the picture, smaller if it would not fit into a cell.
func (p Picture) shrunk() Picture {
	longest := max(p.W, p.H)
	if longest <= largeCell {
		return p
	}
	w, h := max(1, p.W*largeCell/longest), max(1, p.H*largeCell/longest)
	src, small := p.image(), image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(small, small.Bounds(), src, src.Bounds(), draw.Src, nil)
	out := Picture{Pix: make([]byte, 0, 3*w*h), W: w, H: h}
	for at := 0; at < len(small.Pix); at += 4 {
		out.Pix = append(out.Pix, small.Pix[at:at+3]...)
	}
	return out
}

func (p Picture) image() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, p.W, p.H))
	for i := range p.W * p.H {
		copy(img.Pix[4*i:], p.Pix[3*i:3*i+3])
		img.Pix[4*i+3] = 0xff
	}
	return img
}

// A SheetRow is a sample on a contact sheet, as original, anchor and positive.
type SheetRow struct {
	Caption  string
	Pictures []Picture
}

// A Sheet is a contact sheet: samples below each other, under the heads of
// their columns, and beside each other as far as a page is wide.
type Sheet struct {
	Title   string
	Columns []string
	Rows    []SheetRow
	Classes []string // of Marks, shown with their colours; nil: none
}

// Sizes in pixels.
const (
	smallCell = 192 // a multiple of 32, 48, 64 and 96
	largeCell = 224
	pageCells = 6 // pictures beside each other
	margin    = 24
	gap       = 12
	lineSkip  = 20 // from line to line of text
	maxPixels = 1 << 27
	maxRunes  = 1 << 9 // of a line of text; fewer fit
)

var (
	paper = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink   = color.RGBA{0x1f, 0x24, 0x2b, 0xff}
	faint = color.RGBA{0x6b, 0x72, 0x80, 0xff}
	hair  = color.RGBA{0xe2, 0xe5, 0xe9, 0xff}
	matte = color.RGBA{0xf4, 0xf5, 0xf7, 0xff} // around pictures that do not fill their cell
)

// faces are the fonts of one sheet. They hold scratch memory: two sheets that
// are drawn at once share none.
type faces struct{ title, head, plain font.Face }

func newFaces() (*faces, error) {
	bold, err1 := opentype.Parse(gobold.TTF)
	regular, err2 := opentype.Parse(goregular.TTF)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	face := func(f *opentype.Font, size float64) font.Face {
		face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
		err1 = errors.Join(err1, err)
		return face
	}
	f := &faces{title: face(bold, 17), head: face(bold, 13), plain: face(regular, 13)}
	return f, err1
}

// WriteFile writes the sheet as PNG, beside path first and then renamed.
func (s Sheet) WriteFile(path string) error {
	if err := replaceFile(osDisk{}, path, s.encode); err != nil {
		return fmt.Errorf("sink: write sheet: %s: %w", path, err)
	}
	return nil
}

// Encode writes the sheet as PNG.
func (s Sheet) Encode(w io.Writer) error {
	if err := s.encode(w); err != nil {
		return fmt.Errorf("sink: encode sheet: %w", err)
	}
	return nil
}

func (s Sheet) encode(w io.Writer) error {
	img, err := s.draw()
	if err != nil {
		return err
	}
	return png.Encode(w, img)
}

// check returns the number of columns and the side of a cell: large if a
// picture would otherwise lose pixels.
func (s Sheet) check() (columns, cell int, err error) {
	columns, cell = len(s.Columns), smallCell
	for i, row := range s.Rows {
		columns = max(columns, len(row.Pictures))
		for j, p := range row.Pictures {
			if p.W <= 0 || p.H <= 0 || len(p.Pix) != 3*p.W*p.H {
				return 0, 0, fmt.Errorf("row %d, picture %d: %d bytes for an image [%d,%d,3]", i, j, len(p.Pix), p.H, p.W)
			}
			if max(p.W, p.H) > smallCell {
				cell = largeCell
			}
		}
	}
	if columns == 0 || len(s.Rows) == 0 {
		return 0, 0, errors.New("nothing to show")
	}
	return columns, cell, nil
}

func (s Sheet) draw() (*image.RGBA, error) {
	columns, cell, err := s.check()
	if err != nil {
		return nil, err
	}
	top := margin + lineSkip + gap // of the first row
	if s.Title != "" {
		top += lineSkip + gap
	}
	if s.Classes != nil {
		top += lineSkip + gap
	}
	block := columns*cell + (columns-1)*gap // a sample
	abreast := min(len(s.Rows), max(1, pageCells/columns))
	across := block + margin         // from sample to sample
	down := lineSkip + cell + margin // from row to row
	lines := (len(s.Rows) + abreast - 1) / abreast
	width := margin + abreast*across
	height := top + lines*down
	if width*height > maxPixels {
		return nil, fmt.Errorf("%d rows make an image of %d x %d pixels, at most %d are supported", len(s.Rows), width, height, maxPixels)
	}
	fonts, err := newFaces()
	if err != nil {
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	fill(img, img.Bounds(), paper)

	if s.Title != "" {
		write(img, fonts.title, ink, margin, margin, width-2*margin, s.Title)
	}
	writeClasses(img, fonts.plain, s.Classes, margin, width-margin, top-2*(gap+lineSkip))
	for a := range abreast {
		for c, name := range s.Columns {
			write(img, fonts.head, ink, margin+a*across+c*(cell+gap), top-gap-lineSkip, cell, name)
		}
	}
	for r, row := range s.Rows {
		x, y := margin+r%abreast*across, top+r/abreast*down
		fill(img, image.Rect(x, y-gap/2, x+block, y-gap/2+1), hair)
		write(img, fonts.plain, faint, x, y, block, row.Caption)
		for c, p := range row.Pictures {
			x := x + c*(cell+gap)
			place(img, image.Rect(x, y+lineSkip, x+cell, y+lineSkip+cell), p)
		}
	}
	return img, nil
}

func fill(img *image.RGBA, r image.Rectangle, c color.Color) {
	draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
}

// place draws a picture into the middle of a cell. A small one is enlarged by a
// whole number, so that its pixels are seen as they are; a large one shrinks.
func place(img *image.RGBA, cell image.Rectangle, p Picture) {
	fill(img, cell, matte)
	p = p.shrunk()
	src, side := p.image(), cell.Dx()
	larger := side / max(p.W, p.H)
	w, h := larger*p.W, larger*p.H
	at := cell.Min.Add(image.Pt((side-w)/2, (side-h)/2))
	draw.NearestNeighbor.Scale(img, image.Rectangle{at, at.Add(image.Pt(w, h))}, src, src.Bounds(), draw.Src, nil)
}

// write sets a line of text whose upper left corner is (x, y). What does not
// fit into width is left out at the front, for the end of an id tells more.
func write(img *image.RGBA, face font.Face, c color.Color, x, y, width int, text string) {
	runes := []rune(text)
	if extra := len(runes) - maxRunes; extra > 0 { // nobody waits for a megabyte to be measured
		runes = runes[extra:]
		text = "…" + string(runes)
	}
	for cut := 1; font.MeasureString(face, text) > fixed.I(width) && cut < len(runes); cut++ {
		text = "…" + string(runes[cut:])
	}
	d := font.Drawer{Dst: img, Src: image.NewUniform(c), Face: face, Dot: fixed.Point26_6{X: fixed.I(x), Y: fixed.I(y) + face.Metrics().Ascent}}
	d.DrawString(text)
}
