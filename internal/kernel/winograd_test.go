package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// transformed returns T * m * T^T for a square matrix m of pixels.
func transformed(tr [][]float64, m []float64) []float64 {
	side := len(tr[0])
	var out []float64
	for _, row := range tr {
		for _, col := range tr {
			sum := 0.0
			for p := range side {
				for q := range side {
					sum += row[p] * col[q] * m[p*side+q]
				}
			}
			out = append(out, sum)
		}
	}
	return out
}

func TestWinogradTransformsAgainstMatrices(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	eachVariant(t, func(t *testing.T) {
		for _, tr := range []struct {
			name   string
			kernel winogradKernel
			matrix [][]float64
		}{
			{"f4/input", active.winograd.f4.input, inputF4},
			{"f4/output", active.winograd.f4.output, outputF4},
			{"f4/gradient", active.winograd.f4.gradient, transpose(outputF4)},
			{"f4/weight", active.winograd.f4.weight, weightF4},
			{"f4/weightGradient", active.winograd.f4.weightGradient, transpose(weightF4)},
			{"f2/input", active.winograd.f2.input, inputF2},
			{"f2/output", active.winograd.f2.output, outputF2},
			{"f2/gradient", active.winograd.f2.gradient, transpose(outputF2)},
			{"f2/weight", active.winograd.f2.weight, weightF2},
			{"f2/weightGradient", active.winograd.f2.weightGradient, transpose(weightF2)},
			{"s2/input", active.winograd.s2.input, inputS2},
			{"s2/output", active.winograd.s2.output, outputS2},
			{"s2/gradient", active.winograd.s2.gradient, transpose(outputS2)},
			{"s2/weight", active.winograd.s2.weight, weightS2},
			{"s2/weightGradient", active.winograd.s2.weightGradient, transpose(weightS2)},
			{"s2t/input", active.winograd.s2t.input, inputS2T},
			{"s2t/output", active.winograd.s2t.output, outputS2T},
			{"s2t/weight", active.winograd.s2t.weight, weightS2},
		} {
			for _, n := range []int{1, 2, 5} {
				for _, accumulate := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/n=%d/accumulate=%t", tr.name, n, accumulate), func(t *testing.T) {
						testTransform(t, r, tr.kernel, tr.matrix, n, accumulate)
					})
				}
			}
		}
	})
}

func testTransform(t *testing.T, r *rand.Rand, kernel winogradKernel, matrix [][]float64, n int, accumulate bool) {
	rows, columns := len(matrix), len(matrix[0])
	channels := n * lanes
	stride := channels + 3
	src, dst := newGuarded(columns*columns*stride), newGuarded(rows*rows*stride)
	copy(src.buf, narrowed(randoms(r, len(src.buf))))
	fill(dst.buf, guard)
	srcOff, dstOff := make([]int, columns*columns), make([]int, rows*rows)
	for i, at := range r.Perm(len(srcOff)) {
		srcOff[i] = at * stride
	}
	for i, at := range r.Perm(len(dstOff)) {
		dstOff[i] = at * stride
		fill(dst.buf[dstOff[i]:][:channels], 1)
	}
	tmp := newGuarded(winogradTmp)
	fill(tmp.buf, float32(math.NaN()))
	kernel(dst.buf, dstOff, src.buf, srcOff, n, accumulate, tmp.buf)

	var got, want []float64
	for c := range channels {
		m := make([]float64, len(srcOff))
		for i, off := range srcOff {
			m[i] = float64(src.buf[off+c])
		}
		for i, v := range transformed(matrix, m) {
			if accumulate {
				v++
			}
			want = append(want, v)
			got = append(got, float64(dst.buf[dstOff[i]+c]))
		}
	}
	compare(t, "dst", got, want, errorBound{1e-6, 1e-5})
	for i, off := range dstOff {
		for j, v := range dst.buf[off+channels : off+stride] {
			if v != guard {
				t.Fatalf("row %d: wrote %g to channel %d of %d", i, v, channels+j, channels)
			}
		}
	}
	dst.check(t, "dst")
	tmp.check(t, "tmp")
}

func TestWinogradMatricesConvolve(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for name, m := range map[string]struct{ input, output, weight [][]float64 }{
		"f4": {inputF4, outputF4, weightF4},
		"f2": {inputF2, outputF2, weightF2},
	} {
		side, size := len(m.input), len(m.output)
		d, w := randoms(r, side*side), randoms(r, 9)
		product := transformed(m.input, d)
		for i, v := range transformed(m.weight, w) {
			product[i] *= v
		}
		got := transformed(m.output, product)
		want := convRef(ConvShape{N: 1, H: side, W: side, C: 1, O: 1, KH: 3, KW: 3, Stride: 1}, d, w)
		if len(got) != size*size {
			t.Fatalf("%s: got %d results, want %d", name, len(got), size*size)
		}
		compare(t, name, got, want, errorBound{1e-14, 1e-13})
	}
}

func TestAutoChoosesByShape(t *testing.T) {
	layer := func(h, c, o int) ConvShape {
		return ConvShape{N: 2, H: h, W: h, C: c, O: o, KH: 3, KW: 3, Stride: 1, Pad: 1}
	}
	stride2 := layer(32, 64, 128)
	stride2.Stride = 2
	stride3 := stride2
	stride3.Stride = 3
	for _, test := range []struct {
		name  string
		shape ConvShape
		size  int // of the tile, 0 for direct
	}{
		{"32x32", layer(32, 64, 64), 4},
		{"7x7", layer(7, 512, 512), 4},
		{"4x4", layer(4, 512, 512), 4},
		{"2x2", layer(2, 512, 512), 2},
		{"1x1", layer(1, 512, 512), 0},
		{"stem", layer(32, 3, 64), 0},
		{"stride 2", stride2, 4},
		{"stride 3", stride3, 0},
	} {
		tr := Auto.winograd(test.shape, test.shape.forward().dst, &active.winograd, &active.winograd.s2)
		size := 0
		if tr != nil {
			size = tr.size
		}
		if size != test.size {
			t.Errorf("%s: got tiles of %d, want %d", test.name, size, test.size)
		}
	}
}
