package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Parts of a code and of a step, as in jpeg_huffman.go and jpeg_steps.go.
const (
	lookupBits  = 10
	lengthShift = 8
	sizeShift   = 16

	stepBits    = 10
	runShift    = 8
	moveShift   = 16
	ownShift    = 24
	firstShift  = 32
	secondShift = 48
	stepsAtOnce = 5 // of stepBits each in the 56 bits that refilling leaves at least
	// A DC code and its value take at most 25 of the bits: some steps remain.
	stepsBeforeDC = 2
	placesBehind  = 15 + 63 // how far a damaged block may lead past its last place
)

// Fields of a bitReader and of an mcuBlock, in bytes.
const (
	bufField = 0
	nField   = 8
	atField  = 16
	endField = 24
	srcField = 32

	codesField    = 8
	stepsField    = 16
	predField     = 24
	coefsField    = 32
	strideField   = 56
	mcuBlockShift = 6
	mcuBlockBytes = 1 << mcuBlockShift

	beyondEnd = 8 // as in jpeg_bits.go
)

// mcus follows mcusGeneric. Shifts take the low six bits of their count, so
// that a code and a step are their own counts for all of their bits.
func mcus() {
	TEXT("mcus_x2_bmi2", NOSPLIT, "func(r, blocks *uint64, count, from, to, i, k int) (mcu, block, place int)")
	Doc("mcus_x2_bmi2 decodes MCUs of a sequential scan from coefficient k of block i of the MCU from on,",
		"up to the MCU to or until the bits are used up. r is a bitReader, blocks are an MCU's count",
		"mcuBlocks. It returns where a code stands that is in no table, or the MCU behind the last and",
		"at least 64 as place.")
	Pragma("noescape")
	mcu, i := AllocLocal(8), AllocLocal(8) // where the block in hand is, i in bytes
	n, at, src := GP64(), GP64(), GP64()
	bufs := [2]reg.GPVirtual{GP64(), GP64()} // what a step leaves, and what it found
	ac, block, k := GP64(), GP64(), GP64()
	places := GP64()
	LEAQ(zigzagOffsets(), places)
	{
		r := Load(Param("r"), GP64())
		MOVQ(Mem{Base: r, Disp: bufField}, bufs[0])
		MOVQ(Mem{Base: r, Disp: nField}, n)
		MOVQ(Mem{Base: r, Disp: atField}, at)
		MOVQ(Mem{Base: r, Disp: srcField}, src)
	}

	refill := func(buf reg.GPVirtual) {
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
	}
	// value leaves in bits the number that their first size bits stand for.
	value := func(bits, size reg.GPVirtual) {
		negative := GP64() // all ones for a value with a leading zero
		MOVQ(bits, negative)
		SARQ(U8(63), negative)
		NOTQ(negative)
		XORQ(negative, bits)
		// By 64-size, as two shifts: size may be 0.
		SHRQ(U8(1), bits)
		XORQ(U8(63), size)
		SHRXQ(size, bits, bits)
		XORQ(negative, bits)
		SUBQ(negative, bits)
	}
	take := func(count, from, to reg.GPVirtual) {
		t := GP64()
		SHLXQ(count, from, to)
		MOVBQZX(count.As8(), t)
		SUBQ(t, n)
	}

	// begin leaves in block where the block in hand goes, and in ac its steps.
	begin := func(d reg.GPVirtual) {
		MOVQ(Mem{Base: d, Disp: stepsField}, ac)
		MOVQ(Mem{Base: d, Disp: strideField}, block)
		IMULQ(mcu, block)
		ADDQ(Mem{Base: d, Disp: coefsField}, block)
	}

	{
		d, t := GP64(), GP64()
		Load(Param("from"), t)
		MOVQ(t, mcu)
		Load(Param("i"), d)
		SHLQ(U8(mcuBlockShift), d)
		MOVQ(d, i)
		Load(Param("blocks"), t)
		ADDQ(t, d)
		Load(Param("k"), k)
		TESTQ(k, k)
		JZ(LabelRef("block"))
		begin(d)
		JMP(LabelRef("next"))
	}

	Label("block")
	{
		// Behind the segment's end there are only zeros.
		r, t := GP64(), GP64()
		Load(Param("r"), r)
		MOVQ(Mem{Base: r, Disp: endField}, t)
		ADDQ(U8(beyondEnd), t)
		CMPQ(at, t)
		JLE(LabelRef("inside"))
		MOVQ(t, at)
		XORQ(bufs[0], bufs[0])
		Label("inside")

		refill(bufs[0])
		d, codes, c, bits := GP64(), GP64(), GP64(), GP64()
		Load(Param("blocks"), d)
		ADDQ(i, d)
		MOVQ(Mem{Base: d, Disp: codesField}, codes)
		MOVQ(bufs[0], c)
		SHRQ(U8(64-lookupBits), c)
		MOVL(Mem{Base: codes, Index: c, Scale: 4}, c.As32())
		XORQ(k, k)
		TESTL(c.As32(), c.As32())
		JZ(LabelRef("leave"))
		begin(d)
		length := GP64()
		MOVQ(c, length)
		SHRQ(U8(lengthShift), length)
		SHLXQ(length, bufs[0], bits)
		take(c, bufs[0], bufs[0])
		SHRQ(U8(sizeShift), c)
		value(bits, c)
		pred := GP64()
		MOVQ(Mem{Base: d, Disp: predField}, pred)
		ADDL(Mem{Base: pred}, bits.As32())
		MOVL(bits.As32(), Mem{Base: pred})
		MOVW(bits.As16(), Mem{Base: block})
		MOVQ(U32(1), k)
		JMP(LabelRef("behindDC"))
	}

	// Parts of a step are loaded from memory: shifts would be the bottleneck.
	e, move := GP64(), GP64()
	Label("next")
	refill(bufs[0])
	for i := range stepsAtOnce {
		if i == stepsBeforeDC {
			Label("behindDC")
		}
		before, after := bufs[i%2], bufs[(i+1)%2]
		at, t, second, v := GP64(), GP64(), GP64(), GP64()
		part := func(shift int) Mem { return Mem{Base: ac, Index: at, Scale: 8, Disp: shift / 8} }
		MOVQ(before, at)
		SHRQ(U8(64-stepBits), at)
		MOVQ(part(0), e)
		MOVBQZX(part(moveShift), move)
		TESTQ(move, move)
		JZ(LabelRef(fmt.Sprintf("wide%d", i%2)))
		take(e, before, after)
		MOVBQZX(part(runShift), t)
		ADDQ(t, k)
		first := t
		MOVBQZX(Mem{Base: places, Index: k, Scale: 1}, first)
		ADDQ(move, k)
		MOVBQZX(Mem{Base: places, Index: k, Scale: 1, Disp: -1}, second)
		// The first value is stored over a second one that stands at its place.
		MOVWLZX(part(secondShift), v.As32())
		MOVW(v.As16(), Mem{Base: block, Index: second, Scale: 1})
		MOVWLZX(part(firstShift), v.As32())
		MOVW(v.As16(), Mem{Base: block, Index: first, Scale: 1})
		CMPQ(k, U8(64))
		JAE(LabelRef(fmt.Sprintf("end%d", i%2)))
	}
	if stepsAtOnce%2 == 1 {
		MOVQ(bufs[1], bufs[0])
	}
	JMP(LabelRef("next"))

	// A value that lies beyond the bits of the step, alone.
	Label("wide1")
	MOVQ(bufs[1], bufs[0])
	Label("wide0")
	TESTQ(e, e)
	JZ(LabelRef("leave"))
	{
		refill(bufs[0])
		t, bits := GP64(), GP64()
		MOVQ(e, t)
		SHRQ(U8(ownShift), t)
		SHLXQ(t, bufs[0], bits)
		take(e, bufs[0], bufs[0])
		MOVQ(e, t)
		SHRQ(U8(firstShift), t)
		value(bits, t)
		SHRQ(U8(runShift), e)
		MOVBQZX(e.As8(), e)
		ADDQ(e, k)
		MOVBQZX(Mem{Base: places, Index: k, Scale: 1}, t)
		MOVW(bits.As16(), Mem{Base: block, Index: t, Scale: 1})
		INCQ(k)
		CMPQ(k, U8(64))
		JB(LabelRef("next"))
		JMP(LabelRef("ended"))
	}

	// Where the first value of a step was the block's last, what followed it
	// belongs to the next block and is given back.
	for i := range 2 {
		before, after := bufs[i], bufs[1-i]
		kept := fmt.Sprintf("kept%d", i)
		Label(fmt.Sprintf("end%d", i))
		own, t := GP64(), GP64()
		MOVQ(k, t)
		SUBQ(move, t) // place of the first value
		CMPQ(t, U8(63))
		JB(LabelRef(kept))
		MOVQ(e, own)
		SHRQ(U8(ownShift), own)
		MOVBQZX(own.As8(), own)
		SHLXQ(own, before, after)
		SUBQ(own, n)
		MOVBQZX(e.As8(), t)
		ADDQ(t, n)
		Label(kept)
		if i == 0 {
			MOVQ(bufs[1], bufs[0])
			JMP(LabelRef("ended"))
		}
	}

	Label("ended")
	{
		next, last := GP64(), GP64()
		MOVQ(i, next)
		ADDQ(U8(mcuBlockBytes), next)
		MOVQ(next, i)
		Load(Param("count"), last)
		SHLQ(U8(mcuBlockShift), last)
		CMPQ(next, last)
		JB(LabelRef("block"))
		XORQ(next, next)
		MOVQ(next, i)
		INCQ(mcu)
		r, end, taken := GP64(), GP64(), GP64()
		Load(Param("r"), r)
		MOVQ(Mem{Base: r, Disp: endField}, end)
		SHLQ(U8(3), end)
		MOVQ(at, taken)
		SHLQ(U8(3), taken)
		SUBQ(n, taken)
		CMPQ(taken, end)
		JGT(LabelRef("leave"))
		to := GP64()
		Load(Param("to"), to)
		CMPQ(to, mcu)
		JGT(LabelRef("block"))
	}

	Label("leave")
	{
		r, t := GP64(), GP64()
		Load(Param("r"), r)
		MOVQ(bufs[0], Mem{Base: r, Disp: bufField})
		MOVQ(n, Mem{Base: r, Disp: nField})
		MOVQ(at, Mem{Base: r, Disp: atField})
		Store(k, ReturnIndex(2))
		MOVQ(mcu, t)
		Store(t, ReturnIndex(0))
		MOVQ(i, t)
		SHRQ(U8(mcuBlockShift), t)
		Store(t, ReturnIndex(1))
	}
	RET()
}

// zigzagOffsets is zigzag of jpeg_tables.go in bytes of a block, with the last
// place again for all that a damaged block may lead past the end.
func zigzagOffsets() Mem {
	return constant("zigzag_offsets", func() {
		x, y, step := 0, 0, 1 // step is added to x and taken from y
		for k := range 64 + placesBehind {
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
