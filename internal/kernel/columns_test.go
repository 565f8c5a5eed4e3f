package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// columnsInput are activations and coefficients for every column kernel, each
// buffer at an offset of its own from a cache line.
type columnsInput struct {
	pixels, cp int
	x, dy, y   []float32
	old        []float32 // what dx and dres hold before they are added to
	coef       []float32 // [4][cp]
	floor      float32
	offset     int
}

var special = []float32{0, float32(math.Copysign(0, -1)), 1e-40, -1e-40, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}

// newColumnsInput draws normal numbers, one of specialRate of them special
// (none where it is 0).
func newColumnsInput(seed uint64, pixels, cp, offset, specialRate int, floor float32) *columnsInput {
	r := rand.New(rand.NewPCG(seed, 9))
	draw := func(n int) []float32 {
		v := Alloc(n + 16)[offset:][:n]
		for i := range v {
			if v[i] = float32(r.NormFloat64()); specialRate > 0 && r.IntN(specialRate) == 0 {
				v[i] = special[r.IntN(len(special))]
			}
		}
		return v
	}
	n := pixels * cp
	return &columnsInput{pixels, cp, draw(n), draw(n), draw(n), draw(n), draw(4 * cp), floor, offset}
}

// columnsOutput is a result and how far rows of the table may differ in it.
type columnsOutput struct {
	name      string
	got       []float32
	roundings float64 // of terms about 1 in size
}

// run calls every kernel of a row.
func (in *columnsInput) run(t *testing.T, k *columnKernels) []columnsOutput {
	t.Helper()
	var buffers []guarded
	var out []columnsOutput
	result := func(name string, init []float32, n int, roundings float64) []float32 {
		g := newGuarded(in.offset + n)
		buf := g.buf[in.offset:]
		fill(buf, 7)
		copy(buf, init)
		buffers = append(buffers, g)
		out = append(out, columnsOutput{name, buf, roundings})
		return buf
	}
	cp, n, p := in.cp, in.pixels*in.cp, float64(in.pixels)
	mean := in.coef[:cp]
	k.max(result("max", in.old[:min(cp, n)], cp, 0), in.x)
	k.sum(result("sum", nil, cp, p), in.x)
	k.moments(result("moments 1", nil, cp, p), result("moments 2", nil, cp, 4*p), in.x, mean)
	k.normReduce(result("reduce 1", nil, cp, p), result("reduce 2", nil, cp, 4*p), in.dy, in.x, in.y, mean, in.floor)
	k.normApply(result("apply", nil, n, 8), in.x, nil, in.coef[:3*cp], in.floor)
	inPlace := result("apply in place", in.x, n, 8)
	k.normApply(inPlace, inPlace, in.dy, in.coef[:3*cp], in.floor)
	onResidual := result("apply onto the residual", in.dy, n, 8)
	k.normApply(onResidual, in.x, onResidual, in.coef[:3*cp], in.floor)
	for _, mode := range []int{0, addDXMode, dresMode, dresMode | addDXMode, dresMode | addDResMode, dresMode | addDXMode | addDResMode} {
		dx, dres := result("backward dx", in.old, n, 16), result("backward dres", in.old, n, 2)
		if mode&dresMode == 0 {
			dres = nil
		}
		k.normBackward(dx, dres, in.dy, in.x, in.y, in.coef, in.floor, mode)
	}
	dx := result("backward onto dy", in.dy, n, 16)
	k.normBackward(dx, nil, dx, in.x, in.y, in.coef, in.floor, 0)
	for _, g := range buffers {
		g.check(t, "columns")
		for i := range in.offset {
			if g.buf[i] != 0 {
				t.Errorf("columns: float %d before the buffer is %g", i, g.buf[i])
			}
		}
	}
	return out
}

// compareRows checks that a row computes what the generic one does: equal up
// to roundings, and special where it is special.
func (in *columnsInput) compareRows(t *testing.T, k *columnKernels) {
	t.Helper()
	want := in.run(t, &columnsGeneric)
	for i, o := range in.run(t, k) {
		for j, got := range o.got {
			a, b := float64(got), float64(want[i].got[j])
			if a == b || a != a && b != b {
				continue
			}
			if e := math.Abs(a - b); !(e <= o.roundings*0x1p-22*(1+math.Abs(b))) {
				t.Fatalf("%s, %d of %d pixels, stride %d: got %v, the generic row has %v", o.name, j, in.pixels, in.cp, got, want[i].got[j])
			}
		}
	}
}

func TestColumnsEqualGenericRow(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, cp := range []int{16, 32, 48, 64, 80, 144} {
			for pixels := range 10 {
				for _, floor := range []float32{0, float32(math.Inf(-1))} {
					for _, rate := range []int{0, 20} {
						newColumnsInput(uint64(cp+pixels), pixels, cp, pixels%5, rate, floor).compareRows(t, &active.columns)
					}
				}
			}
		}
	})
}

func FuzzColumns(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(2), uint8(0), uint8(0), true)
	f.Add(uint64(2), uint8(40), uint8(5), uint8(7), uint8(9), false)
	f.Fuzz(func(t *testing.T, seed uint64, pixels, groups, offset, specialRate uint8, relu bool) {
		floor := float32(math.Inf(-1))
		if relu {
			floor = 0
		}
		in := newColumnsInput(seed, int(pixels), 16*(1+int(groups)%10), int(offset)%16, int(specialRate), floor)
		for i := range implementations {
			in.compareRows(t, &implementations[i].columns)
		}
	})
}

func FuzzExpSum(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(1), float32(1), float32(1), false)
	f.Add(uint64(2), uint8(9), uint8(2), float32(14), float32(14), true)
	f.Fuzz(func(t *testing.T, seed uint64, rows, groups uint8, scale, shift float32, withSpecial bool) {
		width := 16 * (1 + int(groups)%4)
		r := rand.New(rand.NewPCG(seed, 10))
		scores, stats := make([]float32, int(rows)*width), make([]float32, 5*width)
		for i := range scores {
			if scores[i] = float32(2*r.Float64() - 1); withSpecial && r.IntN(10) == 0 {
				scores[i] = special[r.IntN(len(special))]
			}
		}
		for q := range width {
			stats[q] = float32(2*r.Float64() - 1)
			stats[width+q] = shift
		}
		var wantScores, wantStats []float32
		for i, row := range implementations {
			s, st := newGuarded(len(scores)), newGuarded(len(stats))
			copy(s.buf, scores)
			copy(st.buf, stats)
			row.expSum(s.buf, st.buf, width, scale)
			s.check(t, "scores")
			st.check(t, "stats")
			if i == 0 {
				wantScores, wantStats = s.buf, st.buf
				continue
			}
			for j, got := range s.buf {
				// The argument is off by a rounding of its terms, exp by that
				// and two of its own.
				terms := math.Abs(float64(scores[j])*float64(scale)) + math.Abs(float64(shift))
				if !within(got, wantScores[j], (4+2*terms)*0x1p-23) && !nearZero(got, wantScores[j]) {
					t.Fatalf("%s: exp %d: got %v, the generic row has %v", row.name, j, got, wantScores[j])
				}
			}
			for q := range width {
				if got, want := st.buf[4*width+q], wantStats[4*width+q]; got != want {
					t.Fatalf("%s: above %d: got %v, the generic row has %v", row.name, q, got, want)
				}
			}
		}
	})
}

// within reports whether a and b are equal up to a relative difference.
func within(a, b float32, relative float64) bool {
	x, y := float64(a), float64(b)
	return x == y || x != x && y != y || math.Abs(x-y) <= relative*math.Abs(y)
}

// nearZero reports whether a and b are exponentials on either side of the
// bound below which exp is 0.
func nearZero(a, b float32) bool {
	const bound = 1.3e-38
	return a <= bound && b <= bound
}
