package kernel

import "clpipe/internal/par"

const (
	// laneSums bounds the sums of a lane: what a worker's own cache holds
	// beside the tiles of a block.
	laneSums = 256 << 10
	// numLanes is the number of lanes of a gradient with such sums, laneTiles the
	// tiles that a lane has at least where there are fewer: sums are moved once a
	// lane.
	numLanes  = 16
	laneTiles = 64
	// joinFloats is the part of a lane's sums that a task adds up.
	joinFloats = 2 << 10
	// gradientFloats bounds the transformed tiles of a block that all workers
	// share: what the cache they have in common holds.
	gradientFloats = 1536 << 10
)

// A winogradGradient computes the weight gradient of a 3x3 convolution: both x
// and dy are transformed tile by tile, their products are summed over tiles at
// each point, and the sums are transformed to 3x3.
//
// Where the sums are small, the tiles are cut into lanes, fixed by the shape,
// each with sums of its own that are added in order at the end. Else there is
// one lane, and all workers share each of its blocks: some transform tiles,
// then each takes points.
type winogradGradient struct {
	kern    gemmKernels
	tr      winogradKernels
	add     func(y, x []float32) // see vectorKernels
	workers int
	members [][]int // the points of each factor

	tiles   tiling // of y
	x, dy   windows
	in, out spectrum // blocks of transformed x and dy
	rows    int      // of a factor's sums: channels of x padded to the tile height
	lanes   int
}

func newWinogradGradient(s ConvShape, tr winogradKernels, row *implementation, workers int) *winogradGradient {
	kern := row.gemm
	sw := s.forward()
	g := &winogradGradient{
		kern:    kern,
		tr:      tr,
		add:     row.vector.add,
		workers: workers,
		tiles:   newTiling(sw.dst, tr.size),
		rows:    roundUp(sw.src.stride(), kern.rows),
	}
	g.x = newWindows(sw.src, g.tiles, tr.window, s.Pad, tr.size*s.Stride)
	g.dy = newWindows(sw.dst, g.tiles, tr.size, 0, tr.size)
	g.members = make([][]int, tr.factors*tr.factors)
	for point := range tr.points * tr.points {
		factor := tr.factor(point)
		g.members[factor] = append(g.members[factor], point)
	}
	points, depth, width := tr.points*tr.points, g.x.stride(), g.dy.stride()
	// A block moves the sums, about points*depth*width floats, and its tiles,
	// points*block*(depth+width); the sums should not be more than twice those.
	block := max(gradientFloats/(points*(depth+width)), depth*width/(depth+width)/2, 4*tileUnit)
	g.lanes = 1
	if count := g.tiles.count(); len(g.members)*g.rows*width <= laneSums && count >= numLanes*tileUnit {
		g.lanes = min(numLanes, count/laneTiles)
		block = min(ceilDiv(count, g.lanes), max(privateFloats/(points*(depth+width))/tileUnit, 1)*tileUnit)
	}
	block = min(block, g.tiles.count())
	g.in, g.out = newSpectrum(points, block, depth), newSpectrum(points, block, width)
	return g
}

// factorLen is the floats of the sums of a factor, [rows][channels of dy].
func (g *winogradGradient) factorLen() int { return g.rows * g.out.channels }

// workerLen is the scratch of a worker: of a transform and, for the last
// channels, of a [9][16] piece of the gradient.
func (g *winogradGradient) workerLen() int { return winogradTmp + 9*lanes }

// laneLen is the floats of the sums of a lane.
func (g *winogradGradient) laneLen() int { return len(g.members) * g.factorLen() }

func (g *winogradGradient) scratchLen() int {
	blocks := 1
	if g.lanes > 1 {
		blocks = g.workers
	}
	return g.lanes*g.laneLen() + blocks*(g.in.len()+g.out.len()) + g.workers*g.workerLen()
}

func (g *winogradGradient) run(dw, x, dy, scratch []float32) []par.Phase {
	take := func(n int) []float32 {
		part := scratch[:n:n]
		scratch = scratch[n:]
		return part
	}
	sums := take(g.lanes * g.laneLen())
	workers := make([]winogradWorker, g.workers)
	for i := range workers {
		workers[i] = winogradWorker{src: newFinder(&g.x), dst: newFinder(&g.dy), stage: take(9 * lanes), tmp: take(winogradTmp)}
		for tap := range 9 {
			workers[i].staged = append(workers[i].staged, tap*lanes)
		}
	}
	if g.lanes == 1 {
		return append(g.runShared(x, dy, sums, take(g.in.len()), take(g.out.len()), workers), g.finish(dw, sums, workers))
	}
	in, out := make([][]float32, g.workers), make([][]float32, g.workers)
	for i := range in {
		in[i], out[i] = take(g.in.len()), take(g.out.len())
	}
	return []par.Phase{{Tasks: g.lanes, Run: func(worker, lane int) {
		in, out, sums := in[worker], out[worker], sums[lane*g.laneLen():]
		from, to := lane*g.tiles.count()/g.lanes, (lane+1)*g.tiles.count()/g.lanes
		for begin := from; begin < to; begin += g.in.tiles {
			count := min(g.in.tiles, to-begin)
			g.transform(in, out, x, dy, &workers[worker], begin, 0, count)
			for factor := range g.members {
				g.multiply(sums, in, out, factor, count, begin == from)
			}
		}
	}}, g.join(sums), g.finish(dw, sums, workers)}
}

// runShared returns the phases of one lane: for each block of tiles one that
// transforms and one that multiplies.
func (g *winogradGradient) runShared(x, dy, sums, in, out []float32, workers []winogradWorker) []par.Phase {
	var phases []par.Phase
	for begin := 0; begin < g.tiles.count(); begin += g.in.tiles {
		count := min(g.in.tiles, g.tiles.count()-begin)
		phases = append(phases, par.Phase{Tasks: ceilDiv(count, transformTiles), Run: func(worker, task int) {
			first := task * transformTiles
			g.transform(in, out, x, dy, &workers[worker], begin, first, min(first+transformTiles, count))
		}}, par.Phase{Tasks: len(g.members), Run: func(_, task int) {
			// The last factor may have most points: begin with it.
			g.multiply(sums, in, out, len(g.members)-1-task, count, begin == 0)
		}})
	}
	return phases
}

// transform transforms the tiles from..to of the block that begins with tile
// begin.
func (g *winogradGradient) transform(in, out, x, dy []float32, w *winogradWorker, begin, from, to int) {
	for t, at := from, g.tiles.at(begin+from); t < to; t, at = t+1, g.tiles.after(at) {
		first, offsets := w.src.find(at)
		g.tr.input(in[g.in.rows[t]:], g.in.offsets, x[first:], offsets, g.in.channels/lanes, false, w.tmp)
		first, offsets = w.dst.find(at)
		g.tr.gradient(out[g.out.rows[t]:], g.out.offsets, dy[first:], offsets, g.out.channels/lanes, false, w.tmp)
	}
}

// multiply adds the products of the first count tiles of a block, at the
// points of a factor, to its sums, or sets them if the block is the first. Rows
// of the sums behind the channels of x take what stands between the rows of
// in; they are not read.
func (g *winogradGradient) multiply(sums, in, out []float32, factor, count int, first bool) {
	sums = sums[factor*g.factorLen():][:g.factorLen()]
	panels := g.out.channels / lanes
	for _, point := range g.members[factor] {
		a, b := in[g.in.offsets[point]:], out[g.out.offsets[point]:]
		for q := 0; q < panels; q += g.kern.panels {
			g.kern.outer(sums[q*lanes:], g.out.channels, a, g.in.stride(), b[q*lanes:], g.out.stride(),
				min(g.kern.panels, panels-q), g.rows/g.kern.rows, count, !first)
		}
		first = false
	}
}

// join adds the sums of the other lanes to those of the first, in order.
func (g *winogradGradient) join(sums []float32) par.Phase {
	n := g.laneLen()
	return par.Phase{Tasks: ceilDiv(n, joinFloats), Run: func(_, task int) {
		from := task * joinFloats
		to := min(from+joinFloats, n)
		for lane := 1; lane < g.lanes; lane++ {
			g.add(sums[from:to], sums[lane*n+from:])
		}
	}}
}

// finish transforms the sums and adds them to dw, a task a channel of x.
func (g *winogradGradient) finish(dw, sums []float32, workers []winogradWorker) par.Phase {
	channels, width := g.x.c, g.dy.c
	whole := width / lanes
	factors, taps := make([]int, len(g.members)), make([]int, 9)
	for i := range factors {
		factors[i] = i * g.factorLen()
	}
	for i := range taps {
		taps[i] = i * channels * width
	}
	return par.Phase{Tasks: channels, Run: func(worker, c int) {
		w := &workers[worker]
		out, from := dw[c*width:], sums[c*g.out.channels:]
		if whole > 0 {
			g.tr.weightGradient(out, taps, from, factors, whole, true, w.tmp)
		}
		if rest := width - whole*lanes; rest > 0 {
			g.tr.weightGradient(w.stage, w.staged, from[whole*lanes:], factors, 1, false, w.tmp)
			for tap, off := range taps {
				row := out[off+whole*lanes:][:rest]
				for j, v := range w.stage[tap*lanes:][:rest] {
					row[j] += v
				}
			}
		}
	}}
}
