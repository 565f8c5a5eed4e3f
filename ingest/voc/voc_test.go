package voc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write makes a data set of files, by their paths below its folder.
func write(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// object is an object's element, box is its xmin, ymin, xmax and ymax.
func object(class, box string) string {
	b := strings.Fields(box)
	return fmt.Sprintf("<object><name>%s</name><bndbox><xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax></bndbox></object>", class, b[0], b[1], b[2], b[3])
}

// annotated is the text of an annotation of an image of 100x80.
func annotated(elements ...string) string {
	return "<annotation>\n<size><width>100</width><height>80</height></size>\n" + strings.Join(elements, "\n") + "\n</annotation>\n"
}

func TestLoad(t *testing.T) {
	dir := write(t, map[string]string{
		"ImageSets/Main/test.txt":     "b\n\n a \r\n",
		"ImageSets/Main/cat_test.txt": "a  1\nspaced -1\nspaced 1\n",
		"ImageSets/Main/marked.txt":   "\ufeffa\n",
		"Annotations/a.xml": `<?xml version="1.0" encoding="us-ascii"?>
<annotation>
	<filename>of another name.jpg</filename>
	<path>/home/somebody/else.jpg</path>
	<object>
		<name> person </name><pose>Left</pose><truncated>1</truncated><difficult>1</difficult>
		<part><name>head</name><bndbox><xmin>11</xmin><ymin>12</ymin><xmax>13</xmax><ymax>14</ymax></bndbox></part>
		<bndbox><xmax>20.5</xmax><xmin>11.25</xmin><ymin>12</ymin><ymax>40</ymax></bndbox>
		<part><name>foot</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></part>
	</object>
	<size><width>100</width><height>80</height><depth>3</depth></size>
	<segmented>0</segmented>
	<object><name>cat</name><difficult>0</difficult><bndbox><xmin>-3</xmin><ymin>0</ymin><xmax>101</xmax><ymax>90</ymax></bndbox></object>
	<object><name>dot</name><difficult>Unspecified</difficult><bndbox><xmin>1</xmin><ymin>80</ymin><xmax>1</xmax><ymax>80</ymax></bndbox></object>
</annotation>`,
		"JPEGImages/a.jpg":           "",
		"Annotations/b.xml":          `<annotation><filename>c:\sets\B of before.png</filename><size><width>0</width><height>0</height></size>` + object("cat", "5 6 7 999") + `</annotation>`,
		"JPEGImages/B of before.png": "",
		"Annotations/spaced 1.xml":   "<annotation/>",
		"JPEGImages/spaced 1.JPEG":   "",
		"Annotations/spaced.xml":     "<annotation><size><width>7</width></size></annotation>",
		"JPEGImages/spaced.png":      "",
		"Annotations/._a.xml":        "another program's",
	})
	image := func(file string) string { return filepath.Join(dir, "JPEGImages", file) }
	a := Image{Name: "a", Path: image("a.jpg"), Width: 100, Height: 80, Objects: []Object{
		{Class: "person", Box: Box{10.25, 11, 20.5, 40}, Difficult: true},
		{Class: "cat", Box: Box{0, 0, 100, 80}},
		{Class: "dot", Box: Box{0, 79, 1, 80}},
	}}
	b := Image{Name: "b", Path: image("B of before.png"), Objects: []Object{{Class: "cat", Box: Box{4, 5, 7, 999}}}}
	spaced1 := Image{Name: "spaced 1", Path: image("spaced 1.JPEG")}
	spaced := Image{Name: "spaced", Path: image("spaced.png")}
	for set, want := range map[string][]Image{
		"test":     {b, a},
		"cat_test": {a, spaced, spaced1},
		"marked":   {a},
		"":         {a, b, spaced, spaced1},
	} {
		got, err := Load(dir, set)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("set %q: got %+v, %v; want %+v", set, got, err, want)
		}
	}
}

func TestLoadProblems(t *testing.T) {
	good := map[string]string{
		"ImageSets/Main/good.txt":    "good\n",
		"ImageSets/Main/twice.txt":   "good\n\ngood\n",
		"ImageSets/Main/empty.txt":   "\n \n",
		"ImageSets/Main/outside.txt": "../JPEGImages/good\n",
		"ImageSets/Main/long.txt":    "good\n" + strings.Repeat("x", 1<<17),
		"ImageSets/Main/lost.txt":    "good\nlost\n",
		"Annotations/good.xml":       annotated(object("cat", "1 1 5 5")),
		"JPEGImages/good.jpg":        "",
	}
	for name, c := range map[string]struct {
		set   string
		files map[string]string
		want  []string
	}{
		"no data set":       {"good", map[string]string{"a.jpg": ""}, []string{"not a data set in PASCAL VOC's form", "no folder Annotations"}},
		"no annotations":    {"", map[string]string{"Annotations/a.txt": ""}, []string{"Annotations holds no .xml file"}},
		"no sets":           {"train", map[string]string{"Annotations/a.xml": ""}, []string{`no set "train"`, "holds no lists"}},
		"another set":       {"train", good, []string{`no set "train"`, "want empty, good, long, lost, outside or twice"}},
		"a set elsewhere":   {"../../Annotations/good", good, []string{"no set", "want empty, good"}},
		"an empty set":      {"empty", good, []string{"empty.txt names no image"}},
		"a name twice":      {"twice", good, []string{"twice.txt:3:", `"good" stands in line 1 already`}},
		"a name elsewhere":  {"outside", good, []string{"outside.txt:1:", "leads out of Annotations"}},
		"no list":           {"long", good, []string{"long.txt: line 2:", "too long"}},
		"a lost annotation": {"lost", good, []string{"there is no annotation", "lost.xml"}},
		"no image": {"", map[string]string{"Annotations/a.xml": annotated("<filename>b.gif</filename>"), "JPEGImages/a.gif": ""},
			[]string{"a.xml: there is no image", "a with the ending .jpg, .jpeg, .png or .webp", `nor is the <filename> "b.gif" there`}},
		"a filename elsewhere": {"", map[string]string{"Annotations/a.xml": annotated("<filename>..</filename>"), "JPEGImages/b.jpg": ""}, []string{"there is no image"}},
	} {
		t.Run(name, func(t *testing.T) {
			images, err := Load(write(t, c.files), c.set)
			if err == nil {
				t.Fatalf("got %+v, want an error", images)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
}

func TestParseProblems(t *testing.T) {
	for text, want := range map[string]string{
		"": "1: the file holds no element, want <annotation>",
		"<annotation>\n<object>\n<name>cat</name>\n":                                                                         "4: damaged: unexpected EOF",
		"<annotation>\n<object>\n</annotation>":                                                                              "3: damaged: element <object> closed by </annotation>",
		"text\n<labels></labels>":                                                                                            "2: <labels>, want <annotation>",
		`<?xml version="1.0" encoding="gb2312"?><annotation/>`:                                                               `the encoding is "gb2312", want UTF-8: convert the file`,
		annotated("<object><bndbox/></object>"):                                                                              "3: object 1: it has no <name>",
		annotated(object("cat", "1 1 5 5"), "<object><name>dog</name></object>"):                                             `4: object 2: "dog" has 0 elements <bndbox>, want one`,
		annotated("<object><name>cat</name><bndbox/><bndbox/></object>"):                                                     `"cat" has 2 elements <bndbox>, want one`,
		annotated("<object><name>cat</name><bndbox/></object>"):                                                              `"cat": <xmin> is missing`,
		annotated("<object><name>cat</name><difficult>2</difficult>" + object("", "1 1 5 5")[len("<object><name></name>"):]): `<difficult> is "2", want 0 or 1`,
		annotated(object("cat", "1 one 5 5")):                                                                                `<ymin> is "one", want a number of pixels`,
		annotated(object("cat", "1 1 NaN 5")):                                                                                `<xmax> is "NaN", want a number of pixels`,
		annotated(object("cat", "1 1 5 Inf")):                                                                                `<ymax> is Inf, want at most 1048576 pixels`,
		annotated(object("cat", "6 1 5 5")):                                                                                  `the box from (6, 1) to (5, 5) ends before it begins`,
		annotated(object("cat", "1 5.5 5 5.25")):                                                                             `the box from (1, 5.5) to (5, 5.25) ends before it begins`,
		annotated(object("cat", "101 1 105 5")):                                                                              `the box from (101, 1) to (105, 5) lies outside of the image of 100x80`,
		annotated(object("cat", "0 0 0 5")):                                                                                  `lies outside`,
		"<annotation>" + object("cat", "-5 1 -1 5") + "</annotation>":                                                        `the box from (-5, 1) to (-1, 5) lies outside of the image:`,
		"<annotation>\n<size><width>a</width><height>1</height></size></annotation>":                                         `2: <width> is "a", want a number of pixels`,
	} {
		if a, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v; want an error with %q in it", text, a, err, want)
		}
	}
}

// A set of which much is wrong gives an error that can be read.
func TestErrorsAreFew(t *testing.T) {
	files := map[string]string{}
	for i := range 100 {
		name := fmt.Sprintf("%03d", i)
		files["JPEGImages/"+name+".jpg"] = ""
		files["Annotations/"+name+".xml"] = annotated(object("cat", "1 1 5 5"))
		if i%2 == 1 {
			files["Annotations/"+name+".xml"] = "<annotation>\n"
		}
	}
	_, err := Load(write(t, files), "")
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != mostErrors+1 || !strings.Contains(lines[0], "001.xml:2: damaged") || lines[mostErrors] != "voc: and 45 more of 100 images" {
		t.Errorf("got %q, want %d images, 001 first, and a count of the others", lines, mostErrors)
	}
}

func TestAnnotationsAreBounded(t *testing.T) {
	dir := write(t, map[string]string{"Annotations/a.xml": "<annotation>", "JPEGImages/a.jpg": ""})
	if err := os.Truncate(filepath.Join(dir, "Annotations", "a.xml"), maxAnnotationBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, ""); err == nil || !strings.Contains(err.Error(), "not the annotation of an image") {
		t.Errorf("got %v, want that the file is too long", err)
	}
}

// TestBCCD reads a set that people labelled with a tool: blood cells, by
// Shenggan and Cosmic Fish (github.com/Shenggan/BCCD_Dataset).
func TestBCCD(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "bccd")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not there", dir)
	}
	for set, want := range map[string]int{"": 364, "trainval": 292, "test": 72} {
		images, err := Load(dir, set)
		if err != nil {
			t.Fatal(err)
		}
		if len(images) != want {
			t.Errorf("set %q: got %d images, want %d", set, len(images), want)
		}
		if set != "" {
			continue
		}
		objects, classes := 0, map[string]bool{}
		for _, image := range images {
			objects += len(image.Objects)
			for _, o := range image.Objects {
				classes[o.Class] = true
			}
		}
		if objects != 4888 || len(classes) != 3 {
			t.Errorf("got %d objects of the classes %v, want 4888 of three", objects, classes)
		}
	}
}

// FuzzParse wants no panic, and of what is read boxes that lie in their image.
func FuzzParse(f *testing.F) {
	f.Add([]byte(annotated(object("cat", "1 1 5.5 5"), object("dog", "90 70 120 80"))))
	f.Add([]byte(annotated("<object><name>cat</name><part><name>head</name></part><bndbox/></object>")))
	f.Add([]byte(`<?xml version="1.0" encoding="us-ascii"?><annotation>` + object("a", "1e3 2 0x1p11 Inf") + "</annotation>"))
	f.Add([]byte("<annotation><object><object><object>"))
	f.Add([]byte("<annotation><size><width>1</width></size><size/></annotation>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parse(text)
		if err != nil {
			return
		}
		for _, o := range a.objects {
			b := o.Box
			if o.Class == "" || !(0 <= b[0] && b[0] < b[2] && b[2] <= maxSide) || !(0 <= b[1] && b[1] < b[3] && b[3] <= maxSide) {
				t.Fatalf("got %+v", o)
			}
			if a.width > 0 && (b[2] > float64(a.width) || b[3] > float64(a.height)) {
				t.Fatalf("got %+v in %dx%d", o, a.width, a.height)
			}
		}
	})
}
