package contrast

import (
	"math"

	"clpipe/internal/rng"
)

// An occlusion hides a square of every image, at a place drawn for each image and
// step: Deep InfoMax's code then has to tell of what it has not seen (Hjelm et
// al. 2019, section 4.3). The paper does not say what is hidden; the square and
// its colour, the mean of the input normalisation, are ours.
type occlusion struct {
	side, hidden int // pixels of the image's and the square's side
	colour       [3]byte
	pixels       []byte // the occluded batch
}

func newOcclusion(c Config) *occlusion {
	o := &occlusion{side: c.Encoder.Size, hidden: int(math.Round(c.Occlude * float64(c.Encoder.Size)))}
	for i, mean := range c.Encoder.Normalize.Mean {
		o.colour[i] = byte(min(max(math.Round(255*float64(mean)), 0), 255))
	}
	o.pixels = make([]byte, c.Batch*o.side*o.side*3)
	return o
}

// of returns the images with their squares, until the next call.
func (o *occlusion) of(images []byte, c *cpu) []byte {
	copy(o.pixels, images)
	size := o.side * o.side * 3
	for i := range c.cfg.Batch {
		draw := c.draw(rng.Occlusion, uint64(i))
		top, left := draw.IntN(o.side-o.hidden+1), draw.IntN(o.side-o.hidden+1)
		for y := top; y < top+o.hidden; y++ {
			row := o.pixels[i*size+3*(y*o.side+left):][:3*o.hidden]
			for x := 0; x < len(row); x += 3 {
				copy(row[x:], o.colour[:])
			}
		}
	}
	return o.pixels
}
