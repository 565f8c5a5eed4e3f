package augment

import (
	"fmt"
	"image"
	"math"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"
)

// maxPixels bounds a picture between two operators, so that a policy cannot
// turn a thin image into one that exhausts the memory.
const maxPixels = 1 << 27

// callersImage is the plane of a raster that lies in the caller's memory.
const callersImage = -1

// A raster is the picture an operator works on: h rows of w RGB pixels. A crop
// is a raster that shares its parent's rows.
type raster struct {
	w, h   int
	stride int // bytes from one row to the next
	pix    []byte
	plane  int // the plane of Scratch that holds it, or callersImage

	// Of a picture decoded at a scale of 1/scale: the scale, and the size of the
	// whole, on which a crop is drawn. scale is 1 of any other.
	scale int
	whole extent
}

// newRaster checks that img is what it says it is.
func newRaster(img *imagecodec.Image) (raster, error) {
	if img.W < 1 || img.H < 1 || len(img.Pix)/3/img.W != img.H || len(img.Pix) != 3*img.W*img.H {
		return raster{}, fmt.Errorf("image: got %d bytes for %dx%d pixels, want 3 bytes a pixel and at least one pixel", len(img.Pix), img.W, img.H)
	}
	im := raster{w: img.W, h: img.H, stride: 3 * img.W, pix: img.Pix, plane: callersImage, scale: 1, whole: extent{img.H, img.W}}
	if n := img.Scale; n > 1 {
		if (img.FullW+n-1)/n != img.W || (img.FullH+n-1)/n != img.H {
			return raster{}, fmt.Errorf("image: got %dx%d pixels as 1/%d of %dx%d", img.W, img.H, n, img.FullW, img.FullH)
		}
		im.scale, im.whole = n, extent{img.FullH, img.FullW}
	}
	return im, nil
}

func (r raster) row(y int) []byte {
	return r.pix[y*r.stride:][: 3*r.w : 3*r.w]
}

func (r raster) bounds() image.Rectangle { return image.Rect(0, 0, r.w, r.h) }

// crop returns the part of r inside box without copying it. The box lies within
// the raster.
func (r raster) crop(box image.Rectangle) raster {
	r.pix = r.pix[box.Min.Y*r.stride+3*box.Min.X:]
	r.w, r.h = box.Dx(), box.Dy()
	r.scale, r.whole = 1, extent{r.h, r.w}
	return r
}

// An area is a part of a picture whose edges may lie inside pixels.
type area struct{ x0, y0, x1, y1 float64 }

// bounds is the smallest box of whole pixels around the area.
func (a area) bounds() image.Rectangle {
	return image.Rect(int(math.Floor(a.x0)), int(math.Floor(a.y0)), int(math.Ceil(a.x1)), int(math.Ceil(a.y1)))
}

// reduced returns where a box of a picture lies in the one decoded at 1/scale.
func reduced(box image.Rectangle, scale int) area {
	n := float64(scale)
	return area{float64(box.Min.X) / n, float64(box.Min.Y) / n, float64(box.Max.X) / n, float64(box.Max.Y) / n}
}

// Scratch holds one worker's buffers, so that no sample allocates once they
// have grown to the largest picture seen. The zero value is ready for use.
// A Scratch serves one goroutine at a time.
type Scratch struct {
	draw   rng.Stream // draws of the operator at work
	planes [3][]byte
	held   int // plane that both views read, or callersImage

	columns, rows taps      // weights of a resize, by axis
	sums          []int32   // one row of sums over the rows of a resize
	line          []byte    // rows with their margins
	boxSums       []uint32  // one row of sums over columns, of a box filter
	kernel        []float32 // weights of a convolution
	floats        []float32 // its rows under way
	field         []float32 // displacements, to the right and down
	rowStarts     []int     // those that one row is made of
}

// fresh returns a raster of w x h pixels with undefined content, in a plane
// that holds neither im nor what both views read.
func (s *Scratch) fresh(im raster, w, h int) raster {
	plane := 0
	for plane == im.plane || plane == s.held {
		plane++
	}
	pix := grow(&s.planes[plane], 3*w*h)
	return raster{w: w, h: h, stride: 3 * w, pix: pix, plane: plane, scale: 1, whole: extent{h, w}}
}

// alike is fresh for a picture that stands in im's place.
func (s *Scratch) alike(im raster) raster {
	out := s.fresh(im, im.w, im.h)
	out.scale, out.whole = im.scale, im.whole
	return out
}

// target returns the raster into which an operator that reads and writes pixel
// by pixel puts its result: im itself where it may be overwritten.
func (s *Scratch) target(im raster) raster {
	if im.plane == callersImage || im.plane == s.held {
		return s.alike(im)
	}
	return im
}

// pixelwise returns what f makes of im, span by span of consecutive bytes, each
// of whole pixels. dst may be src.
func (s *Scratch) pixelwise(im raster, f func(dst, src []byte)) raster {
	// Assembly cannot be interrupted: no span is long.
	const longest = 3 << 14
	out := s.target(im)
	if im.stride != 3*im.w || out.stride != 3*out.w {
		for y := range im.h {
			f(out.row(y), im.row(y))
		}
		return out
	}
	for at, n := 0, 3*im.w*im.h; at < n; at += longest {
		end := min(at+longest, n)
		f(out.pix[at:end], im.pix[at:end])
	}
	return out
}

// window returns the box of im, black where it reaches outside.
func (s *Scratch) window(im raster, box image.Rectangle) raster {
	inside := box.Intersect(im.bounds())
	if inside == box {
		return im.crop(box)
	}
	out := s.fresh(im, box.Dx(), box.Dy())
	clear(out.pix)
	for y := inside.Min.Y; y < inside.Max.Y; y++ {
		copy(out.row(y - box.Min.Y)[3*(inside.Min.X-box.Min.X):], im.row(y)[3*inside.Min.X:3*inside.Max.X])
	}
	return out
}

// grow returns *buf with length n and undefined content.
func grow[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = make([]T, n)
	}
	*buf = (*buf)[:n]
	return *buf
}

// checkPixels refuses pictures of more than maxPixels.
func checkPixels(w, h int64) error {
	if w > maxPixels || h > maxPixels || w*h > maxPixels {
		return fmt.Errorf("picture of %dx%d pixels, want at most %d pixels", w, h, maxPixels)
	}
	return nil
}

// roundHalfEven is Python's round, by which torchvision places its crops.
func roundHalfEven(x float64) int { return int(math.RoundToEven(x)) }
