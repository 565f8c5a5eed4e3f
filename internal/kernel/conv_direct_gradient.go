package kernel

import "clpipe/internal/par"

const (
	// gradientPixels is the number of pixels whose products are summed in
	// registers before they are added to memory.
	gradientPixels = 128
	// gradientRows is the width of the panels that windows are copied to: a
	// multiple of every implementation's tile height; with gradientPixels it
	// makes 24 KB, which the first-level cache holds.
	gradientRows = 48
	// gradientTile bounds the floats of the sums of a task, so that they stay
	// in the second-level cache while it runs over the pixels.
	gradientTile = 64 << 10
)

// A directGradient computes dw [taps*C][O] as the product of the windows of x,
// one row a tap and channel, one column a pixel, with dy. The pixels are cut
// into lanes, fixed by the shape, with sums of their own that a second phase
// adds in order.
type directGradient struct {
	sweep   // the forward sweep; its dst is dy
	kern    gemmKernels
	workers int

	rows     int // taps * PadC(C), the rows of dw with padding channels
	width    int // O padded to panels
	taskRows int // rows a task computes, a multiple of gradientRows
	lanes    int
}

func newDirectGradient(s ConvShape, kern gemmKernels, workers int) *directGradient {
	g := &directGradient{
		sweep:   s.forward(),
		kern:    kern,
		workers: workers,
		rows:    s.KH * s.KW * PadC(s.C),
		width:   roundUp(s.O, lanes),
	}
	g.taskRows = min(roundUp(g.rows, gradientRows), max(gradientTile/g.width/gradientRows, 1)*gradientRows)
	g.lanes = max(1, min(minTasks/g.rowTasks(), g.pixelBlocks()))
	return g
}

func (g *directGradient) pixels() int      { return g.dst.n * g.dst.h * g.dst.w }
func (g *directGradient) pixelBlocks() int { return ceilDiv(g.pixels(), gradientPixels) }
func (g *directGradient) rowTasks() int    { return ceilDiv(g.rows, g.taskRows) }

// laneLen is the floats of a lane's sums.
func (g *directGradient) laneLen() int { return g.rowTasks() * g.taskRows * g.width }

// workerLen is the floats of a worker's copies: a panel of windows and the
// matching pixels of dy.
func (g *directGradient) workerLen() int { return gradientPixels * (gradientRows + g.width) }

func (g *directGradient) scratchLen() int { return g.lanes*g.laneLen() + g.workers*g.workerLen() }

func (g *directGradient) run(dw, x, dy, scratch []float32) []par.Phase {
	sums := scratch[:g.lanes*g.laneLen()]
	copies := scratch[len(sums):]
	multiply := par.Phase{Tasks: g.lanes * g.rowTasks(), Run: func(worker, task int) {
		lane, rows := task/g.rowTasks(), task%g.rowTasks()
		sum := sums[lane*g.laneLen()+rows*g.taskRows*g.width:][:g.taskRows*g.width]
		g.multiply(sum, x, dy, copies[worker*g.workerLen():][:g.workerLen()], lane, rows*g.taskRows)
	}}
	join := par.Phase{Tasks: g.taps, Run: func(_, tap int) {
		for c := range g.src.c {
			out := dw[(tap*g.src.c+c)*g.dst.c:][:g.dst.c]
			row := (tap*g.src.stride() + c) * g.width
			for lane := range g.lanes {
				for o, v := range sums[lane*g.laneLen()+row:][:g.dst.c] {
					out[o] += v
				}
			}
		}
	}}
	return []par.Phase{multiply, join}
}

// multiply computes taskRows rows of a lane's sums, from number first.
func (g *directGradient) multiply(sum, x, dy, copies []float32, lane, first int) {
	clear(sum)
	window, narrow := copies[:gradientPixels*gradientRows], copies[gradientPixels*gradientRows:]
	begin := lane * g.pixelBlocks() / g.lanes * gradientPixels
	end := min((lane+1)*g.pixelBlocks()/g.lanes*gradientPixels, g.pixels())
	panels := g.width / lanes
	for ; begin < end; begin += gradientPixels {
		pixels := min(gradientPixels, end-begin)
		block := dy[begin*g.dst.stride():]
		if g.dst.stride() < lanes {
			widen(narrow, block, pixels, g.dst.stride())
			block = narrow
		}
		for row := 0; row < g.taskRows && first+row < g.rows; row += gradientRows {
			g.window(window, x, begin, pixels, first+row)
			for q := 0; q < panels; q += g.kern.panels {
				g.kern.outer(sum[row*g.width+q*lanes:], g.width, window, gradientRows, block[q*lanes:],
					max(g.dst.stride(), lanes), min(g.kern.panels, panels-q), gradientRows/g.kern.rows, pixels)
			}
		}
	}
}

// window copies, for each of a block of pixels, the values of x that meet the
// rows first to first+gradientRows of dw. Rows behind the last are left as
// they were: they only reach sums that are not read.
func (g *directGradient) window(dst, x []float32, begin, pixels, first int) {
	stride := g.src.stride()
	unit := min(stride, lanes)
	cl := &g.classes[0]
	for i := range pixels {
		n, a, b := cl.pixel(begin + i)
		at := dst[i*gradientRows:][:gradientRows]
		for r := 0; r < gradientRows && first+r < g.rows; r += unit {
			t := cl.taps[(first+r)/stride]
			off := g.src.pixel(n, a*g.srcStep+t.dh, b*g.srcStep+t.dw) + (first+r)%stride
			copy(at[r:r+unit], x[off:off+unit])
		}
	}
}

// widen copies pixels of stride channels to a stride of 16, zeros between.
func widen(dst, src []float32, pixels, stride int) {
	clear(dst[:pixels*lanes])
	for i := range pixels {
		copy(dst[i*lanes:], src[i*stride:(i+1)*stride])
	}
}
