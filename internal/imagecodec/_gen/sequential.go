package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Parts of a code, as in jpeg_huffman.go.
const (
	lookupBits  = 10
	lengthShift = 8
	sizeShift   = 16
	runShift    = 20
)

// acBlock follows acBlockGeneric instruction by instruction but for the value,
// which is negated under a mask. Shifts take the low six bits of their count,
// so that a code is its own count for all of its bits.
func acBlock() {
	TEXT("acBlock_x2_bmi2", NOSPLIT, "func(buf *uint64, n *uint, at *int, src *byte, lookup *uint32, block *[64]int16, k int) int")
	Doc("acBlock_x2_bmi2 decodes the coefficients of a block from zigzag place k on, with the fields of",
		"a bitReader. It returns the place of a code that is not in lookup, or, behind the block's",
		"end, at least 64.")
	Pragma("noescape")
	bufField := Load(Param("buf"), GP64())
	nField := Load(Param("n"), GP64())
	atField := Load(Param("at"), GP64())
	src := Load(Param("src"), GP64())
	lookup := Load(Param("lookup"), GP64())
	block := Load(Param("block"), GP64())
	k := Load(Param("k"), GP64())
	buf, n, at := GP64(), GP64(), GP64()
	MOVQ(Mem{Base: bufField}, buf)
	MOVQ(Mem{Base: nField}, n)
	MOVQ(Mem{Base: atField}, at)
	places := GP64()
	LEAQ(zigzagOffsets(), places)
	c := GP64()

	take := func() {
		t := GP64()
		MOVBQZX(c.As8(), t)
		SHLXQ(c, buf, buf)
		SUBQ(t, n)
	}

	// Two codes found in lookup take at most 2*(lookupBits+15) = 50 of the 56
	// bits that refilling leaves at least.
	Label("next")
	t := GP64()
	MOVQ(Mem{Base: src, Index: at, Scale: 1}, t)
	BSWAPQ(t)
	SHRXQ(n, t, t)
	ORQ(t, buf)
	MOVQ(U32(63), t)
	SUBQ(n, t)
	SHRQ(U8(3), t)
	ADDQ(t, at)
	ORQ(U8(56), n)
	for i := range 2 {
		valueless := fmt.Sprintf("valueless%d", i)
		MOVQ(buf, c)
		SHRQ(U8(64-lookupBits), c)
		MOVL(Mem{Base: lookup, Index: c, Scale: 4}, c.As32())
		TESTL(U32(15<<sizeShift), c.As32())
		JZ(LabelRef(valueless))

		bits, length := GP64(), GP64()
		MOVQ(c, length)
		SHRQ(U8(lengthShift), length)
		SHLXQ(length, buf, bits)
		take()
		run := GP64()
		MOVQ(c, run)
		SHRQ(U8(runShift), run)
		ADDQ(run, k)
		negative := GP64() // all ones for a value with a leading zero
		MOVQ(bits, negative)
		SARQ(U8(63), negative)
		NOTQ(negative)
		XORQ(negative, bits)
		SHRQ(U8(sizeShift), c)
		ANDQ(U8(15), c)
		NEGQ(c)
		SHRXQ(c, bits, bits)
		XORQ(negative, bits)
		SUBQ(negative, bits)
		place := GP64()
		MOVBQZX(Mem{Base: places, Index: k, Scale: 1}, place)
		MOVW(bits.As16(), Mem{Base: block, Index: place, Scale: 1})
		INCQ(k)
		CMPQ(k, U8(64))
		JAE(LabelRef("done"))
		if i == 1 {
			JMP(LabelRef("next"))
		}
	}
	for i := range 2 {
		Label(fmt.Sprintf("valueless%d", i))
	}
	TESTL(c.As32(), c.As32())
	JZ(LabelRef("done"))
	take()
	SHRQ(U8(runShift), c)
	ADDQ(U8(16), k)
	CMPQ(c, U8(15))
	JNE(LabelRef("end"))
	CMPQ(k, U8(64))
	JB(LabelRef("next"))
	JMP(LabelRef("done"))

	Label("end")
	MOVQ(U32(64), k)

	Label("done")
	MOVQ(buf, Mem{Base: bufField})
	MOVQ(n, Mem{Base: nField})
	MOVQ(at, Mem{Base: atField})
	Store(k, ReturnIndex(0))
	RET()
}

// zigzagOffsets is zigzag of jpeg_tables.go in bytes of a block, with the last
// place again for the 15 that a corrupt run may lead past the end.
func zigzagOffsets() Mem {
	return constant("zigzag_offsets", func() {
		x, y, step := 0, 0, 1 // step is added to x and taken from y
		for k := range 80 {
			if k >= 64 {
				x, y = 7, 7
			}
			DATA(k, U8(2*(8*y+x)))
			switch nx, ny := x+step, y-step; {
			case nx > 7: // ran out to the right
				y, step = y+1, -step
			case ny > 7: // to the bottom
				x, step = x+1, -step
			case ny < 0: // to the top
				x, step = nx, -step
			case nx < 0: // to the left
				y, step = ny, -step
			default:
				x, y = nx, ny
			}
		}
	})
}
