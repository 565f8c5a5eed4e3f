package kernel

import "clpipe/internal/par"

const (
	// gradientPixels is the number of pixels whose products are summed in
	// registers before they are added to memory.
	gradientPixels = 128
	// gradientRows bounds the width of the panels that windows are copied to;
	// with gradientPixels it makes 32 KB.
	gradientRows = 64
	// laneBlocks is the least number of blocks of pixels in a lane: with fewer,
	// adding up the lanes shows.
	laneBlocks = 4
	// gradientTile bounds the floats of the sums of a task, so that they stay
	// in the second-level cache while it runs over the pixels.
	gradientTile = 64 << 10
	// joinRows is the number of rows of dw a task adds the lanes of.
	joinRows = 16
)

// A directGradient computes dw [taps*C][O] as the product of the windows of x,
// one row a tap and channel, one column a pixel, with dy. The pixels are cut
// into lanes, fixed by the shape, with sums of their own that a second phase
// adds in order.
type directGradient struct {
	sweep   // the forward sweep; its dst is dy
	kern    gemmKernels
	add     func(y, x []float32) // see vectorKernels
	workers int

	rows      int // taps * PadC(C), the rows of dw with padding channels
	width     int // O padded to panels
	panelRows int // width of a panel of windows, a multiple of the tile height
	taskRows  int // rows a task computes, a multiple of panelRows
	lanes     int
	windows   []windowCopy // of each panel
}

func newDirectGradient(s ConvShape, row *implementation, workers int) *directGradient {
	kern := row.gemm
	g := &directGradient{
		sweep:   s.forward(),
		kern:    kern,
		add:     row.vector.add,
		workers: workers,
		rows:    s.KH * s.KW * PadC(s.C),
		width:   roundUp(s.O, lanes),
	}
	panels := ceilDiv(g.rows, gradientRows)
	g.panelRows = roundUp(ceilDiv(g.rows, panels), kern.rows)
	panels = ceilDiv(g.rows, g.panelRows)
	g.taskRows = min(panels, max(gradientTile/g.width/g.panelRows, 1)) * g.panelRows
	g.lanes = max(1, min(minTasks/g.rowTasks(), g.pixelBlocks()/laneBlocks))
	for panel := range panels {
		// The last panel may have rows behind those of dw; what they hold only
		// reaches sums that are not read.
		g.windows = append(g.windows, newWindowCopy(&g.sweep, &g.classes[0], panel*g.panelRows, g.panelRows))
	}
	return g
}

func (g *directGradient) pixels() int      { return g.dst.n * g.dst.h * g.dst.w }
func (g *directGradient) pixelBlocks() int { return ceilDiv(g.pixels(), gradientPixels) }
func (g *directGradient) rowTasks() int    { return ceilDiv(g.rows, g.taskRows) }

// laneLen is the floats of a lane's sums.
func (g *directGradient) laneLen() int { return g.rowTasks() * g.taskRows * g.width }

// workerLen is the floats of a worker's copies: a panel of windows and the
// matching pixels of dy.
func (g *directGradient) workerLen() int { return gradientPixels * (g.panelRows + g.width) }

func (g *directGradient) scratchLen() int { return g.lanes*g.laneLen() + g.workers*g.workerLen() }

func (g *directGradient) run(dw, x, dy, scratch []float32) []par.Phase {
	sums := scratch[:g.lanes*g.laneLen()]
	copies := scratch[len(sums):]
	multiply := par.Phase{Tasks: g.lanes * g.rowTasks(), Run: func(worker, task int) {
		lane, rows := task/g.rowTasks(), task%g.rowTasks()
		sum := sums[lane*g.laneLen()+rows*g.taskRows*g.width:][:g.taskRows*g.width]
		g.multiply(sum, x, dy, copies[worker*g.workerLen():][:g.workerLen()], lane, rows*g.taskRows)
	}}
	dwRows := g.taps * g.src.c
	join := par.Phase{Tasks: ceilDiv(dwRows, joinRows), Run: func(_, task int) {
		for r := task * joinRows; r < min((task+1)*joinRows, dwRows); r++ {
			out := dw[r*g.dst.c:][:g.dst.c]
			row := (r/g.src.c*g.src.stride() + r%g.src.c) * g.width
			for lane := range g.lanes {
				g.add(out, sums[lane*g.laneLen()+row:])
			}
		}
	}}
	return []par.Phase{multiply, join}
}

// multiply computes taskRows rows of a lane's sums, from number first.
func (g *directGradient) multiply(sum, x, dy, copies []float32, lane, first int) {
	window, narrow := copies[:gradientPixels*g.panelRows], copies[gradientPixels*g.panelRows:]
	begin := lane * g.pixelBlocks() / g.lanes * gradientPixels
	end := min((lane+1)*g.pixelBlocks()/g.lanes*gradientPixels, g.pixels())
	panels := g.width / lanes
	accumulate := false
	for ; begin < end; begin += gradientPixels {
		pixels := min(gradientPixels, end-begin)
		block := dy[begin*g.dst.stride():]
		if g.dst.stride() < lanes {
			widen(narrow, block, pixels, g.dst.stride())
			block = narrow
		}
		for row := 0; row < g.taskRows && first+row < g.rows; row += g.panelRows {
			g.windows[(first+row)/g.panelRows].copy(window, x, begin, pixels)
			for q := 0; q < panels; q += g.kern.panels {
				g.kern.outer(sum[row*g.width+q*lanes:], g.width, window, g.panelRows, block[q*lanes:],
					max(g.dst.stride(), lanes), min(g.kern.panels, panels-q), g.panelRows/g.kern.rows, pixels, accumulate)
			}
		}
		accumulate = true
	}
}

// widen copies pixels of stride channels to a stride of 16, zeros between.
func widen(dst, src []float32, pixels, stride int) {
	clear(dst[:pixels*lanes])
	for i := range pixels {
		copy(dst[i*lanes:], src[i*stride:(i+1)*stride])
	}
}
