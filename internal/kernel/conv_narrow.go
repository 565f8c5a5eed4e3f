package kernel

import "clpipe/internal/par"

// A narrowPass computes a convolution of images of at most four channels, band
// by band: a row of the filter is one tap. Packed weights are those of a
// directPass, [width/16][KH][KW*4][16].
type narrowPass struct {
	band
	weights panelSource // of a row of the filter, per pixel
	dst     image
	kern    gemmKernels
	workers int
	panels  int
	pixels  int   // of a band's result
	in, out []int // offsets of a band's results: under the rows of the filter, in dst
}

func newNarrowPass(s ConvShape, kern gemmKernels, workers int) *narrowPass {
	sw := s.forward()
	p := &narrowPass{band: newBand(s), weights: sw.weights, dst: sw.dst, kern: kern, workers: workers, panels: ceilDiv(s.O, lanes)}
	p.pixels = p.rows * p.w
	padded := roundUp(p.pixels, kern.rows)
	p.in, p.out = make([]int, padded*p.kh), make([]int, padded)
	for i := range padded {
		pixel := min(i, p.pixels-1) // those behind the last repeat it
		for k := range p.kh {
			p.in[(i/kern.rows*p.kh+k)*kern.rows+i%kern.rows] = p.offset(pixel/p.w, pixel%p.w, k)
		}
		p.out[i] = i * p.dst.stride()
	}
	return p
}

func (p *narrowPass) panelLen() int { return p.kh * p.filterFloats * lanes }

func (p *narrowPass) packedLen() int { return p.panels * p.panelLen() }

func (p *narrowPass) pack(packed, w []float32) []par.Phase {
	taps := p.kh * p.kw
	return []par.Phase{{Tasks: p.panels * taps, Run: func(_, task int) {
		q, t := task/taps, task%taps
		p.weights.panel(&p.kern, packed[task*p.floats*lanes:], w[t*p.src.c*p.dst.c:], 0, p.floats, q*lanes)
	}}}
}

// stageLen is the floats of tiles that dst cannot hold, a panel or two wide.
func (p *narrowPass) stageLen() int { return len(p.out) * p.kern.panels * lanes }

func (p *narrowPass) scratchLen() int { return p.workers * (p.band.len() + p.stageLen()) }

func (p *narrowPass) run(dst, src, packed, scratch []float32, add bool) []par.Phase {
	staged := make([]int, len(p.out))
	for i := range staged {
		staged[i] = i * p.kern.panels * lanes
	}
	size := p.band.len() + p.stageLen()
	return []par.Phase{{Tasks: p.count(), Run: func(worker, task int) {
		mem := scratch[worker*size:][:size]
		rows, stage := mem[:p.band.len()], mem[p.band.len():]
		n, first, height := p.at(task)
		p.fill(rows, src, n, first, height)
		out := dst[p.dst.pixel(n, first, 0):]
		for q := 0; q < p.panels; q += p.kern.panels {
			p.multiply(out, rows, packed, stage, staged, height*p.w, q, add)
		}
	}}}
}

// multiply computes up to a register tile's panels, from number q, of the first
// pixels of a band.
func (p *narrowPass) multiply(out, rows, packed, stage []float32, staged []int, pixels, q int, add bool) {
	height, panels := p.kern.rows, min(p.kern.panels, p.panels-q)
	packed = packed[q*p.panelLen():]
	// Tiles write whole rows and panels.
	whole := pixels / height
	if p.dst.stride() < lanes {
		whole = 0
	}
	if whole > 0 {
		p.kern.gather(out[q*lanes:], p.out, rows, p.in, packed, p.panelLen(), panels, whole, p.kh, p.filterFloats, add)
	}
	first := whole * height
	if first == pixels {
		return
	}
	width := min(panels*lanes, p.dst.stride()-q*lanes)
	if add {
		for i := first; i < pixels; i++ {
			copy(stage[staged[i]:][:width], out[p.out[i]+q*lanes:])
		}
	}
	p.kern.gather(stage, staged[first:], rows, p.in[first*p.kh:], packed, p.panelLen(), panels,
		ceilDiv(pixels-first, height), p.kh, p.filterFloats, add)
	for i := first; i < pixels; i++ {
		copy(out[p.out[i]+q*lanes:][:width], stage[staged[i]:])
	}
}
