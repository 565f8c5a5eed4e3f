// Package voc reads data sets of object detection in the form of the PASCAL VOC
// challenges (M. Everingham et al., IJCV 2010), which labelling tools export too:
// a folder with an XML file for each image in Annotations, the images in
// JPEGImages, and lists of names in ImageSets/Main.
//
// Files that other tools wrote differ from those of the challenges, and are read
// where it is clear what is meant: numbers may have fractions, the size of the
// image may be missing, <filename> and <path> may be those of another place, and a
// box may reach over the border. What cannot be meant is an error: results on the
// rest would not be results on the set.
package voc

import (
	"errors"
	"fmt"

	"clpipe/internal/par"
)

// Box is [left, top, right, bottom] in pixels, continuous: pixel column x covers
// [x, x+1). The numbers in the files count from 1 and include the last pixel, so
// that a Box is [xmin-1, ymin-1, xmax, ymax] of them. It has an area, and lies in
// the image where the annotation says how large that is.
type Box [4]float64

// Object is one of the things that are to be found in an image.
type Object struct {
	Class string
	Box   Box
	// Difficult says that the object can hardly be seen: it counts neither as
	// found nor as missed.
	Difficult bool
}

// Image is an image of a set with what is known of it.
type Image struct {
	Name          string // of its annotation, without the extension
	Path          string // of the image file
	Width, Height int    // of the annotation, 0 if it does not say
	Objects       []Object
}

// mostErrors is how many images an error tells of one by one.
const mostErrors = 5

// Load reads the annotations of a set, in the set's order. Set NAME are the names
// in ImageSets/Main/NAME.txt, one a line, of which only the first column counts;
// set "" is all of Annotations, sorted. Each has an image: JPEGImages/NAME.jpg,
// .jpeg, .png or .webp, else the file that the annotation names.
//
// The error tells of everything that is wrong, of the first few images in words.
func Load(dir, set string) ([]Image, error) {
	names, err := readSet(dir, set)
	if err != nil {
		return nil, fmt.Errorf("voc: %w", err)
	}
	images, failed := make([]Image, len(names)), make([]error, len(names))
	pool := par.NewPool(0)
	defer pool.Close()
	pool.Run(par.Phase{Tasks: len(names), Run: func(_, i int) {
		images[i], failed[i] = load(dir, names[i])
	}})

	var told []error
	wrong := 0
	for _, err := range failed {
		if err == nil {
			continue
		}
		if wrong++; wrong <= mostErrors {
			told = append(told, fmt.Errorf("voc: %w", err))
		}
	}
	if wrong > mostErrors {
		told = append(told, fmt.Errorf("voc: and %d more of %d images", wrong-mostErrors, len(images)))
	}
	if wrong > 0 {
		return nil, errors.Join(told...)
	}
	return images, nil
}

// load reads the annotation of a name and finds its image.
func load(dir, name string) (Image, error) {
	path := annotationPath(dir, name)
	a, err := readAnnotation(path)
	if err != nil {
		return Image{}, err
	}
	file, err := findImage(dir, name, a.filename)
	if err != nil {
		return Image{}, fmt.Errorf("%s: %w", path, err)
	}
	return Image{Name: name, Path: file, Width: a.width, Height: a.height, Objects: a.objects}, nil
}
