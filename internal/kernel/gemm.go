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

// rowsLen is the floats of the copy of A by rows, made where memory holds it
// by columns.
func (g *Gemm) rowsLen() int {
	if !g.shape.TransA {
		return 0
	}
	return roundUp(g.shape.M*g.shape.K, lanes)
}

// stageLen is the floats of a worker's block of results on its way to C.
func (g *Gemm) stageLen() int { return blockPixels * g.split * lanes }

// ScratchLen returns the floats of scratch the product needs.
func (g *Gemm) ScratchLen() int {
	return g.panels*g.panelLen() + g.rowsLen() + g.workers*g.stageLen()
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
	rows, scratch := scratch[:g.rowsLen()], scratch[g.rowsLen():]
	source := panelSource{depth: s.K, width: s.N, stride: s.LDB, transposed: s.TransB}
	phases := []par.Phase{{Tasks: g.panels, Run: func(_, q int) {
		source.block(packed[q*g.panelLen():], b, 0, s.K, q*lanes)
	}}}
	byRows, lda := a, s.LDA
	if s.TransA {
		phases = append(phases, par.Phase{Tasks: ceilDiv(s.M, lanes), Run: func(_, task int) {
			for m := task * lanes; m < min((task+1)*lanes, s.M); m++ {
				row := rows[m*s.K:][:s.K]
				for k := range row {
					row[k] = a[k*s.LDA+m]
				}
			}
		}})
		byRows, lda = rows, s.K
	}

	tables := make([]gemmTables, g.workers)
	for i := range tables {
		tables[i] = gemmTables{make([]int, blockPixels), make([]int, blockPixels), scratch[i*g.stageLen():][:g.stageLen()]}
	}
	splits := ceilDiv(g.panels, g.split)
	return append(phases, par.Phase{Tasks: g.blocks() * splits, Run: func(worker, task int) {
		g.block(c, byRows, packed, lda, add, &tables[worker], task/splits*blockPixels, task%splits*g.split)
	}})
}

// gemmTables are the scratch of a worker: offsets of the rows of a and of c,
// and a block that takes the place of c where c cannot hold whole tiles.
type gemmTables struct {
	a, c  []int
	stage []float32
}

// block computes up to split panels, from number first, of the rows from begin.
func (g *Gemm) block(c, a, packed []float32, lda int, add bool, t *gemmTables, begin, first int) {
	s := g.shape
	panels := min(g.split, g.panels-first)
	count := min(blockPixels, s.M-begin)
	staged := count < blockPixels || (first+panels)*lanes > s.N
	ldc, out, accumulate := s.LDC, c[first*lanes:], add
	if staged {
		ldc, out, accumulate = g.split*lanes, t.stage, false
	}
	groups := ceilDiv(count, g.kern.rows)
	for i := range groups * g.kern.rows {
		// Rows behind the last repeat it; their results stay in the stage.
		t.a[i] = min(begin+i, s.M-1) * lda
		t.c[i] = (begin + i) * ldc
		if staged {
			t.c[i] = i * ldc
		}
	}
	for k0 := 0; k0 < s.K; k0 += chunkDepth {
		depth := min(chunkDepth, s.K-k0)
		for q := 0; q < panels; q += g.kern.panels {
			g.kern.gather(out[q*lanes:], t.c, a[k0:], t.a, packed[(first+q)*g.panelLen()+k0*lanes:],
				g.panelLen(), min(g.kern.panels, panels-q), groups, 1, depth, accumulate)
		}
		accumulate = true
	}
	if !staged {
		return
	}
	width := min(panels*lanes, s.N-first*lanes)
	for i := range count {
		row := c[(begin+i)*s.LDC+first*lanes:][:width]
		result := t.stage[i*ldc:][:width]
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
