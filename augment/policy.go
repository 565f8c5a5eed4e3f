package augment

import (
	"fmt"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// A Policy makes the views of a sample. It is immutable and safe for concurrent
// use; every goroutine brings its own Scratch.
type Policy struct {
	side   int
	shared []step
	views  [][]step // by view: anchor, positive
	cut    *patches // of the anchor; nil: views are whole
	local  *localViews
	text   string

	fastDecode bool
}

// A step is an operator at its place in a policy.
type step struct {
	name  string
	op    operator
	p     float64 // probability that it is applied
	place uint64  // in its list as written: part of the name of its draws
}

// An operator makes a picture from a picture. It overwrites im only where
// Scratch.target says that it may. Its draws come from s.draw.
type operator interface {
	apply(im raster, s *Scratch) (raster, error)
}

// The views of a sample, as they take part in the names of draws. They may not
// be renumbered: recorded runs would no longer repeat.
const (
	viewAnchor   = 0
	viewPositive = 1
	viewShared   = 2
	viewPatches  = 3
	viewLocal    = 4 // the first of them
)

var viewNames = [...]string{viewAnchor: "anchor", viewPositive: "positive", viewShared: "shared", viewPatches: "patches"}

// viewName returns the name of a view for messages.
func viewName(view uint64) string {
	if view >= viewLocal {
		return fmt.Sprintf("local view %d", view-viewLocal)
	}
	return viewNames[view]
}

// SampleKey names the draws of one sample: the same key gives the same views.
type SampleKey struct {
	Seed  uint64
	Epoch uint32
	ID    string
}

// Size returns the side S of a view in pixels, before it is cut into patches.
func (p *Policy) Size() int { return p.side }

// Shape returns the shape of a view: [S,S,3], or [G,G,P,P,3] of patches.
func (p *Policy) Shape() []int {
	if p.cut == nil {
		return []int{p.side, p.side, 3}
	}
	g := p.cut.grid(p.side)
	return []int{g, g, p.cut.size, p.cut.size, 3}
}

// viewBytes is the length of a view.
func (p *Policy) viewBytes() int {
	n := 1
	for _, d := range p.Shape() {
		n *= d
	}
	return n
}

// Views returns the number of views a sample gets: 2, or 1 if the policy makes
// no positive.
func (p *Policy) Views() int { return len(p.views) }

// RowBytes returns the bytes of all views of a sample.
func (p *Policy) RowBytes() int { return p.Views()*p.viewBytes() + p.LocalBytes() }

// String returns the policy as one line of JSON in which every argument stands
// with its resolved value. It is a policy file again: Parse gives an equal
// policy. Recorded as clpipe.policy.
func (p *Policy) String() string { return p.text }

// Apply writes the views of img into anchor and positive, which hold the bytes
// of Shape, [S,S,3] but for patches; with one view positive is not looked at. img is only
// read. The views are a pure function of the policy, img and key. An error names
// the sample and the operator: an image that is not what it says, or too small
// or too thin for the policy.
func (p *Policy) Apply(anchor, positive []byte, img *imagecodec.Image, key SampleKey, s *Scratch) error {
	views := [...][]byte{anchor, positive}
	for v := range p.views {
		if want := p.viewBytes(); len(views[v]) != want {
			panic(fmt.Sprintf("augment: %s: got %d bytes, want %d", viewNames[v], len(views[v]), want))
		}
	}
	id := rng.HashID(key.ID)
	source, err := p.source(img, key, id, s)
	if err != nil {
		return err
	}
	for v, steps := range p.views {
		im, err := run(steps, source, key, id, uint64(v), s)
		if err != nil {
			return err
		}
		if p.cut == nil {
			if err := store(views[v], im, p.side, uint64(v), key); err != nil {
				return err
			}
			continue
		}
		if err := checkView(im, p.side, uint64(v), key); err != nil {
			return err
		}
		s.held = im.plane
		if err := p.cut.cut(views[v], im, key, id, s); err != nil {
			return err
		}
	}
	return nil
}

// source returns what all views of a sample are made of: img after the shared
// operators.
func (p *Policy) source(img *imagecodec.Image, key SampleKey, id uint64, s *Scratch) (raster, error) {
	source, err := newRaster(img)
	if err != nil {
		return raster{}, fmt.Errorf("augment: sample %s: %w", quote(key.ID), err)
	}
	s.held = callersImage
	if source, err = run(p.shared, source, key, id, viewShared, s); err != nil {
		return raster{}, err
	}
	s.held = source.plane
	return source, nil
}

// store writes a view of a side into dst.
func store(dst []byte, im raster, side int, view uint64, key SampleKey) error {
	if err := checkView(im, side, view, key); err != nil {
		return err
	}
	for y := range im.h {
		copy(dst[3*side*y:], im.row(y))
	}
	return nil
}

// checkView returns an error if a view has another size than the policy's.
func checkView(im raster, side int, view uint64, key SampleKey) error {
	if im.w != side || im.h != side {
		return fmt.Errorf("augment: sample %s: %s: got a view of %dx%d, want %dx%d: the policy does not fix the size of this image",
			quote(key.ID), viewName(view), im.w, im.h, side, side)
	}
	return nil
}

// run passes im through steps.
func run(steps []step, im raster, key SampleKey, id, view uint64, s *Scratch) (raster, error) {
	for i := range steps {
		st := &steps[i]
		if s.draw = st.stream(key, id, view); !st.applies(&s.draw) {
			continue
		}
		if _, takesScaled := st.op.(*randomResizedCrop); im.scale > 1 && !takesScaled && !leavesPixels(st.op) {
			return raster{}, fmt.Errorf("augment: sample %s: %s: %s: got a picture decoded at 1/%d, want it whole", quote(key.ID), viewName(view), st.name, im.scale)
		}
		var err error
		if im, err = st.op.apply(im, s); err != nil {
			return raster{}, fmt.Errorf("augment: sample %s: %s: %s: %w", quote(key.ID), viewName(view), st.name, err)
		}
	}
	return im, nil
}

// stream returns the draws of the step for one view of a sample.
func (st *step) stream(key SampleKey, id, view uint64) rng.Stream {
	return rng.New(key.Seed, rng.Sample, uint64(key.Epoch), id, view, st.place)
}

// applies makes a step's first draw, whatever p: so that the draws after it stay
// when p changes.
func (st *step) applies(draw *rng.Stream) bool { return draw.Float64() < st.p }

// quote cuts a string from outside to a length fit for a message.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return fmt.Sprintf("%q", s)
}
