package detect

import "math"

// A target is what an object asks of the cell that its centre lies in.
type target struct {
	cell   int // of the view's map, row after row
	class  int
	size   [2]float64 // in cells
	offset [2]float64
}

// targets appends the targets of the objects of a view to out. A centre that no cell
// holds belongs to the nearest.
func (g grid) targets(out []target, truths []Truth) []target {
	for _, t := range truths {
		b := t.Box
		x, y := ((b[0]+b[2])/2-g.left)/g.stride, ((b[1]+b[3])/2-g.top)/g.stride
		cx, cy := clamp(math.Floor(x), g.w), clamp(math.Floor(y), g.h)
		out = append(out, target{
			cell: cy*g.w + cx, class: t.Class,
			size:   [2]float64{(b[2] - b[0]) / g.stride, (b[3] - b[1]) / g.stride},
			offset: [2]float64{x - float64(cx), y - float64(cy)},
		})
	}
	return out
}

func clamp(v float64, n int) int { return int(min(max(v, 0), float64(n-1))) }

// spread is the deviation of the Gaussian around a centre, in cells, for a side of an
// object: one that is off by a third of it still overlaps well.
func spread(side float64) float64 { return max(0.5, 0.54*side/6) }

// heat writes what the heatmap should be, [cells][classes], into dst: around every
// centre a Gaussian, 1 at the centre's cell, of several the largest.
func (g grid) heat(dst []float64, targets []target, classes int) {
	clear(dst)
	for _, t := range targets {
		cx, cy := t.cell%g.w, t.cell/g.w
		sx, sy := spread(t.size[0]), spread(t.size[1])
		// Beyond six deviations it is below 1e-7.
		rx, ry := int(6*sx)+1, int(6*sy)+1
		for y := max(0, cy-ry); y <= min(g.h-1, cy+ry); y++ {
			for x := max(0, cx-rx); x <= min(g.w-1, cx+rx); x++ {
				dx, dy := float64(x-cx)/sx, float64(y-cy)/sy
				at := &dst[(y*g.w+x)*classes+t.class]
				*at = max(*at, math.Exp(-(dx*dx+dy*dy)/2))
			}
		}
	}
}
