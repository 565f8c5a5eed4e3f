package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"clpipe/internal/par"
)

// maxPoolRef returns the maxima of x [N,H,W,C] and the offset in x of each.
func maxPoolRef(s MaxPoolShape, x []float64) (y []float64, from []int) {
	for n := range s.N {
		for i := range s.OutH() {
			for j := range s.OutW() {
				for c := range s.C {
					best, at := math.Inf(-1), -1
					for h := i*s.Stride - s.Pad; h < i*s.Stride-s.Pad+s.Kernel; h++ {
						for w := j*s.Stride - s.Pad; w < j*s.Stride-s.Pad+s.Kernel; w++ {
							if h < 0 || h >= s.H || w < 0 || w >= s.W {
								continue
							}
							if k := ((n*s.H+h)*s.W+w)*s.C + c; at < 0 || x[k] > best {
								best, at = x[k], k
							}
						}
					}
					y, from = append(y, best), append(from, at)
				}
			}
		}
	}
	return y, from
}

func TestMaxPoolAgainstReference(t *testing.T) {
	for _, s := range []MaxPoolShape{
		{1, 1, 1, 1, 1, 1, 0}, {2, 7, 5, 3, 3, 2, 1}, {3, 8, 8, 16, 3, 2, 1}, {2, 9, 9, 19, 2, 2, 0},
		{1, 6, 7, 5, 4, 1, 2}, {2, 40, 14, 64, 3, 2, 1}, {1, 2, 2, 16, 3, 1, 1},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			r := rand.New(rand.NewPCG(6, uint64(s.C)))
			x := make([]float64, s.N*s.H*s.W*s.C)
			for i := range x {
				x[i] = float64(r.IntN(7) - 5) // ties are many, most values negative
			}
			want, from := maxPoolRef(s, x)
			dy, old := randoms(r, len(want)), randoms(r, len(x))
			in, out := ActLen(s.N, s.H, s.W, s.C), ActLen(s.N, s.OutH(), s.OutW(), s.C)
			for _, add := range []bool{false, true} {
				bufs := map[string]guarded{"x": newGuarded(in), "dx": newGuarded(in), "y": newGuarded(out), "dy": newGuarded(out)}
				spread(bufs["x"].buf, x, s.C)
				spread(bufs["dy"].buf, dy, s.C)
				spread(bufs["dx"].buf, old, s.C)
				arg := make([]uint8, out)
				pool := par.NewPool(2)
				runPhases(pool, s.Forward(bufs["y"].buf, bufs["x"].buf, arg))
				runPhases(pool, s.Backward(bufs["dx"].buf, bufs["dy"].buf, arg, add))
				pool.Close()
				for name, b := range bufs {
					b.check(t, name)
				}
				compare(t, "y", gathered(t, "y", bufs["y"].buf, s.N*s.OutH()*s.OutW(), s.C), want, errorBound{})
				dx := make([]float64, len(x))
				if add {
					copy(dx, old)
				}
				for i, k := range from {
					dx[k] += dy[i]
				}
				compare(t, "dx", gathered(t, "dx", bufs["dx"].buf, s.N*s.H*s.W, s.C), dx, errorBound{1e-7, 1e-6})
			}
		})
	}
}

func TestMaxPoolKeepsNaN(t *testing.T) {
	s := MaxPoolShape{N: 1, H: 2, W: 2, C: 1, Kernel: 2, Stride: 2}
	x, y, arg := Alloc(ActLen(1, 2, 2, 1)), Alloc(ActLen(1, 1, 1, 1)), make([]uint8, 4)
	x[0], x[4], x[8], x[12] = 1, float32(math.NaN()), 9, 2
	pool := par.NewPool(1)
	defer pool.Close()
	runPhases(pool, s.Forward(y, x, arg))
	if y[0] == y[0] || arg[0] != 1 {
		t.Errorf("got %v from place %d, want NaN from place 1", y[0], arg[0])
	}
}

func TestAvgPool(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, s := range []AvgPoolShape{{1, 1, 1}, {3, 16, 64}, {2, 49, 19}, {5, 9, 3}} {
			r := rand.New(rand.NewPCG(8, uint64(s.C)))
			x, dy, old := randoms(r, s.N*s.HW*s.C), randoms(r, s.N*s.C), randoms(r, s.N*s.HW*s.C)
			for _, add := range []bool{false, true} {
				in, out := ActLen(1, s.N, s.HW, s.C), ActLen(1, 1, s.N, s.C)
				xb, yb, dyb, dxb := newGuarded(in), newGuarded(out), newGuarded(out), newGuarded(in)
				spread(xb.buf, x, s.C)
				spread(dyb.buf, dy, s.C)
				spread(dxb.buf, old, s.C)
				pool := par.NewPool(2)
				runPhases(pool, s.Forward(yb.buf, xb.buf))
				runPhases(pool, s.Backward(dxb.buf, dyb.buf, add))
				pool.Close()
				yb.check(t, "y")
				dxb.check(t, "dx")
				y, dx := make([]float64, len(dy)), make([]float64, len(x))
				for i, v := range x {
					j := i/(s.HW*s.C)*s.C + i%s.C
					y[j] += v / float64(s.HW)
					dx[i] = dy[j] / float64(s.HW)
					if add {
						dx[i] += old[i]
					}
				}
				compare(t, "y", gathered(t, "y", yb.buf, s.N, s.C), y, errorBound{2e-7, 2e-6})
				compare(t, "dx", gathered(t, "dx", dxb.buf, s.N*s.HW, s.C), dx, errorBound{1e-7, 1e-6})
			}
		}
	})
}
