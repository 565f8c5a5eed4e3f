// Command expsum writes the softmax terms of package kernel (see expSumKernel
// for what they compute) for one instruction set.
//
//	go run ./expsum -isa avx2 -out expsum_avx2_amd64.s -stubs expsum_avx2_amd64.go -pkg kernel
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"clpipe/internal/kernel/gen/isa"
)

// constants of expsum.go, in the order of the data section.
var constants = []float64{
	0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.00836874544620514, 0.001381453825160861,
	1.4426950216293335, 0.693145751953125, 1.428606765330187e-06,
	-104, 88.3, -87.3, 1,
}

const (
	c0 = iota
	c1
	c2
	c3
	c4
	log2E
	ln2Hi
	ln2Lo
	expMin
	expMax
	expZero
	one
)

func main() {
	s := isa.FromFlags()
	// AVX2 has too few registers for the constants and takes them from
	// memory, a whole vector each.
	data := GLOBL("expConstants_"+s.Name, RODATA|NOPTR)
	for i, c := range constants {
		for lane := range s.Bytes / 4 {
			DATA(i*s.Bytes+lane*4, U32(math.Float32bits(float32(c))))
		}
	}
	constant := func(i int) Op { return data.Offset(i * s.Bytes) }
	register := func(i int) reg.VecVirtual {
		v := s.Vector()
		VMOVUPS(constant(i), v)
		return v
	}
	operands := make([]Op, len(constants))
	for i := range constants {
		if operands[i] = constant(i); s.Wide() {
			operands[i] = nil // set below, inside the function
		}
	}

	TEXT("expSumF32_"+s.Name, NOSPLIT, "func(s, stats []float32, width int, scale float32)")
	Doc("expSumF32_" + s.Name + " is an expSumKernel.")
	Pragma("noescape")
	base, end := Load(Param("s").Base(), GP64()), Load(Param("s").Len(), GP64())
	LEAQ(Mem{Base: base, Index: end, Scale: 4}, end)
	stats := Load(Param("stats").Base(), GP64())
	width := Load(Param("width"), GP64())
	SHLQ(Imm(2), width)
	columns := GP64() // bytes left of a row
	MOVQ(width, columns)
	scale := s.Broadcast("scale")
	least, most := register(expMin), register(expMax)
	if s.Wide() {
		for i := range constants {
			operands[i] = register(i)
		}
	}

	Label("column")
	positive, shift, sum, weighted, above := s.Vector(), s.Vector(), s.Vector(), s.Vector(), s.Vector()
	at := GP64()
	rows := []reg.VecVirtual{positive, shift, sum, weighted, above}
	MOVQ(stats, at)
	for _, v := range rows {
		VMOVUPS(Mem{Base: at}, v)
		ADDQ(width, at)
	}
	MOVQ(base, at)
	CMPQ(at, end)
	JAE(LabelRef("store"))

	Label("row")
	x, bounded, n, r, p, square := s.Vector(), s.Vector(), s.Vector(), s.Vector(), s.Vector(), s.Vector()
	VMOVUPS(Mem{Base: at}, x)
	if s.Wide() {
		k := K()
		VCMPPS(isa.Greater, positive, x, k)
		VADDPS(operands[one], above, k, above)
	} else {
		mask := s.Vector()
		VCMPPS(isa.Greater, positive, x, mask)
		VANDPS(operands[one], mask, mask)
		VADDPS(mask, above, above)
	}
	VFMSUB213PS(shift, scale, x)
	// Of two operands with a NaN the second of the instruction, here written
	// first, is the result.
	VMAXPS(x, least, x)
	VMINPS(x, most, bounded)
	VMULPS(operands[log2E], bounded, n)
	if s.Wide() {
		VRNDSCALEPS(Imm(0), n, n)
	} else {
		VROUNDPS(Imm(0), n, n)
	}
	VMOVAPS(bounded, r)
	VFNMADD231PS(operands[ln2Hi], n, r)
	VFNMADD231PS(operands[ln2Lo], n, r)
	VMOVUPS(operands[c4], p)
	for _, c := range []int{c3, c2, c1, c0} {
		VFMADD213PS(operands[c], r, p)
	}
	VMULPS(r, r, square)
	VFMADD213PS(r, square, p)
	VADDPS(operands[one], p, p)
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, p, p)
	zero(s, operands[expZero], x, p)
	VMOVUPS(p, Mem{Base: at})
	VADDPS(p, sum, sum)
	VFMADD231PS(x, p, weighted)
	ADDQ(width, at)
	CMPQ(at, end)
	JB(LabelRef("row"))

	Label("store")
	MOVQ(stats, at)
	for _, v := range rows {
		VMOVUPS(v, Mem{Base: at})
		ADDQ(width, at)
	}
	ADDQ(U32(s.Bytes), stats)
	ADDQ(U32(s.Bytes), base)
	SUBQ(U32(s.Bytes), columns)
	JNZ(LabelRef("column"))
	VZEROUPPER()
	RET()
	Generate()
}

// zero clears e in the lanes where x is below the bound.
func zero(s isa.Set, bound Op, x, e reg.VecVirtual) {
	if s.Wide() {
		k := K()
		VCMPPS(isa.NotLess, bound, x, k)
		VMOVAPS_Z(e, k, e)
		return
	}
	mask := s.Vector()
	VCMPPS(isa.NotLess, bound, x, mask)
	VANDPS(mask, e, e)
}
