package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// rowInput is a row for every row kernel, each slice at an offset of its own
// from a cache line.
type rowInput struct {
	x, dy, gamma, beta []float32
	offset             int
}

// newRowInput draws normal numbers, one of specialRate of them special (none
// where it is 0).
func newRowInput(seed uint64, n, offset, specialRate int) *rowInput {
	r := rand.New(rand.NewPCG(seed, 11))
	draw := func() []float32 {
		v := Alloc(n + 16)[offset:][:n]
		for i := range v {
			if v[i] = float32(r.NormFloat64()); specialRate > 0 && r.IntN(specialRate) == 0 {
				v[i] = special[r.IntN(len(special))]
			}
		}
		return v
	}
	return &rowInput{draw(), draw(), draw(), draw(), offset}
}

// rowOutput is what the kernels of a row of the table leave.
type rowOutput struct {
	sums   map[string]float64 // of terms about 1 in size
	slices map[string][]float32
}

// run calls every kernel of a row of the table.
func (in *rowInput) run(t *testing.T, k *rowKernels) rowOutput {
	t.Helper()
	const mean, inv = 0.3, 1.7
	n := len(in.x)
	buffers := map[string]guarded{}
	out := rowOutput{map[string]float64{}, map[string][]float32{}}
	result := func(name string, init []float32) []float32 {
		g := newGuarded(in.offset + n)
		copy(g.buf[in.offset:], init)
		buffers[name], out.slices[name] = g, g.buf[in.offset:]
		return out.slices[name]
	}
	out.sums["sum"], out.sums["squares"] = k.sum(in.x), k.squares(in.x, mean)
	k.apply(result("apply", nil), in.x, in.gamma, in.beta, mean, inv)
	inPlace := result("apply in place", in.x)
	k.apply(inPlace, inPlace, in.gamma, in.beta, mean, inv)
	out.sums["reduce sum"], out.sums["reduce dot"] =
		k.reduce(result("dgamma", in.beta), result("dbeta", in.x), in.dy, in.x, in.gamma, mean, inv)
	k.backward(result("dx", nil), in.dy, in.x, in.gamma, mean, 0.7, -0.2, 0.4, false)
	k.backward(result("dx added", in.beta), in.dy, in.x, in.gamma, mean, 0.7, -0.2, 0.4, true)
	onDY := result("dx onto dy", in.dy)
	k.backward(onDY, onDY, in.x, in.gamma, mean, 0.7, -0.2, 0.4, false)
	for name, g := range buffers {
		g.check(t, name)
		for i, v := range g.buf[:in.offset] {
			if v != 0 {
				t.Errorf("%s: float %d before the buffer is %g", name, i, v)
			}
		}
	}
	return out
}

// compareRows checks that a row of the table computes what the generic one
// does: sums as float64 has them, floats to their rounding.
func (in *rowInput) compareRows(t *testing.T, k *rowKernels) {
	t.Helper()
	n := len(in.x)
	differ := func(a, b, bound float64) bool {
		return a != b && (a == a || b == b) && !(math.Abs(a-b) <= bound)
	}
	got, want := in.run(t, k), in.run(t, &rowsGeneric)
	for name, b := range want.sums {
		if a := got.sums[name]; differ(a, b, 100*float64(n)*0x1p-53) {
			t.Fatalf("%s of %d channels: got %v, the generic row has %v", name, n, a, b)
		}
	}
	for name, slice := range want.slices {
		for c, b := range slice {
			if a := got.slices[name][c]; differ(float64(a), float64(b), 0x1p-23*(1+math.Abs(float64(b)))) {
				t.Fatalf("%s, channel %d of %d: got %v, the generic row has %v", name, c, n, a, b)
			}
		}
	}
}

func TestRowsEqualGenericRow(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for n := range 150 {
			for _, rate := range []int{0, 20} {
				newRowInput(uint64(n), n, n%5, rate).compareRows(t, &active.rows)
			}
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add(uint64(1), uint16(33), uint8(0), uint8(0))
	f.Add(uint64(2), uint16(300), uint8(7), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, offset, specialRate uint8) {
		in := newRowInput(seed, int(n)%1500, int(offset)%16, int(specialRate))
		for i := range implementations {
			in.compareRows(t, &implementations[i].rows)
		}
	})
}
