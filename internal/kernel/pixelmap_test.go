package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"clpipe/internal/par"
)

// linear is an operation whose backward pass is its transpose.
type linear struct {
	name          string
	forward       func(y, x []float32) []par.Phase
	backward      func(dx, dy []float32, add bool) []par.Phase
	rows, in, out int // channels and rows of the operand, for its padding
	rowsOut       int
}

// Backward is the transpose of Forward, <A·x, y> = <x, Aᵀ·y>; it adds where it
// is told to, overwrites where not, and keeps the padding zero.
func TestRearrangementsAreTransposed(t *testing.T) {
	mapped := PixelMapShape{N: 2, H: 3, W: 4, C: 19, Rows: []int{2, -1, 0, 0, 1}, Cols: []int{3, 3, -1, 0}}
	window := AvgWindowShape{N: 2, H: 5, W: 6, C: 19, Kernel: 3, Stride: 2}
	patches := PatchesShape{N: 2, H: 7, W: 5, C: 3, Size: 3, Stride: 2}
	twice, tiled := TwiceShape{3, 2, 3, 5, 2, 3, false}, TwiceShape{3, 1, 1, 5, 2, 3, true}
	concat := ConcatShape{Rows: 7, A: 5, B: 19}
	other := Alloc(7 * PadC(19))
	grow, shrink := ChannelMapShape{Rows: 7, In: 3, Out: 37}, ChannelMapShape{Rows: 7, In: 37, Out: 3}
	for _, c := range []linear{
		{name: "pixel map", forward: mapped.Forward, backward: mapped.Backward, rows: 2 * 3 * 4, in: 19, rowsOut: 2 * 5 * 4, out: 19},
		{name: "patches", forward: patches.Forward, backward: patches.Backward, rows: 2 * 7 * 5, in: 3, rowsOut: 2 * 3 * 2 * 9, out: 3},
		{name: "average pool", forward: window.Forward, backward: window.Backward, rows: 2 * 5 * 6, in: 19, rowsOut: 2 * 2 * 2, out: 19},
		{name: "twice", forward: twice.Forward, backward: twice.Backward, rows: 3 * 6, in: 5, rowsOut: 6 * 6, out: 5},
		{name: "twice, the next, tiled", forward: tiled.Forward, backward: tiled.Backward, rows: 3, in: 5, rowsOut: 6 * 6, out: 5},
		{
			name: "first of two", rows: 7, in: 5, rowsOut: 7, out: 24,
			forward:  func(y, x []float32) []par.Phase { return concat.Forward(y, x, other) },
			backward: func(dx, dy []float32, add bool) []par.Phase { return concat.Backward(dx, nil, dy, add, false) },
		},
		{name: "more channels", forward: grow.Forward, backward: grow.Backward, rows: 7, in: 3, rowsOut: 7, out: 37},
		{name: "fewer channels", forward: shrink.Forward, backward: shrink.Backward, rows: 7, in: 37, rowsOut: 7, out: 3},
	} {
		for _, add := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s add=%v", c.name, add), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				fill := func(rows, channels int) guarded {
					g := newGuarded(rows * PadC(channels))
					spread(g.buf, randoms(r, rows*channels), channels)
					return g
				}
				x, dy := fill(c.rows, c.in), fill(c.rowsOut, c.out)
				y, dx := newGuarded(len(dy.buf)), fill(c.rows, c.in)
				var before float64
				for i, v := range x.buf {
					before += float64(v) * float64(dx.buf[i])
				}
				if !add {
					before = 0
				}
				pool := par.NewPool(2)
				defer pool.Close()
				runPhases(pool, c.forward(y.buf, x.buf))
				runPhases(pool, c.backward(dx.buf, dy.buf, add))
				var left, right float64
				for i, v := range y.buf {
					left += float64(v) * float64(dy.buf[i])
					if i%PadC(c.out) >= c.out && v != 0 {
						t.Fatalf("y[%d] is padding and %v", i, v)
					}
				}
				for i, v := range x.buf {
					right += float64(v) * float64(dx.buf[i])
					if i%PadC(c.in) >= c.in && dx.buf[i] != 0 {
						t.Fatalf("dx[%d] is padding and %v", i, dx.buf[i])
					}
				}
				if math.Abs(left-(right-before)) > 1e-4 {
					t.Errorf("<Ax,y> is %v, <x,A'y> is %v", left, right-before)
				}
				for name, g := range map[string]guarded{"x": x, "y": y, "dx": dx, "dy": dy} {
					g.check(t, name)
				}
			})
		}
	}
}
