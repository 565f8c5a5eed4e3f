package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"clpipe/augment"
	"clpipe/encoder/detect"
	"clpipe/ingest/voc"
)

func TestSetsAreNamedBehindAColon(t *testing.T) {
	for name, want := range map[string][2]string{
		"voc":                {"voc", "test"},
		"voc/":               {"voc/", "test"},
		"voc:val":            {"voc", "val"},
		"voc:":               {"voc", ""},
		"/data/a:b/voc":      {"/data/a:b/voc", "test"},
		"/data/a:b/voc:2007": {"/data/a:b/voc", "2007"},
		`C:\data\voc`:        {`C:\data\voc`, "test"},
	} {
		if dir, set := splitSet(name, "test"); dir != want[0] || set != want[1] {
			t.Errorf("%s: %q and %q, want %q", name, dir, set, want)
		}
	}
}

func objects(boxes ...voc.Box) *objectSet {
	s := &objectSet{images: []voc.Image{{Name: "a", Width: 100, Height: 50}}, place: map[string]int{"a": 0}, classes: []string{"cat", "dog"}}
	for i, b := range boxes {
		s.images[0].Objects = append(s.images[0].Objects, voc.Object{Class: s.classes[i%2], Box: b, Difficult: i == 2})
	}
	return s
}

// An object belongs to a view that its centre lies in, and what juts out is cut off.
func TestObjectsOfAView(t *testing.T) {
	s := objects(voc.Box{10, 10, 30, 30}, voc.Box{40, 0, 70, 20}, voc.Box{0, 40, 60, 50}, voc.Box{0, 0, 18, 50})
	policy, err := augment.Parse("crop", []byte("name: crop\nanchor:\n  - {op: crop, box: [10, 5, 50, 40]}\n  - {op: resize, size: [80, 80]}\n  - {op: horizontal_flip}\n"), 80)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.inView(policy, augment.SampleKey{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	// 50 pixels become 80 across, 40 become 80 down; the centre of the last but one is
	// at (30, 45), one row below the crop, and that of the last at (9, 25).
	want := []detect.Truth{{Class: 0, Box: detect.Box{48, 10, 80, 50}}, {Class: 1, Box: detect.Box{0, 0, 32, 30}}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	back, err := s.restore(policy, "a", []detect.Detection{{Class: 0, Score: 0.5, Box: detect.Box{48, 10, 80, 50}}, {Class: 1, Score: 0.25, Box: detect.Box{-900, -900, 900, 900}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []detect.Box{{10, 10, 30, 30}, {0, 0, 100, 50}} {
		for k := range want {
			if math.Abs(back[i].Box[k]-want[k]) > 1e-9 {
				t.Errorf("restored to %v, want %v", back[i].Box, want)
			}
		}
	}
	if _, err := s.inView(policy, augment.SampleKey{ID: "b"}); err == nil {
		t.Error("an image that is not of the set: no error")
	}
}

// Half of the views to learn from are mirrored: those to find objects in are not.
func TestHalfOfTheViewsAreMirrored(t *testing.T) {
	policy, err := (&detectFlags{size: 64}).trainPolicy(false)
	if err != nil {
		t.Fatal(err)
	}
	const views = 400
	mirrored := 0
	for epoch := range uint32(views) {
		at, err := policy.Placement(100, 80, augment.SampleKey{Seed: 1, Epoch: epoch, ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if at.X.Scale < 0 {
			mirrored++
		}
	}
	if mirrored < views*4/10 || mirrored > views*6/10 {
		t.Errorf("%d of %d views are mirrored, want about half", mirrored, views)
	}
}

// Nothing is found where no part of the image is.
func TestBoxesWithoutAnAreaAreNotFound(t *testing.T) {
	s := objects()
	policy, err := augment.Parse("whole", []byte("name: whole\nanchor:\n  - {op: resize, size: [100, 100]}\n"), 100)
	if err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	for _, b := range []detect.Box{{5, 5, 5, 9}, {100, 5, 130, 9}, {5, -9, 9, 0}, {nan, 0, 9, 9}, {5, 5, 9, nan}} {
		if got, err := s.restore(policy, "a", []detect.Detection{{Box: b}}); err != nil || len(got) > 0 {
			t.Errorf("%v: found %v, %v", b, got, err)
		}
	}
}

func TestDetectionsInVOCsForm(t *testing.T) {
	s := objects()
	found := [][]detect.Detection{{{Class: 1, Score: 0.75, Box: detect.Box{0, 4.5, 10, 20}}, {Class: 0, Score: 0.5}}}
	if got, want := string(s.vocLines(1, found)), "a 0.750000 1.00 5.50 10.00 20.00\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFileNames(t *testing.T) {
	var got []string
	for _, class := range []string{"traffic light", "a/b", "a_b", "A_B", `c:\*?"<>|`, "ä\n", strings.Repeat("ß", 60)} {
		got = append(got, fileName(class, got))
	}
	want := []string{"traffic light", "a_b", "a_b_", "A_B__", "c________", "ä_", strings.Repeat("ß", 50)}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
