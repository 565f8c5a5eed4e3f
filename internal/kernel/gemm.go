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
	// blockRows and blockCols bound the block of C of a task. More rows share
	// the packing of B, more columns that of A; both come from the second cache.
	blockRows = 264
	blockCols = 256
	// narrowRows is the least a block is cut down to for more tasks.
	narrowRows = 64
	// tasksPerWorker is how many tasks a worker has at least, where the product
	// is large enough: they do not all take equally long. Where narrower blocks
	// pack nothing anew, freeTasks.
	tasksPerWorker = 2
	freeTasks      = 4
	// turnedGap keeps rows of the turned A off the same cache sets.
	turnedGap = lanes
)

// NewGemm plans a product for a pool of the given number of workers.
func NewGemm(s GemmShape, workers int) *Gemm {
	g := &Gemm{shape: s.withDefaults(), kern: active.gemm, workers: workers}
	g.unit = g.kern.panels * lanes
	down, across := ceilDiv(s.M, blockRows), ceilDiv(s.N, blockCols)
	for {
		g.rows = roundUp(ceilDiv(s.M, down), g.kern.rows)
		g.cols = roundUp(ceilDiv(s.N, across), g.unit)
		free := !s.TransA && g.cols > g.unit && g.tasks() < freeTasks*workers
		if !free && g.tasks() >= tasksPerWorker*workers {
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

// depth is the part of the sums a block takes at a time, so that the packed
// unit of B stays in the first cache.
func (g *Gemm) depth() int { return min(g.shape.K, chunkDepth) }

func (g *Gemm) packedLen() int { return g.depth() * g.unit }

// turnedStride is the distance of the rows of the turned part of A.
func (g *Gemm) turnedStride() int { return roundUp(g.depth(), lanes) + turnedGap }

func (g *Gemm) turnedLen() int {
	if !g.shape.TransA {
		return 0
	}
	return g.rows * g.turnedStride()
}

// stageLen is the floats of tiles that reach beyond C.
func (g *Gemm) stageLen() int { return g.rows * g.unit }

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
	packed  []float32 // a unit of b: [panels][depth][16]
	turned  []float32 // a part of a by rows, where memory holds it by columns
	stage   []float32 // tiles that reach beyond c, [rows][unit]
	a, c, s []int     // offsets of the rows of a block in a or turned, in c, and in stage
}

func (g *Gemm) worker(mem []float32) gemmWorker {
	w := gemmWorker{
		packed: mem[:g.packedLen()],
		turned: mem[g.packedLen():][:g.turnedLen()],
		stage:  mem[g.packedLen()+g.turnedLen():],
		a:      make([]int, g.rows),
		c:      make([]int, g.rows),
		s:      make([]int, g.rows),
	}
	for i := range g.rows {
		w.c[i], w.s[i] = i*g.shape.LDC, i*g.unit
	}
	return w
}

// block computes the block of c that begins at row m0 and column n0.
func (g *Gemm) block(c, a, b []float32, add bool, w *gemmWorker, m0, n0 int) {
	s := g.shape
	rows, end := min(g.rows, s.M-m0), min(n0+g.cols, s.N)
	left := a[m0:]
	stride := g.turnedStride()
	if !s.TransA {
		left, stride = a[m0*s.LDA:], s.LDA
	}
	for i := range w.a {
		w.a[i] = min(i, rows-1) * stride // rows behind the last repeat it
	}
	right := panelSource{depth: s.K, width: s.N, stride: s.LDB, transposed: s.TransB}
	for k0 := 0; k0 < s.K; k0 += chunkDepth {
		depth := min(chunkDepth, s.K-k0)
		var part []float32
		if s.TransA {
			g.kern.turn(w.turned, stride, left[k0*s.LDA:], s.LDA, depth, rows)
			part = w.turned
		} else {
			part = left[k0:]
		}
		for n := n0; n < end; n += g.unit {
			panels := min(g.unit/lanes, ceilDiv(s.N-n, lanes))
			for q := range panels {
				right.panel(&g.kern, w.packed[q*depth*lanes:], b, k0, depth, n+q*lanes)
			}
			g.multiply(c[m0*s.LDC+n:], part, w, rows, min(s.N-n, g.unit), panels, depth, add || k0 > 0)
		}
	}
}

// multiply computes rows x cols of c from the rows of a and the packed unit of
// b. Tiles that reach beyond c are computed in the stage, as if they did not.
func (g *Gemm) multiply(c, a []float32, w *gemmWorker, rows, cols, panels, depth int, accumulate bool) {
	height := g.kern.rows
	whole := rows / height
	if cols < panels*lanes {
		whole = 0
	}
	if whole > 0 {
		g.kern.gather(c, w.c, a, w.a, w.packed, depth*lanes, panels, whole, 1, depth, accumulate)
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
	g.kern.gather(w.stage, w.s[first:], a, w.a[first:], w.packed, depth*lanes, panels, ceilDiv(rows-first, height), 1, depth, accumulate)
	for i := first; i < rows; i++ {
		copy(c[w.c[i]:][:cols], w.stage[w.s[i]:])
	}
}

func (g *Gemm) need(name string, buf []float32, want int) {
	if len(buf) < want {
		panic(fmt.Sprintf("kernel: gemm: %+v: %s has %d floats, want %d", g.shape, name, len(buf), want))
	}
}
