package detect

import (
	"cmp"
	"math"
	"slices"
)

// most is how many objects are found in a view at most.
const most = 100

// decode returns the objects of view n: the cells whose score is the highest of their
// class among their eight neighbours, the best of them, best first. Equal scores are
// in order of class, row and column.
func (g grid) decode(out *outputs, n, classes int) []Detection {
	var found []Detection
	first := n * g.w * g.h
	score := func(x, y, c int) float32 { return out.heat.Row(first + y*g.w + x)[c] }
	for c := range classes {
		for y := range g.h {
			for x := range g.w {
				if g.isPeak(x, y, func(x, y int) float32 { return score(x, y, c) }) {
					found = append(found, Detection{Class: c, Score: float64(score(x, y, c)), Box: g.boxAt(out, first+y*g.w+x, x, y)})
				}
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	found = found[:min(len(found), most)]
	for i := range found {
		found[i].Score = 1 / (1 + math.Exp(-found[i].Score))
	}
	return found
}

// isPeak tells whether no neighbour's value is higher. A value that is no number is
// none.
func (g grid) isPeak(x, y int, at func(x, y int) float32) bool {
	v := at(x, y)
	for j := max(0, y-1); j <= min(g.h-1, y+1); j++ {
		for i := max(0, x-1); i <= min(g.w-1, x+1); i++ {
			if !(at(i, j) <= v) {
				return false
			}
		}
	}
	return true
}

// boxAt returns the box that a cell gives.
func (g grid) boxAt(out *outputs, row, x, y int) Box {
	size, offset := out.size.Row(row), out.offset.Row(row)
	cx := g.left + (float64(x)+float64(offset[0]))*g.stride
	cy := g.top + (float64(y)+float64(offset[1]))*g.stride
	w, h := max(float64(size[0]), 0)*g.stride/2, max(float64(size[1]), 0)*g.stride/2
	return Box{cx - w, cy - h, cx + w, cy + h}
}
