// Command vector writes the element-wise sweeps of package kernel (see
// vectorKernels for what they compute) for one instruction set. They take
// whole groups of 16 floats.
//
//	go run ./vector -isa avx2 -out vector_avx2_amd64.s -stubs vector_avx2_amd64.go -pkg kernel
package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"clpipe/internal/kernel/gen/isa"
)

// groupBytes is what a turn of the loop covers of every slice.
const groupBytes = 64

var s isa.Set

func main() {
	s = isa.FromFlags()
	sweep("add", "y, x", "", func(at []Mem, _ []reg.VecVirtual) {
		v := load(at[1])
		VADDPS(at[0], v, v)
		VMOVUPS(v, at[0])
	})
	sweep("relu", "y, x", "", func(at []Mem, _ []reg.VecVirtual) {
		zero, v := s.Vector(), load(at[1])
		s.Clear(zero)
		VMAXPS(v, zero, v) // in this order a NaN stays
		VMOVUPS(v, at[0])
	})
	sweep("reluBackward", "dx, dy, y", "", func(at []Mem, _ []reg.VecVirtual) {
		zero, g := s.Vector(), s.Vector()
		s.Clear(zero)
		s.LoadWhere(isa.NotLessOrEqual, load(at[2]), zero, at[1], g)
		VMOVUPS(g, at[0])
	})
	sweep("sgd", "p, g, buf", "decay, keep, take, rate, grad, step", func(at []Mem, c []reg.VecVirtual) {
		decay, keep, take, rate, grad, step := c[0], c[1], c[2], c[3], c[4], c[5]
		p, d, b := load(at[0]), load(at[1]), s.Vector()
		VFMADD231PS(p, decay, d)
		VMULPS(take, d, b)
		VFMADD231PS(at[2], keep, b)
		VMOVUPS(b, at[2])
		VMULPS(grad, d, d)
		VFMADD231PS(b, step, d)
		VFNMADD231PS(d, rate, p)
		VMOVUPS(p, at[0])
	})
	sweep("adam", "p, g, m, v", "shrink, decay, keep1, take1, keep2, take2, rate, eps", func(at []Mem, c []reg.VecVirtual) {
		shrink, decay, keep1, take1, keep2, take2, rate, eps := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
		w, d, m, v := load(at[0]), load(at[1]), s.Vector(), s.Vector()
		VMULPS(shrink, w, w)
		VFMADD231PS(w, decay, d)
		VMULPS(take1, d, m)
		VFMADD231PS(at[2], keep1, m)
		VMOVUPS(m, at[2])
		VMULPS(d, d, d)
		VMULPS(take2, d, v)
		VFMADD231PS(at[3], keep2, v)
		VMOVUPS(v, at[3])
		VSQRTPS(v, v)
		VADDPS(eps, v, v)
		VMULPS(rate, m, m)
		VDIVPS(v, m, m)
		VSUBPS(m, w, w)
		VMOVUPS(w, at[0])
	})
	sweep("ema", "k, q", "momentum, rest", func(at []Mem, c []reg.VecVirtual) {
		v := s.Vector()
		VMULPS(at[1], c[1], v)
		VFMADD231PS(at[0], c[0], v)
		VMOVUPS(v, at[0])
	})
	sweep("triad", "a, b, c", "factor", func(at []Mem, c []reg.VecVirtual) {
		v := load(at[1])
		VFMADD231PS(at[2], c[0], v)
		VMOVUPS(v, at[0])
	})
	Generate()
}

func load(m Mem) reg.VecVirtual {
	v := s.Vector()
	VMOVUPS(m, v)
	return v
}

// sweep writes a loop over slices of one length; body gets the addresses of
// one vector of each and the scalars in every lane.
func sweep(operation, slices, scalars string, body func(at []Mem, c []reg.VecVirtual)) {
	signature := "func(" + slices + " []float32"
	if scalars != "" {
		signature += ", " + scalars + " float32"
	}
	name := operation + "F32_" + s.Name
	TEXT(name, NOSPLIT, signature+")")
	Doc(name + " is a kernel of vectorKernels for lengths that are multiples of 16.")
	Pragma("noescape")
	var base []reg.Register
	names := strings.Split(slices, ", ")
	for _, slice := range names {
		base = append(base, Load(Param(slice).Base(), GP64()))
	}
	n := Load(Param(names[0]).Len(), GP64())
	SHLQ(Imm(2), n)
	var c []reg.VecVirtual
	if scalars != "" {
		for _, scalar := range strings.Split(scalars, ", ") {
			c = append(c, s.Broadcast(scalar))
		}
	}
	// Pointers stand at the end, i counts up to it.
	i := GP64()
	for _, b := range base {
		ADDQ(n, b)
	}
	MOVQ(n, i)
	NEGQ(i)
	JZ(LabelRef("done"))
	Label("loop")
	for v := 0; v < groupBytes; v += s.Bytes {
		var at []Mem
		for _, b := range base {
			at = append(at, Mem{Base: b, Index: i, Scale: 1, Disp: v})
		}
		body(at, c)
	}
	ADDQ(U32(groupBytes), i)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}
