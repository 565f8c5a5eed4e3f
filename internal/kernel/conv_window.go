package kernel

// A windowCopy copies the values of src that the taps of a pixel meet to rows
// of width floats, tap by tap and channel by channel, or a part of them.
type windowCopy struct {
	src   image
	step  int // pixels of src between neighbouring windows
	class *class
	width int
	runs  []run
	reach reach
}

// A run is a part of a row that is contiguous in src where it lies inside the
// image: length floats from a channel of a tap on, over several neighbouring
// taps of a row of the window.
type run struct {
	tap
	at, channel, length int
	taps                int
	from                int // its offset in src from the pixel of the same place
}

// newWindowCopy plans rows of the values first to first+width of the windows
// of a class. Behind the last value rows are left as they are.
func newWindowCopy(sw *sweep, cl *class, first, width int) windowCopy {
	c := windowCopy{src: sw.src, step: sw.srcStep, class: cl, width: width}
	stride := c.src.stride()
	end := min(first+width, len(cl.taps)*stride)
	for v := first; v < end; {
		t, channel := v/stride, v%stride
		r := run{tap: cl.taps[t], at: v - first, channel: channel, taps: 1}
		r.length = min(stride-channel, end-v)
		for v += r.length; v < end && cl.taps[v/stride].follows(r.tap, r.taps); r.taps++ {
			more := min(stride, end-v)
			r.length += more
			v += more
		}
		r.from = (r.dh*c.src.w+r.dw)*stride + channel
		c.reach.include(r.tap, r.taps)
		c.runs = append(c.runs, r)
	}
	return c
}

// follows tells whether t is n pixels to the right of another tap.
func (t tap) follows(other tap, n int) bool { return t.dh == other.dh && t.dw == other.dw+n }

// copy fills a row of dst for each of count pixels from number begin.
func (c *windowCopy) copy(dst, src []float32, begin, count int) {
	n, a, b := c.class.pixel(begin)
	for i := range count {
		row := dst[i*c.width:][:c.width]
		h, w := a*c.step, b*c.step
		if !c.reach.inside(c.src, h, w) {
			c.copyAtEdge(row, src, n, h, w)
		} else {
			at := c.src.pixel(n, h, w)
			for j := range c.runs {
				r := &c.runs[j]
				copy(row[r.at:r.at+r.length], src[at+r.from:])
			}
		}
		n, a, b = c.class.next(n, a, b)
	}
}

// copyAtEdge fills the row of a window, at pixel (h,w), that reaches beyond the
// image.
func (c *windowCopy) copyAtEdge(row, src []float32, n, h, w int) {
	for j := range c.runs {
		r := &c.runs[j]
		h, w := h+r.dh, w+r.dw
		switch {
		case uint(h) >= uint(c.src.h):
			clear(row[r.at : r.at+r.length])
		case w >= 0 && w+r.taps <= c.src.w:
			copy(row[r.at:r.at+r.length], src[c.src.pixel(n, h, w)+r.channel:])
		default:
			c.copyEdge(row, src, r, n, h, w)
		}
	}
}

// copyEdge copies a run tap by tap, zeros for taps outside the image.
func (c *windowCopy) copyEdge(row, src []float32, r *run, n, h, w int) {
	part, channel := row[r.at:r.at+r.length], r.channel
	for tap := range r.taps {
		off := c.src.pixel(n, h, w+tap) + channel
		done := min(c.src.stride()-channel, len(part))
		copy(part[:done], src[off:])
		part, channel = part[done:], 0
	}
}
