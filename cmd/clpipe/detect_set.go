package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/encoder/detect"
	"clpipe/ingest/voc"
	"clpipe/internal/imagecodec"
	"clpipe/internal/par"

	"golang.org/x/sync/errgroup"
)

// An objectSet is images with the objects in them.
type objectSet struct {
	names   string      // as they were asked for
	images  []voc.Image // with the size that their files have, once they have been looked at
	folders []string    // of each
	place   map[string]int
	sums    [][sha256.Size]byte // of the images' files
	classes []string            // by number; of a test set those of the set that was trained on
}

// loadObjects reads data sets, each FOLDER or FOLDER:SET, but for the images.
func loadObjects(names []string, usual string) (*objectSet, error) {
	s := &objectSet{names: strings.Join(names, " and ")}
	for _, name := range names {
		dir, set := splitSet(name, usual)
		images, err := voc.Load(dir, set)
		if noSet := (*voc.NoSetError)(nil); errors.As(err, &noSet) {
			return nil, usagef("%w; %s:, without a set, is all that has an annotation", err, dir)
		}
		if err != nil {
			return nil, err
		}
		if len(images) == 0 {
			return nil, fmt.Errorf("%s: the set %q holds no images", dir, set)
		}
		for _, im := range images {
			s.images, s.folders = append(s.images, im), append(s.folders, dir)
			for _, o := range im.Objects {
				if !slices.Contains(s.classes, o.Class) {
					s.classes = append(s.classes, o.Class)
				}
			}
		}
	}
	slices.Sort(s.classes)
	return s, nil
}

// splitSet takes FOLDER:SET apart. A colon in front of a folder is part of a path.
func splitSet(name, usual string) (dir, set string) {
	at := strings.LastIndexByte(name, ':')
	if at < 0 || strings.ContainsAny(name[at:], `/\`) {
		return name, usual
	}
	return name[:at], name[at+1:]
}

// mostMisfits is how many images of another size than their annotations' are told of.
const mostMisfits = 5

// look decodes all images once, so that what is wrong with one is told before anything
// is trained. The set is left without those that cannot be decoded, where rejects
// tolerates that; the others get the size of their files. looked is told of each.
func (s *objectSet) look(ctx context.Context, workers int, decoder func() *imagecodec.Decoder, rejects *batch.Rejects, looked func()) error {
	damaged, misfits := make([]error, len(s.images)), make([]error, len(s.images))
	sums := make([][sha256.Size]byte, len(s.images))
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range par.Count(workers) {
		g.Go(func() error {
			d, pixels := decoder(), imagecodec.Image{}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(s.images) || ctx.Err() != nil {
					return ctx.Err()
				}
				file, err := s.file(i)
				if err != nil {
					return err
				}
				if damaged[i] = d.Decode(file, &pixels); damaged[i] == nil {
					misfits[i] = takeSize(&s.images[i], pixels.W, pixels.H, imagecodec.ReadOrientation(file) != 1)
				}
				sums[i] = sha256.Sum256(file)
				looked()
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if wrong := slices.DeleteFunc(misfits, func(err error) bool { return err == nil }); len(wrong) > 0 {
		if n := len(wrong); n > mostMisfits {
			wrong = append(wrong[:mostMisfits], fmt.Errorf("and %d more of %d images", n-mostMisfits, len(s.images)))
		}
		return errors.Join(wrong...)
	}
	return s.keep(damaged, sums, rejects)
}

// keep leaves out damaged images and names the others: one goes by the name of its
// annotation, and one of that name in another folder by that folder's too.
func (s *objectSet) keep(damaged []error, sums [][sha256.Size]byte, rejects *batch.Rejects) error {
	all := s.images
	s.images, s.place, s.sums = nil, map[string]int{}, nil
	rejects.Tried(0, len(all))
	for i, im := range all {
		if err := damaged[i]; err != nil {
			if err := rejects.Add(batch.Reject{Key: im.Name, Index: uint64(i), What: "decode", Why: err.Error()}); err != nil {
				return err
			}
			continue
		}
		if first, twice := s.place[im.Name]; twice {
			if s.sums[first] == sums[i] {
				return usagef("the image %s occurs twice in %s: name sets that have none in common", im.Name, s.names)
			}
			im.Name = filepath.ToSlash(filepath.Join(s.folders[i], im.Name))
		}
		s.place[im.Name] = len(s.images)
		s.images, s.sums = append(s.images, im), append(s.sums, sums[i])
	}
	if err := rejects.EndEpoch(0); err != nil {
		return err
	}
	if len(s.images) == 0 {
		return fmt.Errorf("%s: none of the %d images can be decoded", s.names, len(all))
	}
	return nil
}

// takeSize gives an image the size of its file, which boxes are in. An annotation that
// has another one is of another image, or of one that was scaled or turned since.
func takeSize(im *voc.Image, w, h int, turned bool) error {
	if im.Width > 0 && (im.Width != w || im.Height != h) {
		do := "annotate it again, or leave it out of the set"
		if turned && im.Width == h && im.Height == w {
			do = "its EXIF data turn it on its side, which --exif-transpose decides on"
		}
		return fmt.Errorf("%s has %d×%d pixels, its annotation says %d×%d: the boxes do not fit; %s", im.Path, w, h, im.Width, im.Height, do)
	}
	if im.Width == 0 { // boxes are cut at a border that the annotation gives
		for i := range im.Objects {
			b := &im.Objects[i].Box
			b[2], b[3] = min(b[2], float64(w)), min(b[3], float64(h))
			if b[0] >= b[2] || b[1] >= b[3] {
				return fmt.Errorf("%s has %d×%d pixels, one of its boxes lies outside: annotate it again, or leave it out of the set", im.Path, w, h)
			}
		}
	}
	im.Width, im.Height = w, h
	return nil
}

// classesKnown checks that the classes of test are among those of train, and makes
// them the same.
func classesKnown(train, test *objectSet) error {
	if len(train.classes) == 0 {
		return fmt.Errorf("%s: no image has an object", train.names)
	}
	for _, class := range test.classes {
		if !slices.Contains(train.classes, class) {
			return usagef("the test images have objects %q, those to learn from have none: they know %s", class, strings.Join(train.classes, ", "))
		}
	}
	test.classes = train.classes
	return nil
}

// setsApart refuses sets that share an image, and warns of files that are the same
// under other names.
func setsApart(train, test *objectSet, log *slog.Logger) error {
	known := map[[sha256.Size]byte]bool{}
	for _, sum := range train.sums {
		known[sum] = true
	}
	var shared []string
	named := false
	for i, im := range test.images {
		if !known[test.sums[i]] {
			continue
		}
		shared = append(shared, im.Name)
		at, ok := train.place[im.Name]
		named = named || ok && train.sums[at] == test.sums[i]
	}
	switch {
	case named:
		return usagef("images of %s are among those to learn from, as %s (%d of %d): test on others", test.names, shared[0], len(shared), len(test.images))
	case len(shared) > 0:
		log.Warn("test images are, byte for byte, among those to learn from: what is found in them says little", "images", len(shared), "first", shared[0])
	}
	return nil
}

// toBeFound tells whether there is an object that counts.
func toBeFound(truths [][]detect.Truth) bool {
	return slices.ContainsFunc(truths, func(of []detect.Truth) bool {
		return slices.ContainsFunc(of, func(t detect.Truth) bool { return !t.Difficult })
	})
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

// restore returns objects that were found in a view where they are in the image,
// without those of which nothing lies in it.
func (s *objectSet) restore(policy *augment.Policy, id string, objects []detect.Detection) ([]detect.Detection, error) {
	im, at, err := s.placement(policy, augment.SampleKey{ID: id})
	if err != nil {
		return nil, err
	}
	var out []detect.Detection
	for _, d := range objects {
		d.Box = at.Restore(d.Box)
		for k, most := range [4]int{im.Width, im.Height, im.Width, im.Height} {
			d.Box[k] = min(max(d.Box[k], 0), float64(most))
		}
		if d.Box[0] < d.Box[2] && d.Box[1] < d.Box[3] {
			out = append(out, d)
		}
	}
	return out, nil
}

// truths returns the objects of all images.
func (s *objectSet) truths() [][]detect.Truth {
	out := make([][]detect.Truth, len(s.images))
	for i, im := range s.images {
		for _, o := range im.Objects {
			out[i] = append(out[i], detect.Truth{Class: slices.Index(s.classes, o.Class), Box: detect.Box(o.Box), Difficult: o.Difficult})
		}
	}
	return out
}

// vocLines returns the detections of a class in the form of VOC's results, a line for
// each: image, score and box, whose numbers count from 1 and include the last pixel.
func (s *objectSet) vocLines(class int, found [][]detect.Detection) []byte {
	var b bytes.Buffer
	for i, objects := range found {
		for _, d := range objects {
			if d.Class == class {
				fmt.Fprintf(&b, "%s %.6f %.2f %.2f %.2f %.2f\n", s.images[i].Name, d.Score, d.Box[0]+1, d.Box[1]+1, d.Box[2], d.Box[3])
			}
		}
	}
	return b.Bytes()
}
