package kernel

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
	eachVariant(t, func(t *testing.T) {
		for _, s := range []MaxPoolShape{
			{1, 1, 1, 1, 1, 1, 0}, {2, 7, 5, 3, 3, 2, 1}, {3, 8, 8, 16, 3, 2, 1}, {2, 9, 9, 19, 2, 2, 0}, {1, 6, 7, 5, 4, 1, 2},
			{2, 40, 14, 64, 3, 2, 1}, {1, 2, 2, 16, 3, 1, 1}, {1, 16, 16, 16, 16, 1, 0}, {2, 8, 7, 32, 2, 3, 0},
		} {
			t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) { testMaxPool(t, s) })
		}
	})
}

func testMaxPool(t *testing.T, s MaxPoolShape) {
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
		arg := bytes.Repeat([]byte{0xee}, out)
		pool := par.NewPool(2)
		runPhases(pool, s.Forward(bufs["y"].buf, bufs["x"].buf, arg))
		runPhases(pool, s.Backward(bufs["dx"].buf, bufs["dy"].buf, arg, add))
		pool.Close()
		for name, b := range bufs {
			b.check(t, name)
		}
		if rest := arg[s.outLen():]; !bytes.Equal(rest, bytes.Repeat([]byte{0xee}, len(rest))) {
			t.Errorf("places behind the last: got %v, want them as they were", rest)
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
}

func TestMaxPoolKeepsNaN(t *testing.T) {
	nan := float32(math.NaN())
	eachVariant(t, func(t *testing.T) {
		for _, c := range []int{1, 16} {
			s := MaxPoolShape{N: 1, H: 2, W: 2, C: c, Kernel: 2, Stride: 2}
			x, y, arg := Alloc(ActLen(1, 2, 2, c)), Alloc(ActLen(1, 1, 1, c)), make([]uint8, PadC(c))
			for i, v := range []float32{1, nan, 9, nan} {
				x[i*PadC(c)] = v
			}
			pool := par.NewPool(1)
			runPhases(pool, s.Forward(y, x, arg))
			pool.Close()
			if y[0] == y[0] || arg[0] != 1 {
				t.Errorf("%d channels: got %v from place %d, want NaN from place 1", c, y[0], arg[0])
			}
		}
	})
}

// FuzzMaxPool compares every implementation with the generic one, bit by bit,
// on any numbers.
func FuzzMaxPool(f *testing.F) {
	f.Add([]byte("a window of numbers, NaN among them: \x00\x00\xc0\x7f"), uint8(3), uint8(2), uint8(1))
	f.Add([]byte{0, 0, 128, 127, 1, 0, 0, 0, 0, 0, 0, 128}, uint8(2), uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, numbers []byte, window, stride, pad uint8) {
		s := MaxPoolShape{N: 1, H: 7, W: 5, C: 16, Kernel: int(window%5) + 1, Stride: int(stride%3) + 1}
		s.Pad = int(pad) % (s.Kernel/2 + 1)
		x := Alloc(ActLen(s.N, s.H, s.W, s.C))
		for i := range x {
			for j := range 4 {
				if n := len(numbers); n > 0 {
					bits := math.Float32bits(x[i]) | uint32(numbers[(4*i+j)%n])<<(8*j)
					x[i] = math.Float32frombits(bits)
				}
			}
		}
		var want [][]uint32
		eachVariant(t, func(t *testing.T) {
			y, dx, arg := Alloc(s.outLen()), Alloc(len(x)), make([]uint8, s.outLen())
			pool := par.NewPool(1)
			runPhases(pool, s.Forward(y, x, arg))
			runPhases(pool, s.Backward(dx, y, arg, false))
			pool.Close()
			got := [][]uint32{bitsOf(y), bitsOf(dx), make([]uint32, len(arg))}
			for i, a := range arg {
				got[2][i] = uint32(a)
			}
			if want == nil { // the generic implementation comes first
				want = got
			}
			for i, name := range []string{"y", "dx", "arg"} {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%+v: %s differs from the generic one's", s, name)
				}
			}
		})
	})
}

// bitsOf returns the bits of numbers, those of any NaN alike.
func bitsOf(x []float32) []uint32 {
	out := make([]uint32, len(x))
	for i, v := range x {
		if out[i] = math.Float32bits(v); v != v {
			out[i] = math.MaxUint32
		}
	}
	return out
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
