package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// ConcatShape puts the channels of two operands, rows [Rows,PadC(A)] and
// [Rows,PadC(B)], side by side: [Rows,PadC(A+B)].
type ConcatShape struct{ Rows, A, B int }

// Forward sets y to the channels of a and then those of b.
func (s ConcatShape) Forward(y, a, b []float32) []par.Phase {
	s.check("concat", len(y), len(a), len(b))
	cp, pa, pb := PadC(s.A+s.B), PadC(s.A), PadC(s.B)
	return s.rows(func(r int) {
		row := y[r*cp : (r+1)*cp]
		copy(row, a[r*pa:r*pa+s.A])
		copy(row[s.A:], b[r*pb:r*pb+s.B])
		clear(row[s.A+s.B:])
	})
}

// Backward sends the channels of dy back to da and db, each of which may be nil,
// and is added to if its flag is set, else overwritten.
func (s ConcatShape) Backward(da, db, dy []float32, addA, addB bool) []par.Phase {
	cp := PadC(s.A + s.B)
	var phases []par.Phase
	for _, side := range []struct {
		d        []float32
		from, c  int
		add      bool
		operands [2]int
	}{{da, 0, s.A, addA, [2]int{len(da), s.Rows * PadC(s.B)}}, {db, s.A, s.B, addB, [2]int{s.Rows * PadC(s.A), len(db)}}} {
		if side.d == nil {
			continue
		}
		s.check("concat backward", len(dy), side.operands[0], side.operands[1])
		p := PadC(side.c)
		phases = append(phases, s.rows(func(r int) {
			row, grad := side.d[r*p:(r+1)*p], dy[r*cp+side.from:][:side.c]
			if side.add {
				for i, g := range grad {
					row[i] += g
				}
				return
			}
			clear(row[copy(row, grad):])
		})...)
	}
	return phases
}

// rows runs f for every row, some of them at a time.
func (s ConcatShape) rows(f func(row int)) []par.Phase {
	strip := max(1, vectorChunk/PadC(s.A+s.B))
	return []par.Phase{{Tasks: ceilDiv(s.Rows, strip), Run: func(_, t int) {
		for r := t * strip; r < min((t+1)*strip, s.Rows); r++ {
			f(r)
		}
	}}}
}

func (s ConcatShape) check(op string, y, a, b int) {
	if min(s.Rows, s.A, s.B) < 1 {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want positive sizes", op, s))
	}
	checkLen(op, s, "y", y, s.Rows*PadC(s.A+s.B))
	checkLen(op, s, "a", a, s.Rows*PadC(s.A))
	checkLen(op, s, "b", b, s.Rows*PadC(s.B))
}

// TwiceShape gives every sample of [N,H,W,PadC(C)] two times in a row: [2N,...].
// With Next the second is instead the sample after it, the first one after the
// last, and where H and W are 1 that pixel is repeated over [OutH,OutW].
type TwiceShape struct {
	N, H, W, C, OutH, OutW int
	Next                   bool
}

// source returns the sample that sample m of the result is.
func (s TwiceShape) source(m int) int {
	if s.Next {
		return (m/2 + m%2) % s.N
	}
	return m / 2
}

// Forward sets y [2N,OutH,OutW,Cp] from x.
func (s TwiceShape) Forward(y, x []float32) []par.Phase {
	s.check("twice", len(y), len(x))
	in, out := s.H*s.W*PadC(s.C), s.OutH*s.OutW*PadC(s.C)
	return []par.Phase{{Tasks: 2 * s.N, Run: func(_, m int) {
		sample := x[s.source(m)*in:][:in]
		for at := 0; at < out; at += in {
			copy(y[m*out+at:], sample)
		}
	}}}
}

// Backward adds up where a sample went in dx, which is added to if add is set,
// else overwritten.
func (s TwiceShape) Backward(dx, dy []float32, add bool) []par.Phase {
	s.check("twice backward", len(dy), len(dx))
	in, out, sum := s.H*s.W*PadC(s.C), s.OutH*s.OutW*PadC(s.C), active.vector.add
	return []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		grad := dx[n*in : (n+1)*in]
		if !add {
			clear(grad)
		}
		second := 2*n + 1
		if s.Next {
			second = 2*((n+s.N-1)%s.N) + 1
		}
		for _, m := range [2]int{2 * n, second} {
			for at := 0; at < out; at += in {
				sum(grad, dy[m*out+at:][:in])
			}
		}
	}}}
}

func (s TwiceShape) check(op string, result, operand int) {
	if repeats := s.H == 1 && s.W == 1; min(s.N, s.H, s.W, s.C, s.OutH, s.OutW) < 1 || !repeats && (s.OutH != s.H || s.OutW != s.W) {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want positive sizes, those of the operand unless it is one pixel", op, s))
	}
	checkLen(op, s, "result", result, 2*s.N*s.OutH*s.OutW*PadC(s.C))
	checkLen(op, s, "operand", operand, s.N*s.H*s.W*PadC(s.C))
}
