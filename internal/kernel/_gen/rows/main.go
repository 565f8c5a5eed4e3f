// Command rows writes the row kernels of package kernel (see rowKernels for
// what they compute) for one instruction set. They take whole groups of 16
// floats.
//
//	go run ./rows -isa avx2 -out rows_avx2_amd64.s -stubs rows_avx2_amd64.go -pkg kernel
package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"clpipe/internal/kernel/gen/isa"
)

// groupBytes is 16 floats, the unit of a row's length.
const groupBytes = 64

// turn is how many vectors of float64 a turn of a loop takes, as long as there
// are so many. Each has sums of its own: an addition would wait for the one
// before.
const turn = 4

var s isa.Set

func main() {
	s = isa.FromFlags()
	begin("rowSum", "func(x []float32) float64")
	sums := cleared(turn)
	sweep("sum", "x", func(at []Mem, place int) {
		VADDPD(wide(at[0]), sums[place], sums[place])
	})
	Store(total(sums), ReturnIndex(0))
	end()

	begin("rowSquares", "func(x []float32, mean float64) float64")
	sums, mean := cleared(turn), s.BroadcastDouble("mean")
	sweep("squares", "x", func(at []Mem, place int) {
		d := wide(at[0])
		VSUBPD(mean, d, d)
		VFMADD231PD(d, d, sums[place])
	})
	Store(total(sums), ReturnIndex(0))
	end()

	begin("rowApply", "func(y, x, gamma, beta []float32, mean, inv float64)")
	mean, inv := s.BroadcastDouble("mean"), s.BroadcastDouble("inv")
	sweep("apply", "y, x, gamma, beta", func(at []Mem, _ int) {
		v := wide(at[1])
		VSUBPD(mean, v, v)
		VMULPD(inv, v, v)
		VFMADD213PD(wide(at[3]), wide(at[2]), v)
		VMOVUPS(narrow(v), at[0])
	})
	end()

	reduce()
	backward()
	Generate()
}

// begin opens a function.
func begin(operation, signature string) {
	name := operation + "F32_" + s.Name
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is a kernel of rowKernels for lengths that are multiples of 16.")
	Pragma("noescape")
}

func end() {
	VZEROUPPER()
	RET()
}

// sweep writes the loop over slices of one length. body gets the addresses in
// each of as many floats as a vector of float64 holds, and their place in the
// turn.
func sweep(label, slices string, body func(at []Mem, place int)) {
	var base []reg.Register
	names := strings.Split(slices, ", ")
	for _, slice := range names {
		base = append(base, Load(Param(slice).Base(), GP64()))
	}
	n := Load(Param(names[0]).Len(), GP64())
	SHLQ(Imm(2), n)
	// Pointers stand at the end, i counts up to it.
	i := GP64()
	for _, b := range base {
		ADDQ(n, b)
	}
	MOVQ(n, i)
	NEGQ(i)
	floats := s.Bytes / 2
	loop := func(vectors int) {
		label := fmt.Sprintf("%s_turn%d", label, vectors)
		Label(label)
		CMPQ(i, I32(-vectors*floats))
		JGT(LabelRef(label + "_done"))
		for place := range vectors {
			var at []Mem
			for _, b := range base {
				at = append(at, Mem{Base: b, Index: i, Scale: 1, Disp: place * floats})
			}
			body(at, place)
		}
		ADDQ(U32(vectors*floats), i)
		JMP(LabelRef(label))
		Label(label + "_done")
	}
	if turn*floats > groupBytes {
		loop(turn)
	}
	loop(groupBytes / floats)
}

func cleared(n int) []reg.VecVirtual {
	v := s.Vectors(n)
	s.Clear(v...)
	return v
}

// wide loads floats as float64.
func wide(m Mem) reg.VecVirtual {
	v := s.Vector()
	VCVTPS2PD(m, v)
	return v
}

// half is a register of as many floats as a vector of float64 holds.
func half() reg.VecVirtual {
	if s.Wide() {
		return YMM()
	}
	return XMM()
}

// narrow rounds to floats.
func narrow(v reg.VecVirtual) reg.VecVirtual {
	h := half()
	if s.Wide() {
		VCVTPD2PS(v, h)
	} else {
		VCVTPD2PSY(v, h)
	}
	return h
}

// total adds up the lanes of all registers.
func total(v []reg.VecVirtual) reg.Register {
	for n := len(v) / 2; n > 0; n /= 2 {
		for i := range n {
			VADDPD(v[n+i], v[i], v[i])
		}
	}
	sum := v[0]
	if s.Wide() {
		high := YMM()
		VEXTRACTF64X4(Imm(1), sum, high)
		VADDPD(high, sum.AsY(), sum.AsY())
	}
	high := XMM()
	VEXTRACTF128(Imm(1), sum.AsY(), high)
	VADDPD(high, sum.AsX(), sum.AsX())
	VUNPCKHPD(sum.AsX(), sum.AsX(), high)
	VADDSD(high, sum.AsX(), sum.AsX())
	return sum.AsX()
}

func reduce() {
	begin("rowReduce", "func(dgamma, dbeta, dy, x, gamma []float32, mean, inv float64) (sum, dot float64)")
	sums, dots := cleared(2), cleared(2)
	mean, inv := s.BroadcastDouble("mean"), s.BroadcastDouble("inv")
	sweep("reduce", "dgamma, dbeta, dy, x, gamma", func(at []Mem, place int) {
		dbeta := half()
		VMOVUPS(at[2], dbeta)
		VADDPS(at[1], dbeta, dbeta)
		VMOVUPS(dbeta, at[1])
		g, xh, product := wide(at[2]), wide(at[3]), s.Vector()
		VSUBPD(mean, xh, xh)
		VMULPD(inv, xh, xh)
		VMULPD(xh, g, product)
		dgamma := narrow(product)
		VADDPS(at[0], dgamma, dgamma)
		VMOVUPS(dgamma, at[0])
		VMULPD(wide(at[4]), g, g)
		VADDPD(g, sums[place%2], sums[place%2])
		VFMADD231PD(g, xh, dots[place%2])
	})
	Store(total(sums), ReturnIndex(0))
	Store(total(dots), ReturnIndex(1))
	end()
}

func backward() {
	begin("rowBackward", "func(dx, dy, x, gamma []float32, mean, a, b, c float64, add bool)")
	mean, a, b, c := s.BroadcastDouble("mean"), s.BroadcastDouble("a"), s.BroadcastDouble("b"), s.BroadcastDouble("c")
	loop := func(label string, add bool) {
		sweep(label, "dx, dy, x, gamma", func(at []Mem, _ int) {
			g, d := wide(at[1]), wide(at[2])
			VSUBPD(mean, d, d)
			VFMADD213PD(c, b, d)
			VMULPD(wide(at[3]), g, g)
			VFMADD231PD(g, a, d)
			dx := narrow(d)
			if add {
				VADDPS(at[0], dx, dx)
			}
			VMOVUPS(dx, at[0])
		})
		end()
	}
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JNZ(LabelRef("add"))
	loop("set", false)
	Label("add")
	loop("add", true)
}
