package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// A GemmShape is a product C [M,N] (+)= A [M,K] * B [K,N] of row-major
// matrices. With TransA memory holds A as [K,M], with TransB it holds B as
// [N,K]. LDA, LDB and LDC are the distances of the rows in memory; 0 means
// rows without gaps.
type GemmShape struct {
	M, N, K        int
	TransA, TransB bool
	LDA, LDB, LDC  int
}

// withDefaults fills leading dimensions and panics where a size or a leading
// dimension is too small.
func (s GemmShape) withDefaults() GemmShape {
	widthA, widthB := s.K, s.N
	if s.TransA {
		widthA = s.M
	}
	if s.TransB {
		widthB = s.K
	}
	given := s
	for _, d := range []struct {
		ld    *int
		width int
	}{{&s.LDA, widthA}, {&s.LDB, widthB}, {&s.LDC, s.N}} {
		if *d.ld == 0 {
			*d.ld = d.width
		}
		if d.width < 1 || *d.ld < d.width {
			panic(fmt.Sprintf("kernel: gemm: %+v: got a leading dimension of %d for rows of %d", given, *d.ld, d.width))
		}
	}
	if s.M < 1 {
		panic(fmt.Sprintf("kernel: gemm: %+v: got no rows", given))
	}
	return s
}

// A Gemm is the plan of a matrix product for one shape and the implementation
// that was active when it was made. It is immutable.
//
// A task computes a block of C. It packs what it reads of B, and of A where
// memory holds it by columns, itself: what another worker has packed would come
// from that one's cache, which takes longer than packing. How C is cut does not
// change a sum, so it may follow the number of workers.
type Gemm struct {
	shape      GemmShape
	kern       gemmKernels
	workers    int
	unit       int // columns of a register tile
	rows, cols int // of a task's block: whole tiles
}

const (
	// narrowRows is the least a block is cut down to for more tasks.
	narrowRows = 64
	// tasksPerWorker is how many tasks each of several workers has at least, where
	// the product is large enough: they do not all take equally long. Where
	// narrower blocks read nothing anew that is not at hand, freeTasks.
	tasksPerWorker = 2
	freeTasks      = 4
	// packedRows is the rows of B that are packed for all panels of a unit before
	// the next rows: the panels lie side by side in memory, and a page that was
	// looked up for one serves the others.
	packedRows = 16
	// turnedGap keeps rows of the turned A off the same cache sets.
	turnedGap = lanes
)

// wholeStrips are blocks of a single strip: 264 rows in a second cache of 512 KiB.
var wholeStrips = gemmBlock{rows: 264, cols: 256, depth: 256, strip: 264}

// NewGemm plans a product for a pool of the given number of workers.
func NewGemm(s GemmShape, workers int) *Gemm {
	g := &Gemm{shape: s.withDefaults(), kern: active.gemm, workers: workers}
	g.unit = g.kern.panels * lanes
	down, across := ceilDiv(s.M, g.kern.block.rows), ceilDiv(s.N, g.kern.block.cols)
	for {
		g.rows = roundUp(ceilDiv(s.M, down), g.kern.rows)
		g.cols = roundUp(ceilDiv(s.N, across), g.unit)
		free := !s.TransA && g.oneStrip() && g.cols > g.unit && g.tasks() < freeTasks*workers
		if workers == 1 || !free && g.tasks() >= tasksPerWorker*workers {
			return g
		}
		// Narrower blocks pack A anew, lower ones B.
		switch {
		case g.cols > g.unit && (!s.TransA || g.cols > g.rows || g.rows < 2*narrowRows):
			across++
		case g.rows >= 2*narrowRows:
			down++
		default:
			return g
		}
	}
}

func (g *Gemm) tasks() int { return ceilDiv(g.shape.M, g.rows) * g.across() }

// across is the blocks side by side.
func (g *Gemm) across() int { return ceilDiv(g.shape.N, g.cols) }

// depth is the part of the sums a block takes at a time.
func (g *Gemm) depth() int { return min(g.shape.K, g.kern.block.depth) }

// strip is the rows of A that a block takes at a time.
func (g *Gemm) strip() int { return min(g.rows, g.kern.block.strip) }

func (g *Gemm) oneStrip() bool { return g.strip() == g.rows }

func (g *Gemm) packedLen() int {
	if g.oneStrip() {
		return g.depth() * g.unit
	}
	return g.depth() * g.cols
}

// turnedStride is the distance of the rows of the turned part of A.
func (g *Gemm) turnedStride() int { return roundUp(g.depth(), lanes) + turnedGap }

func (g *Gemm) turnedLen() int {
	if !g.shape.TransA {
		return 0
	}
	return g.strip() * g.turnedStride()
}

// stageLen is the floats of tiles that reach beyond C.
func (g *Gemm) stageLen() int { return g.strip() * g.unit }

func (g *Gemm) workerLen() int { return g.packedLen() + g.turnedLen() + g.stageLen() }

// ScratchLen returns the floats of scratch the product needs.
func (g *Gemm) ScratchLen() int { return g.workers * g.workerLen() }

// Flops returns the floating-point operations of the product.
func (g *Gemm) Flops() int64 {
	return 2 * int64(g.shape.M) * int64(g.shape.N) * int64(g.shape.K)
}

// Run computes c = a*b, or c += a*b where add is set. c must not overlap the
// others.
func (g *Gemm) Run(c, a, b, scratch []float32, add bool) []par.Phase {
	s := g.shape
	rowsA, rowsB, widthA, widthB := s.M, s.K, s.K, s.N
	if s.TransA {
		rowsA, widthA = s.K, s.M
	}
	if s.TransB {
		rowsB, widthB = s.N, s.K
	}
	g.need("c", c, (s.M-1)*s.LDC+s.N)
	g.need("a", a, (rowsA-1)*s.LDA+widthA)
	g.need("b", b, (rowsB-1)*s.LDB+widthB)
	g.need("scratch", scratch, g.ScratchLen())

	workers := make([]gemmWorker, g.workers)
	for i := range workers {
		workers[i] = g.worker(scratch[i*g.workerLen():][:g.workerLen()])
	}
	return []par.Phase{{Tasks: g.tasks(), Run: func(worker, task int) {
		g.block(c, a, b, add, &workers[worker], task/g.across()*g.rows, task%g.across()*g.cols)
	}}}
}

// gemmWorker is the scratch of a worker.
type gemmWorker struct {
	packed  []float32 // b: [panels][depth][16], of a unit or of the block
	turned  []float32 // a strip of a by rows, where memory holds it by columns
	stage   []float32 // tiles that reach beyond c, [strip][unit]
	a, c, s []int     // offsets of the rows of a strip in a or turned, in c, and in stage
}

func (g *Gemm) worker(mem []float32) gemmWorker {
	w := gemmWorker{
		packed: mem[:g.packedLen()],
		turned: mem[g.packedLen():][:g.turnedLen()],
		stage:  mem[g.packedLen()+g.turnedLen():],
		a:      make([]int, g.strip()),
		c:      make([]int, g.strip()),
		s:      make([]int, g.strip()),
	}
	for i := range w.s {
		w.c[i], w.s[i] = i*g.shape.LDC, i*g.unit
	}
	return w
}

// block computes the block of c that begins at row m0 and column n0. It goes
// through the sums by parts of their depth, in these through the rows by strips,
// and packs b with the first strip, which meets it while it is at hand.
func (g *Gemm) block(c, a, b []float32, add bool, w *gemmWorker, m0, n0 int) {
	s := g.shape
	end := min(m0+g.rows, s.M)
	for k0 := 0; k0 < s.K; k0 += g.depth() {
		depth := min(g.depth(), s.K-k0)
		for m := m0; m < end; m += g.strip() {
			rows := min(g.strip(), end-m)
			left := g.left(a, w, m, rows, k0, depth)
			for n := n0; n < min(n0+g.cols, s.N); n += g.unit {
				packed, panels := w.packed, min(g.unit/lanes, ceilDiv(s.N-n, lanes))
				if !g.oneStrip() {
					packed = packed[(n-n0)*depth:]
				}
				if m == m0 {
					g.pack(packed, b, k0, depth, n, panels)
				}
				g.multiply(c[m*s.LDC+n:], left, packed, w, rows, min(s.N-n, g.unit), panels, depth, add || k0 > 0)
			}
		}
	}
}

// left returns the part of a from row m and column k0, whose rows begin at w.a.
func (g *Gemm) left(a []float32, w *gemmWorker, m, rows, k0, depth int) []float32 {
	s := g.shape
	part, stride := w.turned, g.turnedStride()
	if s.TransA {
		g.kern.turn(part, stride, a[k0*s.LDA+m:], s.LDA, depth, rows)
	} else {
		part, stride = a[m*s.LDA+k0:], s.LDA
	}
	for i := range w.a {
		w.a[i] = min(i, rows-1) * stride // rows behind the last repeat it
	}
	return part
}

// pack brings the rows k0 to k0+depth and the panels from column n of b into
// their order.
func (g *Gemm) pack(packed, b []float32, k0, depth, n, panels int) {
	s := g.shape
	right := panelSource{depth: s.K, width: s.N, stride: s.LDB, transposed: s.TransB}
	rows := depth
	if panels > 1 && !s.TransB {
		rows = packedRows
	}
	for k := 0; k < depth; k += rows {
		for q := range panels {
			right.panel(&g.kern, packed[(q*depth+k)*lanes:], b, k0+k, min(rows, depth-k), n+q*lanes)
		}
	}
}

// multiply computes rows x cols of c from the rows of a and the packed unit of
// b. Tiles that reach beyond c are computed in the stage, as if they did not.
func (g *Gemm) multiply(c, a, packed []float32, w *gemmWorker, rows, cols, panels, depth int, accumulate bool) {
	height := g.kern.rows
	whole := rows / height
	if cols < panels*lanes {
		whole = 0
	}
	if whole > 0 {
		g.kern.gather(c, w.c, a, w.a, packed, depth*lanes, panels, whole, 1, depth, accumulate)
	}
	first := whole * height
	if first == rows {
		return
	}
	if accumulate {
		for i := first; i < rows; i++ {
			copy(w.stage[w.s[i]:][:cols], c[w.c[i]:])
		}
	}
	g.kern.gather(w.stage, w.s[first:], a, w.a[first:], packed, depth*lanes, panels, ceilDiv(rows-first, height), 1, depth, accumulate)
	for i := first; i < rows; i++ {
		copy(c[w.c[i]:][:cols], w.stage[w.s[i]:])
	}
}

func (g *Gemm) need(name string, buf []float32, want int) {
	if len(buf) < want {
		panic(fmt.Sprintf("kernel: gemm: %+v: %s has %d floats, want %d", g.shape, name, len(buf), want))
	}
}
