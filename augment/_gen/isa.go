package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is the instruction set that kernels are written for: the lanes of 128 bits
// of its vectors, and names of instructions that differ. Kernels keep to their
// lanes as far as they can, so that most are one text for both.
var isa struct {
	name  string
	lanes int
}

func wide() bool { return isa.lanes == 4 }

// vec is a fresh vector.
func vec() reg.VecVirtual {
	if wide() {
		return ZMM()
	}
	return YMM()
}

// width is the number of bytes of a vector.
func width() int { return 16 * isa.lanes }

// pixelsAtOnce is the number of pixels of the colour kernels' vectors, one a dword.
func pixelsAtOnce() int { return 4 * isa.lanes }

func move(from, to Op) {
	if wide() {
		VMOVDQU32(from, to)
	} else {
		VMOVDQU(from, to)
	}
}

func zeroed() reg.VecVirtual {
	v := vec()
	if wide() {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
	return v
}

func xor(a, b, to Op) {
	if wide() {
		VPXORD(a, b, to)
	} else {
		VPXOR(a, b, to)
	}
}

func and(a, b, to Op) {
	if wide() {
		VPANDD(a, b, to)
	} else {
		VPAND(a, b, to)
	}
}

func or(a, b, to Op) {
	if wide() {
		VPORD(a, b, to)
	} else {
		VPOR(a, b, to)
	}
}

// truncate rounds floats towards zero, without a flag for inexact results.
func truncate(v reg.VecVirtual) {
	const towardsZero = 0b1011
	if wide() {
		VRNDSCALEPS(U8(towardsZero), v, v)
	} else {
		VROUNDPS(U8(towardsZero), v, v)
	}
}

// A selection is the dwords at which a and b are equal.
type selection struct {
	k reg.OpmaskVirtual
	v reg.VecVirtual
}

func equal(a, b reg.VecVirtual) selection {
	if wide() {
		k := K()
		VPCMPEQD(a, b, k)
		return selection{k: k}
	}
	v := YMM()
	VPCMPEQD(a, b, v)
	return selection{v: v}
}

// choose is yes where s holds, no elsewhere.
func (s selection) choose(yes Op, no, to reg.VecVirtual) {
	if wide() {
		VPBLENDMD(yes, no, s.k, to)
	} else {
		VPBLENDVB(s.v, yes, no, to)
	}
}

// clear makes v zero where s holds.
func (s selection) clear(v reg.VecVirtual) {
	if wide() {
		VPXORD(v, v, s.k, v)
	} else {
		VPANDN(v, s.v, v)
	}
}

// signs is the sign bit where s holds, zero elsewhere.
func (s selection) signs() reg.VecVirtual {
	v := vec()
	if wide() {
		VMOVDQU32_Z(floats("float_minus_0", float32(math.Copysign(0, -1))), s.k, v)
	} else {
		VPSLLD(U8(31), s.v, v)
	}
	return v
}
