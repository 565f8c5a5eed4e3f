package synth

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"

	"clpipe/internal/par"

	"golang.org/x/sync/errgroup"
)

// A BoxSet is a data set of object detection in PASCAL VOC's form, with the sets
// trainval and test. It decides the bytes of its files.
type BoxSet struct {
	Images int    `json:"images"` // of the set trainval
	Test   int    `json:"test"`   // of the set test, 0 for none
	Size   int    `json:"size"`   // width and height of an image in pixels, MinSceneSize to MaxSize
	Seed   uint64 `json:"seed"`
}

// MinSceneSize is the smallest side of a scene: in less there are more tiny shapes
// than others.
const MinSceneSize = 64

// Validate returns everything that is wrong with s, joined.
func (s BoxSet) Validate() error {
	return errors.Join(
		inRange("images", s.Images, 1, maxImages),
		inRange("test", s.Test, 0, maxImages),
		inRange("size", s.Size, MinSceneSize, MaxSize))
}

// Write draws the set into dir: the folders Annotations, JPEGImages and
// ImageSets/Main. dir must not exist, or be empty: on success it holds the whole
// set, else nothing of it. workers (0: one for each processor) draw an image each;
// drawn, which may be nil, is told of every image from any of them.
func (s BoxSet) Write(ctx context.Context, dir string, workers int, drawn func()) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if err := writeWhole(dir, func(partial string) error { return s.write(ctx, partial, workers, drawn) }); err != nil {
		return fmt.Errorf("synth: write %s: %w", dir, err)
	}
	return nil
}

// The folders of PASCAL VOC's form.
const (
	annotations = "Annotations"
	images      = "JPEGImages"
	lists       = "ImageSets/Main"
)

func (s BoxSet) write(ctx context.Context, dir string, workers int, drawn func()) error {
	for _, folder := range []string{annotations, images, lists} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(folder)), 0o755); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(par.Count(workers))
	for _, part := range []struct {
		name  string
		n     int
		place func(int) int
	}{{"trainval", s.Images, trainPlace}, {"test", s.Test, testPlace}} {
		if part.n == 0 {
			continue
		}
		var list strings.Builder
		for n := range part.n {
			name := fmt.Sprintf("%s-%06d", part.name, n)
			fmt.Fprintln(&list, name)
			g.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := s.image(dir, name, part.place(n)); err != nil {
					return err
				}
				if drawn != nil {
					drawn()
				}
				return nil
			})
		}
		path := filepath.Join(dir, filepath.FromSlash(lists), part.name+".txt")
		g.Go(func() error { return os.WriteFile(path, []byte(list.String()), 0o644) })
	}
	return g.Wait()
}

// image writes a scene and its annotation.
func (s BoxSet) image(dir, name string, i int) error {
	img, objects := DrawScene(s.Seed, i, s.Size)
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, img, &jpeg.Options{Quality: quality}); err != nil {
		return err
	}
	file := name + ".jpg"
	text, err := xml.MarshalIndent(annotate(file, s.Size, objects), "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, images, file), picture.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, annotations, name+".xml"), append(text, '\n'), 0o644))
}

// The elements of an annotation, in the order of PASCAL VOC's own.
type xmlAnnotation struct {
	XMLName   xml.Name    `xml:"annotation"`
	Folder    string      `xml:"folder"`
	Filename  string      `xml:"filename"`
	Database  string      `xml:"source>database"`
	Width     int         `xml:"size>width"`
	Height    int         `xml:"size>height"`
	Depth     int         `xml:"size>depth"`
	Segmented int         `xml:"segmented"`
	Objects   []xmlObject `xml:"object"`
}

type xmlObject struct {
	Name      string `xml:"name"`
	Pose      string `xml:"pose"`
	Truncated int    `xml:"truncated"`
	Difficult int    `xml:"difficult"`
	XMin      int    `xml:"bndbox>xmin"`
	YMin      int    `xml:"bndbox>ymin"`
	XMax      int    `xml:"bndbox>xmax"`
	YMax      int    `xml:"bndbox>ymax"`
}

func annotate(file string, size int, objects []Object) xmlAnnotation {
	a := xmlAnnotation{Folder: images, Filename: file, Database: "clpipe shards synth", Width: size, Height: size, Depth: 3}
	for _, o := range objects {
		a.Objects = append(a.Objects, xmlObject{
			Name: shapes[o.Class].name, Pose: "Unspecified", Truncated: flag(o.Truncated), Difficult: flag(o.Difficult),
			// Numbers of pixels begin with 1, and the last one is included.
			XMin: o.Box.Min.X + 1, YMin: o.Box.Min.Y + 1, XMax: o.Box.Max.X, YMax: o.Box.Max.Y,
		})
	}
	return a
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
