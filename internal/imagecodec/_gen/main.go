// Command gen writes the AVX2 and BMI2 kernels of package imagecodec: integer
// code that computes the same bytes as the generic kernels there for every input.
//
//	go run . -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go -pkg imagecodec
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	mcus()
	idct()
	idct4()
	idct2()
	upsampleH2()
	upsampleH2V2()
	rgbFromYCbCr()
	Generate()
}

// words is a vector of one 16-bit constant.
func words(name string, v int16) Mem { return pairs(name, v, v) }

// pairs is the constant for multiply-add of interleaved words: even times
// those of even place plus odd times those of odd place.
func pairs(name string, even, odd int16) Mem {
	return dwords(name, int32(uint32(uint16(even))|uint32(uint16(odd))<<16))
}

// dwords is a vector of one 32-bit constant.
func dwords(name string, v int32) Mem {
	return constant(name, func() {
		for i := range 8 {
			DATA(4*i, U32(v))
		}
	})
}

// constant places read-only data, once for each name.
func constant(name string, write func()) Mem {
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	write()
	constants[name] = m
	return m
}

var constants = map[string]Mem{}
