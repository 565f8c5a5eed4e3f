package voc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
)

// maxAnnotationBytes bounds an annotation: some ten thousand objects.
const maxAnnotationBytes = 16 << 20

// maxSide bounds coordinates and sizes, in pixels. No image is as large.
const maxSide = 1 << 20

// annotation is what an XML file says.
type annotation struct {
	filename      string
	width, height int
	objects       []Object
}

// readAnnotation reads a file. Its errors name the file and the line.
func readAnnotation(path string) (annotation, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return annotation{}, fmt.Errorf("there is no annotation %s: want one for each image of the set, or the name taken out of the set's list", path)
	}
	if err != nil {
		return annotation{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxAnnotationBytes+1))
	if err != nil {
		return annotation{}, err
	}
	if len(text) > maxAnnotationBytes {
		return annotation{}, fmt.Errorf("%s: more than %d bytes: it is not the annotation of an image", path, maxAnnotationBytes)
	}
	a, err := parse(text)
	if err != nil {
		return annotation{}, fmt.Errorf("%s:%w", path, err)
	}
	return a, nil
}

// xmlSize and xmlObject are elements of an annotation as they stand there. Only
// children count: the parts of a person's body are objects in an object, with
// names and boxes of their own.
type xmlSize struct {
	Width  string `xml:"width"`
	Height string `xml:"height"`
}

type xmlObject struct {
	Name      string   `xml:"name"`
	Difficult string   `xml:"difficult"`
	Boxes     []xmlBox `xml:"bndbox"`
}

type xmlBox struct {
	XMin string `xml:"xmin"`
	YMin string `xml:"ymin"`
	XMax string `xml:"xmax"`
	YMax string `xml:"ymax"`
}

// parse reads an annotation's text. Its errors begin with the number of the line.
func parse(text []byte) (annotation, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = charset
	var (
		a        annotation
		objects  []xmlObject
		lines    []int // of the objects
		inside   bool  // of the root element
		complete bool  // the root element has ended
	)
	for !complete {
		token, err := d.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the file holds no element, want <annotation>")
			}
			return annotation{}, atLine(d, err)
		}
		switch t := token.(type) {
		case xml.EndElement: // of the root, since children are read whole
			complete = true
		case xml.StartElement:
			line, _ := d.InputPos()
			if !inside {
				if t.Name.Local != "annotation" {
					return annotation{}, fmt.Errorf("%d: <%s>, want <annotation>, as PASCAL VOC has it", line, t.Name.Local)
				}
				inside = true
				continue
			}
			switch t.Name.Local {
			case "filename":
				var name string
				err = d.DecodeElement(&name, &t)
				a.filename = strings.TrimSpace(name)
			case "size":
				var s xmlSize
				if err = d.DecodeElement(&s, &t); err == nil {
					if a.width, a.height, err = s.read(); err != nil {
						return annotation{}, fmt.Errorf("%d: %w", line, err)
					}
				}
			case "object":
				var o xmlObject
				err = d.DecodeElement(&o, &t)
				objects, lines = append(objects, o), append(lines, line)
			default:
				err = d.Skip()
			}
			if err != nil {
				return annotation{}, atLine(d, err)
			}
		}
	}
	// The size may stand behind the objects that it bounds.
	for i, o := range objects {
		object, err := o.read(a.width, a.height)
		if err != nil {
			return annotation{}, fmt.Errorf("%d: object %d: %w", lines[i], i+1, err)
		}
		a.objects = append(a.objects, object)
	}
	return a, nil
}

// atLine sets the line before an error of the decoder.
func atLine(d *xml.Decoder, err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%d: damaged: %s", syntax.Line, syntax.Msg)
	}
	line, _ := d.InputPos()
	return fmt.Errorf("%d: %w", line, err)
}

// charset reads what is ASCII by another name.
func charset(name string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "ascii", "us-ascii":
		return r, nil
	}
	return nil, fmt.Errorf("the encoding is %q, want UTF-8: convert the file, as by iconv -f %s -t UTF-8", name, name)
}

// read returns width and height, 0 if the image's size is not told: some tools
// leave it out or write 0.
func (s xmlSize) read() (width, height int, err error) {
	if strings.TrimSpace(s.Width) == "" || strings.TrimSpace(s.Height) == "" {
		return 0, 0, nil
	}
	w, err := number("width", s.Width)
	if err != nil {
		return 0, 0, err
	}
	h, err := number("height", s.Height)
	if err != nil {
		return 0, 0, err
	}
	if w < 1 || h < 1 {
		return 0, 0, nil
	}
	return int(w), int(h), nil
}

// read returns an object of an image of a size, 0 if that is not known.
func (o xmlObject) read(width, height int) (Object, error) {
	object := Object{Class: strings.TrimSpace(o.Name)}
	if object.Class == "" {
		return Object{}, errors.New("it has no <name>, want that of its class")
	}
	if len(o.Boxes) != 1 {
		return Object{}, fmt.Errorf("%q has %d elements <bndbox>, want one", object.Class, len(o.Boxes))
	}
	var err error
	if object.Box, err = o.Boxes[0].read(width, height); err != nil {
		return Object{}, fmt.Errorf("%q: %w", object.Class, err)
	}
	switch d := strings.TrimSpace(o.Difficult); d {
	case "", "Unspecified": // what nobody was asked about
	default:
		if object.Difficult, err = strconv.ParseBool(d); err != nil {
			return Object{}, fmt.Errorf("%q: <difficult> is %q, want 0 or 1", object.Class, d)
		}
	}
	return object, nil
}

// read returns the box, without what of it lies outside of an image of a size.
func (b xmlBox) read(width, height int) (Box, error) {
	var at [4]float64
	for i, side := range []struct{ name, text string }{{"xmin", b.XMin}, {"ymin", b.YMin}, {"xmax", b.XMax}, {"ymax", b.YMax}} {
		var err error
		if at[i], err = number(side.name, side.text); err != nil {
			return Box{}, err
		}
	}
	xmin, ymin, xmax, ymax := at[0], at[1], at[2], at[3]
	if xmin > xmax || ymin > ymax {
		return Box{}, fmt.Errorf("the box from (%g, %g) to (%g, %g) ends before it begins: want xmin up to xmax and ymin up to ymax", xmin, ymin, xmax, ymax)
	}
	right, bottom := math.Inf(1), math.Inf(1)
	if width > 0 {
		right, bottom = float64(width), float64(height)
	}
	box := Box{max(xmin-1, 0), max(ymin-1, 0), min(xmax, right), min(ymax, bottom)}
	if box[0] >= box[2] || box[1] >= box[3] {
		size := "the image"
		if width > 0 {
			size = fmt.Sprintf("the image of %dx%d", width, height)
		}
		return Box{}, fmt.Errorf("the box from (%g, %g) to (%g, %g) lies outside of %s: correct it, or <size>, or take the object out", xmin, ymin, xmax, ymax, size)
	}
	return box, nil
}

// number reads a number of pixels. Some tools write fractions.
func number(name, text string) (float64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, fmt.Errorf("<%s> is missing", name)
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) {
		return 0, fmt.Errorf("<%s> is %q, want a number of pixels", name, text)
	}
	if math.Abs(x) > maxSide {
		return 0, fmt.Errorf("<%s> is %s, want at most %d pixels", name, text, maxSide)
	}
	return x, nil
}
