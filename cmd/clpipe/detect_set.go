package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/encoder/detect"
	"clpipe/ingest/voc"
	"clpipe/internal/imagecodec"
)

// An objectSet is images with the objects in them.
type objectSet struct {
	images  []voc.Image // with the size that their files have
	place   map[string]int
	classes []string // by number; those of the training set
}

// loadObjects reads data sets, each FOLDER or FOLDER:SET. Those to test on have the
// classes of the set that was trained on, of which no image may be among them.
func loadObjects(names []string, usual string, trained *objectSet) (*objectSet, error) {
	s := &objectSet{place: map[string]int{}}
	for _, name := range names {
		dir, set := splitSet(name, usual)
		images, err := voc.Load(dir, set)
		if err != nil {
			return nil, err
		}
		if len(images) == 0 {
			return nil, fmt.Errorf("%s: the set %q holds no images", dir, set)
		}
		for _, im := range images {
			if _, twice := s.place[im.Name]; twice {
				return nil, usagef("the image %s occurs twice in %s: name sets that have none in common", im.Name, strings.Join(names, " and "))
			}
			if trained != nil {
				if _, known := trained.place[im.Name]; known {
					return nil, usagef("the image %s of %s is among those to learn from: test on others", im.Name, name)
				}
			}
			if err := takeSize(&im); err != nil {
				return nil, err
			}
			s.place[im.Name] = len(s.images)
			s.images = append(s.images, im)
			for _, o := range im.Objects {
				if !slices.Contains(s.classes, o.Class) {
					s.classes = append(s.classes, o.Class)
				}
			}
		}
	}
	slices.Sort(s.classes)
	if trained == nil {
		if len(s.classes) == 0 {
			return nil, fmt.Errorf("%s: no image has an object", strings.Join(names, " and "))
		}
		return s, nil
	}
	for _, class := range s.classes {
		if !slices.Contains(trained.classes, class) {
			return nil, usagef("the test images have objects %q, those to learn from have none: they know %s", class, strings.Join(trained.classes, ", "))
		}
	}
	for _, im := range s.images {
		if slices.ContainsFunc(im.Objects, func(o voc.Object) bool { return !o.Difficult }) {
			s.classes = trained.classes
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s: no image has an object that is not difficult: there is nothing to find", strings.Join(names, " and "))
}

// splitSet takes FOLDER:SET apart. A colon in front of a folder is part of a path.
func splitSet(name, usual string) (dir, set string) {
	at := strings.LastIndexByte(name, ':')
	if at < 0 || strings.ContainsAny(name[at:], `/\`) {
		return name, usual
	}
	return name[:at], name[at+1:]
}

// takeSize gives an image the size of its file, which boxes are in. An annotation that
// has another one is of another image, or of one that was scaled or turned since.
func takeSize(im *voc.Image) error {
	file, err := os.ReadFile(im.Path)
	if err != nil {
		return err
	}
	info, err := imagecodec.ReadInfo(file)
	if err != nil {
		return nil // it is rejected when it is decoded
	}
	if im.Width > 0 && (im.Width != info.W || im.Height != info.H) {
		return fmt.Errorf("%s has %d×%d pixels, its annotation says %d×%d: the boxes do not fit; annotate it again, or leave it out of the set", im.Path, info.W, info.H, im.Width, im.Height)
	}
	if im.Width == 0 { // boxes are cut at a border that the annotation gives
		for i := range im.Objects {
			b := &im.Objects[i].Box
			b[2], b[3] = min(b[2], float64(info.W)), min(b[3], float64(info.H))
			if b[0] >= b[2] || b[1] >= b[3] {
				return fmt.Errorf("%s has %d×%d pixels, one of its boxes lies outside: annotate it again, or leave it out of the set", im.Path, info.W, info.H)
			}
		}
	}
	im.Width, im.Height = info.W, info.H
	return nil
}

func (s *objectSet) row(i int) batch.Row { return batch.Row{ID: s.images[i].Name, Index: uint64(i)} }

func (s *objectSet) file(i int) ([]byte, error) { return os.ReadFile(s.images[i].Path) }

// placement returns where a view of an image lies in it.
func (s *objectSet) placement(policy *augment.Policy, key augment.SampleKey) (voc.Image, augment.Placement, error) {
	i, ok := s.place[key.ID]
	if !ok {
		return voc.Image{}, augment.Placement{}, fmt.Errorf("there is no image %q in the set", key.ID)
	}
	im := s.images[i]
	at, err := policy.Placement(im.Width, im.Height, key)
	return im, at, err
}

// inView returns the objects of an image whose centre lies in a view of it, cut at the
// view's border.
func (s *objectSet) inView(policy *augment.Policy, key augment.SampleKey) ([]detect.Truth, error) {
	im, at, err := s.placement(policy, key)
	if err != nil {
		return nil, err
	}
	side := float64(policy.Size())
	var out []detect.Truth
	for _, o := range im.Objects {
		b := at.Place(o.Box)
		if x, y := (b[0]+b[2])/2, (b[1]+b[3])/2; x < 0 || y < 0 || x >= side || y >= side {
			continue
		}
		for k := range b {
			b[k] = min(max(b[k], 0), side)
		}
		out = append(out, detect.Truth{Class: slices.Index(s.classes, o.Class), Box: b, Difficult: o.Difficult})
	}
	return out, nil
}

// restore returns objects that were found in a view where they are in the image.
func (s *objectSet) restore(policy *augment.Policy, id string, objects []detect.Detection) ([]detect.Detection, error) {
	im, at, err := s.placement(policy, augment.SampleKey{ID: id})
	if err != nil {
		return nil, err
	}
	out := make([]detect.Detection, len(objects)) // not nil: the image was looked at
	for i, d := range objects {
		d.Box = at.Restore(d.Box)
		for k, most := range [4]int{im.Width, im.Height, im.Width, im.Height} {
			d.Box[k] = min(max(d.Box[k], 0), float64(most))
		}
		out[i] = d
	}
	return out, nil
}

// judged returns truths and detections of the images that could be read.
func (s *objectSet) judged(found [][]detect.Detection) (truths [][]detect.Truth, detections [][]detect.Detection) {
	for i, im := range s.images {
		if found[i] == nil {
			continue
		}
		var of []detect.Truth
		for _, o := range im.Objects {
			of = append(of, detect.Truth{Class: slices.Index(s.classes, o.Class), Box: detect.Box(o.Box), Difficult: o.Difficult})
		}
		truths, detections = append(truths, of), append(detections, found[i])
	}
	return truths, detections
}

// vocLines returns the detections of a class in the form of VOC's results, a line for
// each: image, score and box, whose numbers count from 1 and include the last pixel.
func (s *objectSet) vocLines(class int, found [][]detect.Detection) []byte {
	var b bytes.Buffer
	for i, objects := range found {
		for _, d := range objects {
			if d.Class == class && !math.IsNaN(d.Score) {
				fmt.Fprintf(&b, "%s %.6f %.2f %.2f %.2f %.2f\n", s.images[i].Name, d.Score, d.Box[0]+1, d.Box[1]+1, d.Box[2], d.Box[3])
			}
		}
	}
	return b.Bytes()
}
