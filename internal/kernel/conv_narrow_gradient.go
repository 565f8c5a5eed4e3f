package kernel

import "clpipe/internal/par"

// A narrowGradient computes dw of a convolution of images of at most four
// channels: for each row of the filter the product of the values under it, side
// by side in a band, with a row of dy. The bands are cut into lanes, fixed by
// the shape, with sums of their own that a second phase adds in order.
type narrowGradient struct {
	band
	dy       image
	kern     gemmKernels
	add      func(y, x []float32) // see vectorKernels
	workers  int
	sumRows  int // of a row of the filter: whole tiles
	sumWidth int // O padded to panels
	lanes    int
}

func newNarrowGradient(s ConvShape, row *implementation, workers int) *narrowGradient {
	g := &narrowGradient{
		band: newBand(s), dy: s.forward().dst,
		kern: row.gemm, add: row.vector.add, workers: workers, sumWidth: roundUp(s.O, lanes),
	}
	g.sumRows = roundUp(g.filterFloats, g.kern.rows)
	g.lanes = min(minTasks, g.count())
	return g
}

// laneLen is the floats of a lane's sums.
func (g *narrowGradient) laneLen() int { return g.kh * g.sumRows * g.sumWidth }

// workerLen is the floats of a band, and of a row of dy where its pixels are
// narrower than a panel.
func (g *narrowGradient) workerLen() int {
	n := g.band.len()
	if g.dy.stride() < lanes {
		n += g.w * lanes
	}
	return n
}

func (g *narrowGradient) scratchLen() int { return g.lanes*g.laneLen() + g.workers*g.workerLen() }

func (g *narrowGradient) run(dw, x, dy, scratch []float32) []par.Phase {
	sums := scratch[:g.lanes*g.laneLen()]
	copies := scratch[len(sums):]
	rows := g.kh * g.kw * g.src.c
	return []par.Phase{{Tasks: g.lanes, Run: func(worker, lane int) {
		sum := sums[lane*g.laneLen():][:g.laneLen()]
		clear(sum)
		mem := copies[worker*g.workerLen():][:g.workerLen()]
		for i := lane * g.count() / g.lanes; i < (lane+1)*g.count()/g.lanes; i++ {
			g.multiply(sum, x, dy, mem, i)
		}
	}}, {Tasks: rows, Run: func(_, r int) {
		// Row r of dw is channel c of the tap in column k%kw of row k/kw.
		k, c := r/g.src.c, r%g.src.c
		at := (k/g.kw*g.sumRows + k%g.kw*g.floats + c) * g.sumWidth
		for lane := range g.lanes {
			g.add(dw[r*g.dy.c:][:g.dy.c], sums[lane*g.laneLen()+at:])
		}
	}}}
}

// multiply adds a band's products to the sums of its lane.
func (g *narrowGradient) multiply(sum, x, dy, mem []float32, i int) {
	rows, wide := mem[:g.band.len()], mem[g.band.len():]
	n, first, height := g.at(i)
	g.fill(rows, x, n, first, height)
	panels := g.sumWidth / lanes
	for r := range height {
		grad, stride := dy[g.dy.pixel(n, first+r, 0):], g.dy.stride()
		if stride < lanes {
			widen(wide, grad, g.w, stride)
			grad, stride = wide, lanes
		}
		for k := range g.kh {
			under := rows[g.offset(r, 0, k):]
			for q := 0; q < panels; q += g.kern.panels {
				g.kern.outer(sum[k*g.sumRows*g.sumWidth+q*lanes:], g.sumWidth, under, g.stride*g.floats, grad[q*lanes:], stride,
					min(g.kern.panels, panels-q), g.sumRows/g.kern.rows, g.w, true)
			}
		}
	}
}
