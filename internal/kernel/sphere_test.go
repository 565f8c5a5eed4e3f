package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"clpipe/internal/par"
)

func TestSphereMeasures(t *testing.T) {
	for _, c := range []struct {
		name                string
		x, y                []float32
		n, d                int
		align, uniform, std float64
	}{
		{"equal rows", []float32{1, 0, 1, 0}, []float32{1, 0, 1, 0}, 2, 2, 0, 0, 0},
		{"opposite pair", []float32{1, 0, -1, 0}, []float32{-1, 0, -1, 0}, 2, 2, 2, -8, math.Sqrt2 / 2},
		{"one row", []float32{0, 1, 0}, []float32{1, 0, 0}, 1, 3, 2, 0, 0},
		{"axes", []float32{1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0}, []float32{1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0}, 3, 5, 0, -4, 3 * math.Sqrt(1./3) / 5},
	} {
		if got := Alignment(c.x, c.y, c.n, c.d); math.Abs(got-c.align) > 1e-12 {
			t.Errorf("%s: alignment: got %v, want %v", c.name, got, c.align)
		}
		if got := Uniformity(c.x, c.n, c.d, 2); math.Abs(got-c.uniform) > 1e-12 {
			t.Errorf("%s: uniformity: got %v, want %v", c.name, got, c.uniform)
		}
		if got := EmbeddingStd(c.x, c.n, c.d); math.Abs(got-c.std) > 1e-12 {
			t.Errorf("%s: std: got %v, want %v", c.name, got, c.std)
		}
	}
}

func TestL2Norm(t *testing.T) {
	for _, s := range []L2NormShape{{1, 1}, {3, 5}, {40, 128}, {17, 19}} {
		r := rand.New(rand.NewPCG(1, uint64(s.D)))
		u, dz := randoms(r, s.N*s.D), randoms(r, s.N*s.D)
		if s.N > 2 {
			clear(u[:s.D]) // the zero row is divided by the least length
		}
		stride := PadC(s.D)
		in, du := Alloc((s.N+1)*stride), newGuarded(s.N*stride)
		spread(in, u, s.D)
		fill(du.buf, 7)
		z, inv := newGuarded(s.N*s.D), newGuarded(s.N)
		pool := par.NewPool(2)
		runPhases(pool, s.Forward(z.buf, in, inv.buf))
		runPhases(pool, s.Backward(du.buf, narrowed(dz), z.buf, inv.buf))
		pool.Close()
		z.check(t, "z")
		inv.check(t, "inv")
		du.check(t, "du")
		for i := range s.N {
			row, grad := u[i*s.D:(i+1)*s.D], dz[i*s.D:(i+1)*s.D]
			var square, along float64
			for j, v := range row {
				square += v * v
				along += v * grad[j]
			}
			n := max(math.Sqrt(square), 1e-12)
			var wantZ, wantDU []float64
			for j, v := range row {
				wantZ = append(wantZ, v/n)
				wantDU = append(wantDU, (grad[j]-v/n*along/n)/n)
			}
			// One dimension leaves nothing but the rounding of the projection.
			if s.D == 1 {
				wantDU[0] = float64(du.buf[0])
				if math.Abs(wantDU[0])*n > 1e-6*math.Abs(grad[0]) {
					t.Errorf("one dimension: got gradient %v, want 0", wantDU[0])
				}
			}
			compare(t, "z", widened(z.buf[i*s.D:(i+1)*s.D]), wantZ, errorBound{1e-7, 5e-7})
			compare(t, "du", widened(du.buf[i*stride:i*stride+s.D]), wantDU, errorBound{2e-7, 1e-6})
			for j := s.D; j < stride; j++ {
				if du.buf[i*stride+j] != 0 {
					t.Fatalf("row %d: padding of du is %v, want 0", i, du.buf[i*stride+j])
				}
			}
		}
	}
}
