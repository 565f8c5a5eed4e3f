// Package isa tells generators apart by instruction set: the width of a vector
// and how lanes are masked.
package isa

import (
	"flag"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A Set is an instruction set.
type Set struct {
	Name   string
	Bytes  int // of a vector
	Vector func() reg.VecVirtual
}

var sets = map[string]Set{
	"avx2":   {"avx2", 32, YMM},
	"avx512": {"avx512", 64, ZMM},
}

// FromFlags parses the flags, of which -isa names the set, and constrains the
// output to builds with assembly.
func FromFlags() Set {
	name := flag.String("isa", "avx2", "instruction set: avx2 or avx512")
	flag.Parse()
	s, ok := sets[*name]
	if !ok {
		panic(fmt.Sprintf("isa: got %q, want avx2 or avx512", *name))
	}
	ConstraintExpr("amd64,!noasm")
	return s
}

// Wide tells vectors of 64 bytes, with mask registers, from those of 32.
func (s Set) Wide() bool { return s.Bytes == 64 }

// Vectors returns n virtual registers.
func (s Set) Vectors(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = s.Vector()
	}
	return v
}

// Broadcast loads a float32 parameter into every lane.
func (s Set) Broadcast(param string) reg.VecVirtual {
	v := s.Vector()
	VBROADCASTSS(address(param), v)
	return v
}

// BroadcastDouble loads a float64 parameter into every lane of float64.
func (s Set) BroadcastDouble(param string) reg.VecVirtual {
	v := s.Vector()
	VBROADCASTSD(address(param), v)
	return v
}

func address(param string) Mem {
	m, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	return m.Addr
}

// Clear zeroes registers.
func (s Set) Clear(v ...reg.VecVirtual) {
	for _, x := range v {
		VXORPS(x, x, x)
	}
}

// Comparison predicates of VCMPPS: those named Not hold for NaN too.
const (
	NotLess        = U8(0x15)
	NotLessOrEqual = U8(0x16)
	Greater        = U8(0x1e)
	Ordered        = U8(0x07) // neither is NaN
)

// LoadWhere loads m into dst in the lanes where a compares to b as predicate
// says, and 0 into the others.
func (s Set) LoadWhere(predicate U8, a reg.VecVirtual, b Op, m Op, dst reg.VecVirtual) {
	if s.Wide() {
		k := K()
		VCMPPS(predicate, b, a, k)
		VMOVUPS_Z(m, k, dst)
		return
	}
	mask := s.Vector()
	VCMPPS(predicate, b, a, mask)
	VANDPS(m, mask, dst)
}
