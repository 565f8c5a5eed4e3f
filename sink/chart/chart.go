// Package chart draws the pictures of results as PNG or SVG: lines over a number and
// bars beside each other, with their deviations. It decides how they look; what
// they show is the caller's.
package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	"clpipe/sink"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

func colour(i int) color.Color { return sink.Palette[i%len(sink.Palette)] }

// A Line is a series of points, Err their deviations up and down (nil: none).
type Line struct {
	Name   string
	X, Y   []float64
	Err    []float64
	Dashed bool // a reference, such as a ceiling
	Plain  bool // without marks: many points
}

// A Panel is a diagram of lines.
type Panel struct {
	Title, XLabel, YLabel string
	Lines                 []Line
	LogX                  bool
	YMin, YMax            float64 // both 0: as the lines need
	Legend                bool    // the first panel has one in any case
}

// Bars is a diagram of groups of bars, a bar for each series.
type Bars struct {
	Title, YLabel string
	Groups        []string
	Series        []BarSeries
}

// A BarSeries has a value for every group, NaN where there is none, and its
// deviation.
type BarSeries struct {
	Name        string
	Values, Err []float64
}

// WritePanels draws panels in rows of so many columns, into a PNG.
func WritePanels(path string, panels []Panel, columns int) error {
	var img *vgimg.Canvas
	err := drawPanels(panels, columns, func(w, h vg.Length) vg.CanvasSizer {
		img = canvas(w, h)
		return img
	})
	if err != nil {
		return err
	}
	return write(path, img)
}

// SVG draws panels in rows of so many columns, as an svg element of HTML.
func SVG(panels []Panel, columns int) ([]byte, error) {
	var svg *vgsvg.Canvas
	err := drawPanels(panels, columns, func(w, h vg.Length) vg.CanvasSizer {
		svg = vgsvg.New(w, h)
		return svg
	})
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	if _, err := svg.WriteTo(&file); err != nil {
		return nil, fmt.Errorf("chart: svg: %w", err)
	}
	// HTML has no place for the XML declaration and the document type.
	svgElement := file.Bytes()[max(bytes.Index(file.Bytes(), []byte("<svg")), 0):]
	return bytes.ReplaceAll(svgElement, []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")), nil
}

// drawPanels draws on a canvas of the size they need.
func drawPanels(panels []Panel, columns int, newCanvas func(w, h vg.Length) vg.CanvasSizer) error {
	columns = min(columns, len(panels))
	rows := (len(panels) + columns - 1) / columns
	grid := make([][]*plot.Plot, rows)
	for r := range grid {
		grid[r] = make([]*plot.Plot, columns)
		for c := range columns {
			if at := r*columns + c; at < len(panels) {
				p, err := panels[at].plot(at == 0 || panels[at].Legend)
				if err != nil {
					return fmt.Errorf("chart: %s: %w", panels[at].Title, err)
				}
				grid[r][c] = p
			}
		}
	}
	paper := newCanvas(vg.Length(columns)*4.2*vg.Inch, vg.Length(rows)*3.3*vg.Inch)
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: vg.Points(14), PadY: vg.Points(14), PadTop: vg.Points(8), PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(12)}
	canvases := plot.Align(grid, tiles, draw.New(paper))
	for r := range grid {
		for c, p := range grid[r] {
			if p != nil {
				drawPlot(p, canvases[r][c])
			}
		}
	}
	return nil
}

func canvas(w, h vg.Length) *vgimg.Canvas {
	return vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(110), vgimg.UseBackgroundColor(color.White))
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(6)
	grid := plotter.NewGrid()
	faint := color.Gray{0xe4}
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	p.Add(grid)
	for _, text := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		text.Font.Variant = "Sans"
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(roundTicks), plot.TickerFunc(roundTicks)
	p.Legend.TextStyle.Font.Size, p.Legend.Padding = vg.Points(9), vg.Points(2)
	return p
}

// roundTicks returns three to seven ticks at multiples of 1, 2 or 5 times a power of ten.
func roundTicks(least, most float64) []plot.Tick {
	power := math.Floor(math.Log10((most - least) / 3))
	step := math.Pow10(int(power))
	for _, more := range []float64{5, 2} {
		if more*step <= (most-least)/3 {
			step *= more
			break
		}
	}
	format, digits := byte('f'), max(0, int(-power))
	if math.Abs(power) > 4 {
		format, digits = 'g', 3
	}
	var ticks []plot.Tick
	for i, first := 0.0, math.Ceil(least/step); (first+i)*step <= most && i < 9; i++ {
		value := (first + i) * step
		ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, format, digits, 64)})
	}
	return ticks
}

// drawPlot draws a plot, its legend with the names behind their marks wherever it stands: a
// viewer that lacks the font has wider letters, which would reach into marks behind them.
func drawPlot(p *plot.Plot, c draw.Canvas) {
	legend := p.Legend
	p.Legend = plot.NewLegend()
	p.Draw(c)
	area := p.DataCanvas(c)
	if r := legend.Rectangle(area); !legend.Left {
		legend.Left = true
		area.Min.X = area.Max.X - (r.Max.X-r.Min.X)*1.1
	}
	legend.Draw(area)
}

// plot draws the lines, with a legend or, where another panel has it, without.
func (d Panel) plot(legend bool) (*plot.Plot, error) {
	p := newPlot(d.Title, d.XLabel, d.YLabel)
	if d.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	named := 0
	for i, l := range d.Lines {
		points := make(plotter.XYs, len(l.X))
		for j := range l.X {
			points[j].X, points[j].Y = l.X[j], l.Y[j]
		}
		if len(points) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		line.Color, marks.Color, marks.Shape, marks.Radius = colour(i), colour(i), draw.CircleGlyph{}, vg.Points(2.2)
		line.Width = vg.Points(1.3)
		shown := []plot.Thumbnailer{line, marks}
		if l.Dashed {
			line.Color, line.Dashes = color.Gray{0x70}, []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line)
		if l.Dashed || l.Plain {
			shown = shown[:1]
		} else {
			p.Add(marks)
		}
		if l.Err != nil {
			errors := make(plotter.YErrors, len(l.Err))
			for j, e := range l.Err {
				errors[j].Low, errors[j].High = e, e
			}
			bars, err := plotter.NewYErrorBars(struct {
				plotter.XYs
				plotter.YErrors
			}{points, errors})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.Name, err)
			}
			bars.Color = colour(i)
			p.Add(bars)
		}
		if legend && l.Name != "" {
			p.Legend.Add(l.Name, shown...)
			named++
		}
	}
	if d.YMin != 0 || d.YMax != 0 {
		p.Y.Min, p.Y.Max = d.YMin, d.YMax
	}
	// The library makes room of 1 around a lone value, which beside a large one is none.
	if size := max(math.Abs(p.Y.Min), math.Abs(p.Y.Max)); size > 1e6 && !math.IsInf(size, 0) && p.Y.Max-p.Y.Min < 1e-6*size {
		p.Y.Min, p.Y.Max = p.Y.Min-size/2, p.Y.Max+size/2
	}
	p.Legend.Top, p.Legend.Left = d.clearest(p, named)
	return p, nil
}

// clearest returns the corner in which a legend of so many names hides least of
// the lines: the first of those that are alike, from top left to bottom right.
func (d Panel) clearest(p *plot.Plot, names int) (top, left bool) {
	wide, high := 0.42, 0.05+0.08*float64(names) // shares of the panel
	least := math.MaxInt
	for _, at := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
		hidden := 0
		for _, l := range d.Lines {
			l.each(func(x, y float64) {
				x, y = p.X.Norm(x), p.Y.Norm(y)
				if at[0] {
					y = 1 - y
				}
				if !at[1] {
					x = 1 - x
				}
				if x < wide && y < high {
					hidden++
				}
			})
		}
		if hidden < least {
			least, top, left = hidden, at[0], at[1]
		}
	}
	return top, left
}

// each calls f with places on the line and on its deviations.
func (l Line) each(f func(x, y float64)) {
	const between = 8 // places from a point to the next
	for i, x := range l.X {
		y := l.Y[i]
		f(x, y)
		if l.Err != nil {
			f(x, y-l.Err[i])
			f(x, y+l.Err[i])
		}
		for k := 1; k < between && i+1 < len(l.X); k++ {
			part := float64(k) / between
			f(x+part*(l.X[i+1]-x), y+part*(l.Y[i+1]-y))
		}
	}
}

// barGroups is the most groups beside each other: more go into further rows.
const barGroups = 8

// WriteBars draws bars, in rows of one scale, and below them what the colours stand for.
func WriteBars(path string, d Bars) error {
	rows := max((len(d.Groups)+barGroups-1)/barGroups, 1)
	columns := max((len(d.Groups)+rows-1)/rows, 1)
	grid, top := make([][]*plot.Plot, rows), 0.0
	for r := range rows {
		p, err := d.plot(r*columns, columns)
		if err != nil {
			return err
		}
		grid[r] = []*plot.Plot{p}
	}
	grid[0][0].Title.Text = d.Title
	for _, s := range d.Series {
		for g, v := range s.Values {
			if !math.IsNaN(v) {
				top = max(top, v+s.Err[g])
			}
		}
	}
	if top == 0 { // an axis needs a length
		top = 1
	}
	for _, row := range grid {
		row[0].Y.Min, row[0].Y.Max = 0, top*1.05
	}
	const names = 24 // points that they take
	img := canvas(vg.Length(max(columns, 3))*100+vg.Points(80), vg.Length(rows)*3.4*vg.Inch+names)
	paper := draw.New(img)
	tiles := draw.Tiles{Rows: rows, Cols: 1, PadTop: vg.Points(4), PadY: vg.Points(10), PadRight: vg.Points(6)}
	for r, row := range plot.Align(grid, tiles, draw.Crop(paper, 0, 0, names, 0)) {
		grid[r][0].Draw(row[0])
	}
	d.drawNames(draw.Crop(paper, 0, 0, vg.Points(4), names-paper.Max.Y))
	return write(path, img)
}

// drawNames draws the names of the series beside each other, each behind its colour.
func (d Bars) drawNames(c draw.Canvas) {
	const apart = 16
	legends, wide := make([]plot.Legend, len(d.Series)), vg.Length(0)
	width := func(l plot.Legend) vg.Length { return l.Rectangle(c).Size().X + apart }
	for i, s := range d.Series {
		l := newPlot("", "", "").Legend
		l.Left = true
		l.Add(s.Name, &plotter.BarChart{Color: colour(i)})
		legends[i], wide = l, wide+width(l)
	}
	c.Min.X += (c.Max.X - c.Min.X - wide + apart) / 2
	for _, l := range legends {
		l.Draw(c)
		c.Min.X += width(l)
	}
}

// plot draws a row of so many groups from a number on; there may be fewer.
func (d Bars) plot(from, columns int) (*plot.Plot, error) {
	p := newPlot("", "", d.YLabel)
	width := vg.Points(64 / float64(max(len(d.Series), 1)))
	groups := d.Groups[min(from, len(d.Groups)):min(from+columns, len(d.Groups))]
	for i, s := range d.Series {
		values, points, errors := plotter.Values{}, plotter.XYs{}, plotter.YErrors{}
		// In the units of the axis a group is 1 wide, 80 points drawn.
		shift := (float64(i) - float64(len(d.Series)-1)/2) * float64(width)
		for g := range groups {
			v, e := s.Values[from+g], s.Err[from+g]
			if math.IsNaN(v) {
				v = 0
			}
			values = append(values, v)
			if e > 0 {
				points = append(points, plotter.XY{X: float64(g), Y: v})
				errors = append(errors, struct{ Low, High float64 }{e, e})
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, fmt.Errorf("chart: %s: %w", s.Name, err)
		}
		bars.Color, bars.Offset, bars.LineStyle.Width = colour(i), vg.Length(shift), 0
		p.Add(bars)
		if len(points) > 0 {
			whiskers, err := plotter.NewYErrorBars(struct {
				plotter.XYs
				plotter.YErrors
			}{points, errors})
			if err != nil {
				return nil, fmt.Errorf("chart: %s: %w", s.Name, err)
			}
			whiskers.CapWidth = width / 2
			p.Add(shifted{whiskers, vg.Length(shift)})
		}
	}
	lines := make([]string, len(groups))
	for i, name := range groups {
		lines[i] = wrapped(name)
	}
	p.NominalX(lines...)
	p.X.Min, p.X.Max = -0.5, float64(columns)-0.5
	return p, nil
}

// wrapped breaks a group's name into lines that have room below its bars.
func wrapped(name string) string {
	const wide = 12
	var text strings.Builder
	at := 0
	for i, word := range strings.Fields(name) {
		switch {
		case i == 0:
		case at+1+len(word) > wide:
			text.WriteByte('\n')
			at = 0
		default:
			text.WriteByte(' ')
			at++
		}
		text.WriteString(word)
		at += len(word)
	}
	return text.String()
}

// shifted draws a plotter to the side, as bars beside each other are.
type shifted struct {
	plot.Plotter
	by vg.Length
}

func (s shifted) Plot(c draw.Canvas, p *plot.Plot) {
	c.Min.X += s.by
	c.Max.X += s.by
	s.Plotter.Plot(c, p)
}

// write puts the picture at path, whole or not at all.
func write(path string, img *vgimg.Canvas) error {
	return sink.Replace(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: img}.WriteTo(w)
		return err
	})
}
