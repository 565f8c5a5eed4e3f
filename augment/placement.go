package augment

import (
	"fmt"
	"image"

	"clpipe/internal/rng"
)

// A Placement says where a view lies in the picture it was made of: a point (x, y)
// of the picture, in pixels from its upper left corner, is at (X.Scale·x + X.Shift,
// Y.Scale·y + Y.Shift) in the view. A view that is mirrored has a negative X.Scale.
type Placement struct{ X, Y Axis }

// An Axis maps one coordinate of a picture to that of a view.
type Axis struct{ Scale, Shift float64 }

// To returns where a coordinate of the picture is in the view.
func (a Axis) To(v float64) float64 { return a.Scale*v + a.Shift }

// From returns where a coordinate of the view is in the picture.
func (a Axis) From(v float64) float64 { return (v - a.Shift) / a.Scale }

// Place returns the placement of a box, left, top, right and bottom, that is given
// in pixels of the picture.
func (p Placement) Place(box [4]float64) [4]float64 {
	return ordered(p.X.To(box[0]), p.Y.To(box[1]), p.X.To(box[2]), p.Y.To(box[3]))
}

// Restore returns the box of the picture that lies at a box of the view.
func (p Placement) Restore(box [4]float64) [4]float64 {
	return ordered(p.X.From(box[0]), p.Y.From(box[1]), p.X.From(box[2]), p.Y.From(box[3]))
}

// ordered returns a box whose sides may have changed places.
func ordered(x0, y0, x1, y1 float64) [4]float64 {
	return [4]float64{min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)}
}

// A mover is an operator that moves pixels along the axes only. It tells where they
// go before it sees them, from the size of the picture and its draws.
type mover interface {
	move(w, h int, draw *rng.Stream) (move, error)
}

// A move is what happens to coordinates, and the size of the picture after it.
type move struct {
	x, y Axis
	size extent
}

// Placement returns where the anchor of a sample lies in its w x h picture, of which
// Apply makes it, so that boxes can follow. A policy that turns or bends pictures is
// an error, as is one that cuts them into patches: no box fits what becomes of them.
func (p *Policy) Placement(w, h int, key SampleKey) (Placement, error) {
	if p.cut != nil {
		return Placement{}, fmt.Errorf("augment: boxes cannot follow a policy that cuts views into patches")
	}
	at := Placement{Axis{1, 0}, Axis{1, 0}}
	id := rng.HashID(key.ID)
	for _, part := range []struct {
		steps []step
		view  uint64
	}{{p.shared, viewShared}, {p.views[viewAnchor], viewAnchor}} {
		for i := range part.steps {
			st := &part.steps[i]
			if staysInPlace(st.op) {
				continue
			}
			op, ok := st.op.(mover)
			if !ok { // also where it is not drawn for this sample
				return Placement{}, fmt.Errorf("augment: boxes cannot follow %s, which does not move pixels along the axes alone", st.name)
			}
			draw := st.stream(key, id, part.view)
			if !st.applies(&draw) {
				continue
			}
			m, err := op.move(w, h, &draw)
			if err != nil {
				return Placement{}, fmt.Errorf("augment: sample %s: %s: %s: %w", quote(key.ID), viewName(part.view), st.name, err)
			}
			at.X, at.Y = at.X.then(m.x), at.Y.then(m.y)
			w, h = m.size.w, m.size.h
		}
	}
	return at, nil
}

// then returns the mapping by a and then by b.
func (a Axis) then(b Axis) Axis { return Axis{a.Scale * b.Scale, b.Scale*a.Shift + b.Shift} }

// staysInPlace tells whether an operator leaves every pixel where it is.
func staysInPlace(op operator) bool {
	switch op.(type) {
	case *colorJitter, *contrast, *gaussianBlur:
		return true
	case horizontalFlip:
		return false
	}
	return leavesPixels(op)
}

func (horizontalFlip) move(w, h int, _ *rng.Stream) (move, error) {
	return move{Axis{-1, float64(w)}, Axis{1, 0}, extent{h, w}}, nil
}

func (op *crop) move(w, h int, draw *rng.Stream) (move, error) {
	return cutOut(op.box(w, h, draw)), nil
}

func (op *centerCrop) move(w, h int, draw *rng.Stream) (move, error) {
	return cutOut(op.box(w, h, draw)), nil
}

func (op *randomCrop) move(w, h int, draw *rng.Stream) (move, error) {
	return cutOut(op.box(w, h, draw)), nil
}

func (op *resize) move(w, h int, _ *rng.Stream) (move, error) {
	wide, high, err := op.scaled(raster{w: w, h: h})
	return stretched(w, h, extent{high, wide}), err
}

func (op *randomResizedCrop) move(w, h int, draw *rng.Stream) (move, error) {
	box := op.box(w, h, draw)
	return cutOut(box).then(stretched(box.Dx(), box.Dy(), op.size)), nil
}

func (op *resizeCenterCrop) move(w, h int, draw *rng.Stream) (move, error) {
	m, err := op.resize.move(w, h, draw)
	if err != nil {
		return move{}, err
	}
	then, err := op.centerCrop.move(m.size.w, m.size.h, draw)
	return m.then(then), err
}

// cutOut is the move that a crop makes, stretched that of a change of size.
func cutOut(box image.Rectangle) move {
	return move{Axis{1, -float64(box.Min.X)}, Axis{1, -float64(box.Min.Y)}, extent{box.Dy(), box.Dx()}}
}

func stretched(w, h int, to extent) move {
	return move{Axis{float64(to.w) / float64(w), 0}, Axis{float64(to.h) / float64(h), 0}, to}
}

// then returns the move by m and then by next.
func (m move) then(next move) move { return move{m.x.then(next.x), m.y.then(next.y), next.size} }
