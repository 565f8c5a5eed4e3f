package kernel

import "clpipe/internal/par"

const (
	// blockPixels is the number of result pixels a task computes: a multiple
	// of every implementation's tile height, and few enough that a block of
	// the image stays in the second-level cache.
	blockPixels = 96
	// chunkDepth bounds the rows of a weight panel used at a time, so that
	// 16 KB of it stay in the first-level cache over a block of pixels.
	chunkDepth = 256
	// minTasks is the number of tasks a pass is cut into where its shape
	// allows, enough for the machines at hand to share evenly.
	minTasks = 32
)

// A directPass reads the windows of src in place through a table of offsets.
// Packed weights are [width/16][taps][PadC(depth)][16], the taps class by
// class.
type directPass struct {
	sweep
	kern    gemmKernels
	workers int

	depth     int // PadC of the channels of src
	panels    int // 16-wide panels of the channels of dst
	tapsChunk int // taps multiplied in one call of the kernel
	split     int // panels a task computes
	tasks     []int
}

func newDirectPass(sw sweep, kern gemmKernels, workers int) *directPass {
	p := &directPass{
		sweep:   sw,
		kern:    kern,
		workers: workers,
		depth:   sw.src.stride(),
		panels:  ceilDiv(sw.dst.c, lanes),
	}
	p.tapsChunk = max(1, chunkDepth/p.depth)
	blocks := 0
	for _, cl := range sw.classes {
		blocks += ceilDiv(p.pixels(cl), blockPixels)
	}
	p.split = p.panels
	if blocks < minTasks {
		p.split = roundUp(ceilDiv(p.panels*blocks, minTasks), kern.panels)
	}
	// tasks[i] is the number of the first task of class i.
	p.tasks = make([]int, 1, len(sw.classes)+1)
	for i, cl := range sw.classes {
		p.tasks = append(p.tasks, p.tasks[i]+ceilDiv(p.pixels(cl), blockPixels)*p.splits())
	}
	return p
}

func (p *directPass) pixels(cl class) int { return p.dst.n * cl.h * cl.w }

// splits returns the number of tasks that share the channels of a block.
func (p *directPass) splits() int { return ceilDiv(p.panels, p.split) }

func (p *directPass) panelLen() int { return p.taps * p.depth * lanes }

func (p *directPass) packedLen() int { return p.panels * p.panelLen() }

// stageLen is the scratch of a worker: a block of results on its way to dst
// where the kernel cannot write there.
func (p *directPass) stageLen() int { return blockPixels * p.panels * lanes }

func (p *directPass) scratchLen() int { return p.workers * p.stageLen() }

func (p *directPass) pack(packed, w []float32) []par.Phase {
	var order []int // place of a tap in packed -> its place in w
	for _, cl := range p.classes {
		for _, t := range cl.taps {
			order = append(order, t.index)
		}
	}
	return []par.Phase{{Tasks: p.panels * p.taps, Run: func(_, task int) {
		q, t := task/p.taps, task%p.taps
		matrix := w[order[t]*p.src.c*p.dst.c:]
		p.weights.panel(&p.kern, packed[task*p.depth*lanes:], matrix, 0, p.depth, q*lanes)
	}}}
}

func (p *directPass) run(dst, src, packed, scratch []float32, add bool) []par.Phase {
	tables := make([]directTables, p.workers)
	for i := range tables {
		t := directTables{
			src:   make([]int, blockPixels*p.tapsChunk),
			dst:   make([]int, blockPixels),
			stage: make([]int, blockPixels),
			buf:   scratch[:p.stageLen()],
		}
		scratch = scratch[p.stageLen():]
		for j := range blockPixels {
			t.stage[j] = j * p.panels * lanes
		}
		tables[i] = t
	}
	return []par.Phase{{Tasks: p.tasks[len(p.classes)], Run: func(worker, task int) {
		i := 0
		for task >= p.tasks[i+1] {
			i++
		}
		task -= p.tasks[i]
		p.block(dst, src, packed, add, &p.classes[i], &tables[worker], task/p.splits(), task%p.splits()*p.split)
	}}}
}

// directTables are the scratch of a worker: offsets of the source pixels of a
// chunk of taps, [group][tap][row]; of the pixels of dst; and of the rows of
// buf, which takes the place of dst for a block that dst cannot hold whole.
type directTables struct {
	src, dst, stage []int
	buf             []float32
}

// block computes up to split panels, from number first, of a block of pixels.
func (p *directPass) block(dst, src, packed []float32, add bool, cl *class, t *directTables, block, first int) {
	panels := min(p.split, p.panels-first)
	begin := block * blockPixels
	pixels := min(blockPixels, p.pixels(*cl)-begin)
	n, a, b := cl.pixel(begin)
	for i := range pixels {
		t.dst[i] = p.dst.pixel(n, cl.row+a*p.dstStep, cl.col+b*p.dstStep)
		n, a, b = cl.next(n, a, b)
	}
	if len(cl.taps) == 0 {
		if !add {
			width := min(panels*lanes, p.dst.stride())
			for _, off := range t.dst[:pixels] {
				clear(dst[off+first*lanes:][:width])
			}
		}
		return
	}

	// A tile writes whole panels and rows; a last block that is not full and
	// an image narrower than a panel take the way over the stage.
	staged := pixels < blockPixels || p.dst.stride() < lanes
	out, offsets, accumulate := dst, t.dst, add
	if staged {
		out, offsets, accumulate = t.buf, t.stage, false
	}
	groups := ceilDiv(pixels, p.kern.rows)
	for tap0 := 0; tap0 < len(cl.taps); tap0 += p.tapsChunk {
		taps := cl.taps[tap0:min(tap0+p.tapsChunk, len(cl.taps))]
		p.locate(t.src, cl, taps, begin, pixels, groups)
		for k0 := 0; k0 < p.depth; k0 += chunkDepth {
			chunk := min(chunkDepth, p.depth-k0)
			for q := first; q < first+panels; q += p.kern.panels {
				panel := packed[q*p.panelLen()+((cl.firstTap+tap0)*p.depth+k0)*lanes:]
				p.kern.gather(out[q*lanes:], offsets, src[k0:], t.src, panel,
					p.panelLen(), min(p.kern.panels, first+panels-q), groups, len(taps), chunk, accumulate)
			}
			accumulate = true
		}
	}
	if staged {
		p.unstage(dst, t, pixels, first*lanes, panels*lanes, add)
	}
}

// locate fills table with the offsets in src of the taps of a block of pixels.
// Rows behind the last pixel read the zero pixel.
func (p *directPass) locate(table []int, cl *class, taps []tap, begin, pixels, groups int) {
	rows, stride := p.kern.rows, p.src.stride()
	var reach reach
	for _, tap := range taps {
		reach.include(tap, 1)
	}
	n, a, b := cl.pixel(begin)
	for i := range groups * rows {
		at := table[i/rows*len(taps)*rows+i%rows:]
		if i >= pixels {
			for j := range taps {
				at[j*rows] = p.src.zeroPixel()
			}
			continue
		}
		h, w := a*p.srcStep, b*p.srcStep
		if reach.inside(p.src, h, w) {
			first := p.src.pixel(n, h, w)
			for j, tap := range taps {
				at[j*rows] = first + (tap.dh*p.src.w+tap.dw)*stride
			}
		} else {
			for j, tap := range taps {
				at[j*rows] = p.src.pixel(n, h+tap.dh, w+tap.dw)
			}
		}
		n, a, b = cl.next(n, a, b)
	}
}

// pixel returns the image, row and column of pixel i of a class.
func (cl *class) pixel(i int) (n, a, b int) {
	return i / (cl.h * cl.w), i / cl.w % cl.h, i % cl.w
}

// next returns the pixel after one.
func (cl *class) next(n, a, b int) (int, int, int) {
	if b++; b < cl.w {
		return n, a, b
	}
	if a++; a < cl.h {
		return n, a, 0
	}
	return n + 1, 0, 0
}

// unstage copies or adds the channels from..from+width of a staged block to dst.
func (p *directPass) unstage(dst []float32, t *directTables, pixels, from, width int, add bool) {
	width = min(width, p.dst.stride()-from)
	for i, off := range t.dst[:pixels] {
		row := dst[off+from:][:width]
		staged := t.buf[t.stage[i]+from:][:width]
		if !add {
			copy(row, staged)
			continue
		}
		for j, v := range staged {
			row[j] += v
		}
	}
}
