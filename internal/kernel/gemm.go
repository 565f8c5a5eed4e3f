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
// Rows of A are read in place. Where memory holds it by columns, it is copied
// to blocks of [K][96], and the product is the one of weight gradients.
type Gemm struct {
	shape   GemmShape
	kern    gemmKernels
	workers int
	panels  int // 16-wide panels of b
	split   int // panels a task computes
}

// NewGemm plans a product for a pool of the given number of workers.
func NewGemm(s GemmShape, workers int) *Gemm {
	g := &Gemm{shape: s.withDefaults(), kern: active.gemm, workers: workers, panels: ceilDiv(s.N, lanes)}
	g.split = g.panels
	if g.blocks() < minTasks {
		g.split = roundUp(ceilDiv(g.panels*g.blocks(), minTasks), g.kern.panels)
	}
	return g
}

func (g *Gemm) blocks() int { return ceilDiv(g.shape.M, blockPixels) }

func (g *Gemm) panelLen() int { return g.shape.K * lanes }

// columnsLen is the floats of the copy of A, made where memory holds it by
// columns.
func (g *Gemm) columnsLen() int {
	if !g.shape.TransA {
		return 0
	}
	return g.blocks() * g.shape.K * blockPixels
}

// stageLen is the floats of a worker's block of results on its way to C.
func (g *Gemm) stageLen() int { return blockPixels * g.split * lanes }

// ScratchLen returns the floats of scratch the product needs.
func (g *Gemm) ScratchLen() int {
	return g.panels*g.panelLen() + g.columnsLen() + g.workers*g.stageLen()
}

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

	packed, scratch := scratch[:g.panels*g.panelLen()], scratch[g.panels*g.panelLen():]
	columns, scratch := scratch[:g.columnsLen()], scratch[g.columnsLen():]
	tables := make([]gemmTables, g.workers)
	for i := range tables {
		tables[i] = gemmTables{make([]int, blockPixels), make([]int, blockPixels), scratch[i*g.stageLen():][:g.stageLen()]}
	}
	splits := ceilDiv(g.panels, g.split)
	return []par.Phase{g.pack(packed, columns, a, b), {Tasks: g.blocks() * splits, Run: func(worker, task int) {
		begin, first := task/splits*blockPixels, task%splits*g.split
		if s.TransA {
			g.blockByColumns(c, columns[begin*s.K:], packed, add, &tables[worker], begin, first)
		} else {
			g.blockByRows(c, a, packed, add, &tables[worker], begin, first)
		}
	}}}
}

// packDepth is the rows of a factor a task packs: more tasks than panels, for
// products of few panels.
const packDepth = 128

// pack brings B into panels [K][16], for the product by columns [K][16n] where
// a tile spans n panels, and A, if memory holds it by columns, into blocks.
func (g *Gemm) pack(packed, columns, a, b []float32) par.Phase {
	s := g.shape
	unit := 1 // panels that lie side by side
	if s.TransA {
		unit = g.kern.panels
	}
	right := panelSource{depth: s.K, width: s.N, stride: s.LDB, transposed: s.TransB}
	left := panelSource{depth: s.K, width: s.M, stride: s.LDA}
	depths, ofB := ceilDiv(s.K, packDepth), ceilDiv(g.panels, unit)
	tasks := ofB * depths
	if s.TransA {
		tasks += g.blocks() * depths
	}
	return par.Phase{Tasks: tasks, Run: func(_, task int) {
		i, k0 := task/depths, task%depths*packDepth
		rows := min(packDepth, s.K-k0)
		if i < ofB {
			width := min(unit, g.panels-i*unit) * lanes
			right.block(packed[i*unit*g.panelLen()+k0*width:], b, k0, rows, i*unit*lanes, width)
			return
		}
		begin := (i - ofB) * blockPixels
		left.block(columns[begin*s.K+k0*blockPixels:], a, k0, rows, begin, blockPixels)
	}}
}

// gemmTables are the scratch of a worker: offsets of the rows of a and of c,
// and a block that takes the place of c where c cannot hold whole tiles.
type gemmTables struct {
	a, c  []int
	stage []float32
}

// blockByRows computes up to split panels, from number first, of the rows from
// begin.
func (g *Gemm) blockByRows(c, a, packed []float32, add bool, t *gemmTables, begin, first int) {
	s := g.shape
	panels, count := min(g.split, g.panels-first), min(blockPixels, s.M-begin)
	out, ldc, accumulate, staged := g.target(c, add, t, begin, first)
	groups := ceilDiv(count, g.kern.rows)
	for i := range groups * g.kern.rows {
		// Rows behind the last repeat it; their results stay in the stage.
		t.a[i] = min(begin+i, s.M-1) * s.LDA
		t.c[i] = i * ldc
	}
	for k0 := 0; k0 < s.K; k0 += chunkDepth {
		depth := min(chunkDepth, s.K-k0)
		for q := 0; q < panels; q += g.kern.panels {
			g.kern.gather(out[q*lanes:], t.c, a[k0:], t.a, packed[(first+q)*g.panelLen()+k0*lanes:],
				g.panelLen(), min(g.kern.panels, panels-q), groups, 1, depth, accumulate)
		}
		accumulate = true
	}
	if staged {
		g.unstage(c, t, add, begin, first)
	}
}

// blockByColumns is blockByRows on a block of columns of A, [K][96].
func (g *Gemm) blockByColumns(c, columns, packed []float32, add bool, t *gemmTables, begin, first int) {
	s := g.shape
	panels, count := min(g.split, g.panels-first), min(blockPixels, s.M-begin)
	out, ldc, accumulate, staged := g.target(c, add, t, begin, first)
	groups := ceilDiv(count, g.kern.rows)
	for k0 := 0; k0 < s.K; k0 += packDepth {
		depth := min(packDepth, s.K-k0)
		for q := 0; q < panels; q += g.kern.panels {
			wide := min(g.kern.panels, panels-q)
			g.kern.outer(out[q*lanes:], ldc, columns[k0*blockPixels:], blockPixels, packed[(first+q)*g.panelLen()+k0*wide*lanes:],
				wide*lanes, wide, groups, depth, accumulate)
		}
		accumulate = true
	}
	if staged {
		g.unstage(c, t, add, begin, first)
	}
}

// target returns where tiles of a block are written, the distance of its rows
// and whether they add to what is there; and whether that is the stage, as
// tiles would write beyond c.
func (g *Gemm) target(c []float32, add bool, t *gemmTables, begin, first int) (out []float32, ldc int, accumulate, staged bool) {
	s := g.shape
	if s.M-begin < blockPixels && s.M%g.kern.rows != 0 || (first+min(g.split, g.panels-first))*lanes > s.N {
		return t.stage, g.split * lanes, false, true
	}
	return c[begin*s.LDC+first*lanes:], s.LDC, add, false
}

// unstage copies or adds a block to its place in c.
func (g *Gemm) unstage(c []float32, t *gemmTables, add bool, begin, first int) {
	s := g.shape
	width := min(min(g.split, g.panels-first)*lanes, s.N-first*lanes)
	for i := range min(blockPixels, s.M-begin) {
		row := c[(begin+i)*s.LDC+first*lanes:][:width]
		result := t.stage[i*g.split*lanes:][:width]
		if !add {
			copy(row, result)
			continue
		}
		for j, v := range result {
			row[j] += v
		}
	}
}

func (g *Gemm) need(name string, buf []float32, want int) {
	if len(buf) < want {
		panic(fmt.Sprintf("kernel: gemm: %+v: %s has %d floats, want %d", g.shape, name, len(buf), want))
	}
}
