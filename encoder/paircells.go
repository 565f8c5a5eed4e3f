package encoder

import (
	"fmt"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// PairCells puts at each pixel of a map the pixel that it is paired with, by a
// permutation of each sample's own, which the caller draws (Arena.Cells).
type PairCells struct{}

func (PairCells) params([]Shape) []paramSpec { return nil }

func (PairCells) infer(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && s.Per != 1 {
		err = fmt.Errorf("want a map of every image")
	}
	return s, err
}

// Cells returns, for a network with PairCells, the pixel that each pixel of the
// N maps is paired with, [N,H·W]: permutations, each pixel with itself until
// they are overwritten between two forward passes. nil without PairCells.
func (a *Arena) Cells() []int32 { return a.cells }

// cellsOf returns the arena's pairs of maps of q pixels.
func (a *Arena) cellsOf(q int) []int32 {
	n := a.plan.opts.Batch * q
	if a.cells == nil {
		a.cells = make([]int32, n)
		for i := range a.cells {
			a.cells[i] = int32(i % q)
		}
	}
	if len(a.cells) != n {
		panic(fmt.Sprintf("encoder: pairs of %d cells beside %d of another map", n, len(a.cells)))
	}
	return a.cells
}

func (c *compiler) pairCellsForward(u unit, x int) {
	s, n := c.graph.Shape(u.out), c.opts.Batch
	y := c.activation(u.out)
	c.values[u.out] = y
	c.use(x)
	q, width := s.H*s.W, kernel.PadC(s.C)
	c.addForward(u.name, 0, func(a *Arena) []par.Phase {
		cells, from, to := a.cellsOf(q), a.act(x), a.act(y)
		return []par.Phase{{Tasks: n, Run: func(_, i int) {
			for l := i * q; l < (i+1)*q; l++ {
				at := (i*q + int(cells[l])) * width
				copy(to[l*width:(l+1)*width], from[at:])
			}
		}}}
	})
}

// pairCellsBackward sends every gradient back to the one pixel it came from.
func (c *compiler) pairCellsBackward(u unit, dy int, needs []bool) {
	s, n := c.graph.Shape(u.out), c.opts.Batch
	dx, add := c.gradientOf(u.in[0], needs)
	c.use(dx, dy)
	q, width := s.H*s.W, kernel.PadC(s.C)
	c.addBackward(u.name, 0, func(a *Arena) []par.Phase {
		cells, from, to := a.cellsOf(q), a.act(dy), a.act(dx)
		return []par.Phase{{Tasks: n, Run: func(_, i int) {
			for l := i * q; l < (i+1)*q; l++ {
				at := (i*q + int(cells[l])) * width
				src, dst := from[l*width:(l+1)*width], to[at:at+width]
				if !add {
					copy(dst, src)
					continue
				}
				for k, g := range src {
					dst[k] += g
				}
			}
		}}}
	})
}
