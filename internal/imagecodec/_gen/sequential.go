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

	stepsAtOnce   = 5       // of stepBits each in the 56 bits that refilling leaves at least
	stepsBeforeDC = 2       // of them find no room behind a DC code, which takes up to 25 bits with its value
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
	d := &scanDecoder{
		mcu: AllocLocal(8), i: AllocLocal(8),
		n: GP64(), at: GP64(), src: GP64(), bufs: [2]reg.GPVirtual{GP64(), GP64()},
		steps: GP64(), block: GP64(), k: GP64(), places: GP64(), step: GP64(), move: GP64(),
	}
	d.enter()
	d.newBlock()
	d.takeSteps()
	d.takeWide()
	d.endBlock()
	d.nextBlock()
	d.leave()
}

// scanDecoder is where mcus has its variables.
type scanDecoder struct {
	mcu, i     Mem // the block in hand, i in bytes of mcuBlocks
	n, at, src reg.GPVirtual
	bufs       [2]reg.GPVirtual // what is left by a step, and what it found
	steps      reg.GPVirtual    // of the block's AC
	block, k   reg.GPVirtual
	places     reg.GPVirtual
	step, move reg.GPVirtual // the step taken last
}

// enter takes over the reader and goes to the block's DC, or on inside the block.
func (d *scanDecoder) enter() {
	LEAQ(zigzagOffsets(), d.places)
	r, b, t := GP64(), GP64(), GP64()
	Load(Param("r"), r)
	MOVQ(Mem{Base: r, Disp: bufField}, d.bufs[0])
	MOVQ(Mem{Base: r, Disp: nField}, d.n)
	MOVQ(Mem{Base: r, Disp: atField}, d.at)
	MOVQ(Mem{Base: r, Disp: srcField}, d.src)
	Load(Param("from"), t)
	MOVQ(t, d.mcu)
	Load(Param("i"), b)
	SHLQ(U8(mcuBlockShift), b)
	MOVQ(b, d.i)
	Load(Param("k"), d.k)
	TESTQ(d.k, d.k)
	JZ(LabelRef("block"))
	Load(Param("blocks"), t)
	ADDQ(t, b)
	d.findBlock(b)
	JMP(LabelRef("next"))
}

// findBlock leaves in block where the mcuBlock b goes, and its steps.
func (d *scanDecoder) findBlock(b reg.GPVirtual) {
	MOVQ(Mem{Base: b, Disp: stepsField}, d.steps)
	MOVQ(Mem{Base: b, Disp: strideField}, d.block)
	IMULQ(d.mcu, d.block)
	ADDQ(Mem{Base: b, Disp: coefsField}, d.block)
}

func (d *scanDecoder) refill() {
	t := GP64()
	MOVQ(Mem{Base: d.src, Index: d.at, Scale: 1}, t)
	BSWAPQ(t)
	SHRXQ(d.n, t, t)
	ORQ(t, d.bufs[0])
	MOVQ(U32(63), t)
	SUBQ(d.n, t)
	SHRQ(U8(3), t)
	ADDQ(t, d.at)
	ORQ(U8(56), d.n)
}

// take takes count bits.
func (d *scanDecoder) take(count, from, to reg.GPVirtual) {
	t := GP64()
	SHLXQ(count, from, to)
	MOVBQZX(count.As8(), t)
	SUBQ(t, d.n)
}

// value leaves in bits the number that their first size bits stand for.
func value(bits, size reg.GPVirtual) {
	negative := GP64() // all ones for a value with a leading zero
	MOVQ(bits, negative)
	SARQ(U8(63), negative)
	NOTQ(negative)
	XORQ(negative, bits)
	SHRQ(U8(1), bits) // by 64-size, as two shifts: size may be 0
	XORQ(U8(63), size)
	SHRXQ(size, bits, bits)
	XORQ(negative, bits)
	SUBQ(negative, bits)
}

// newBlock decodes a block's DC.
func (d *scanDecoder) newBlock() {
	Label("block")
	// Behind the segment's end there are only zeros.
	r, end := GP64(), GP64()
	Load(Param("r"), r)
	MOVQ(Mem{Base: r, Disp: endField}, end)
	ADDQ(U8(beyondEnd), end)
	CMPQ(d.at, end)
	JLE(LabelRef("inside"))
	MOVQ(end, d.at)
	XORQ(d.bufs[0], d.bufs[0])
	Label("inside")
	d.refill()

	b, codes, c, length, bits, pred := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("blocks"), b)
	ADDQ(d.i, b)
	MOVQ(Mem{Base: b, Disp: codesField}, codes)
	MOVQ(d.bufs[0], c)
	SHRQ(U8(64-lookupBits), c)
	MOVL(Mem{Base: codes, Index: c, Scale: 4}, c.As32())
	XORQ(d.k, d.k)
	TESTL(c.As32(), c.As32())
	JZ(LabelRef("leave"))
	d.findBlock(b)
	MOVQ(c, length)
	SHRQ(U8(lengthShift), length)
	SHLXQ(length, d.bufs[0], bits)
	d.take(c, d.bufs[0], d.bufs[0])
	SHRQ(U8(sizeShift), c)
	value(bits, c)
	MOVQ(Mem{Base: b, Disp: predField}, pred)
	ADDL(Mem{Base: pred}, bits.As32())
	MOVL(bits.As32(), Mem{Base: pred})
	MOVW(bits.As16(), Mem{Base: d.block})
	MOVQ(U32(1), d.k)
	JMP(LabelRef("behindDC"))
}

// takeSteps takes steps up to the block's end. Their parts are loaded from memory:
// shifting them out would be the bottleneck.
func (d *scanDecoder) takeSteps() {
	Label("next")
	d.refill()
	for i := range stepsAtOnce {
		if i == stepsBeforeDC {
			Label("behindDC")
		}
		before, after := d.bufs[i%2], d.bufs[(i+1)%2]
		entry, first, second, v := GP64(), GP64(), GP64(), GP64()
		part := func(shift int) Mem { return Mem{Base: d.steps, Index: entry, Scale: 8, Disp: shift / 8} }
		MOVQ(before, entry)
		SHRQ(U8(64-stepBits), entry)
		MOVQ(part(0), d.step)
		MOVBQZX(part(moveShift), d.move)
		TESTQ(d.move, d.move)
		JZ(LabelRef(fmt.Sprintf("wide%d", i%2)))
		d.take(d.step, before, after)
		MOVBQZX(part(runShift), first)
		ADDQ(first, d.k)
		MOVBQZX(Mem{Base: d.places, Index: d.k, Scale: 1}, first)
		ADDQ(d.move, d.k)
		MOVBQZX(Mem{Base: d.places, Index: d.k, Scale: 1, Disp: -1}, second)
		// The first value is stored over a second one that stands at its place.
		MOVWLZX(part(secondShift), v.As32())
		MOVW(v.As16(), Mem{Base: d.block, Index: second, Scale: 1})
		MOVWLZX(part(firstShift), v.As32())
		MOVW(v.As16(), Mem{Base: d.block, Index: first, Scale: 1})
		CMPQ(d.k, U8(64))
		JAE(LabelRef(fmt.Sprintf("end%d", i%2)))
	}
	if stepsAtOnce%2 == 1 {
		MOVQ(d.bufs[1], d.bufs[0])
	}
	JMP(LabelRef("next"))
}

// takeWide takes a value that lies beyond the bits of the step, alone.
func (d *scanDecoder) takeWide() {
	Label("wide1")
	MOVQ(d.bufs[1], d.bufs[0])
	Label("wide0")
	TESTQ(d.step, d.step)
	JZ(LabelRef("leave"))
	d.refill()
	t, bits := GP64(), GP64()
	MOVQ(d.step, t)
	SHRQ(U8(ownShift), t)
	SHLXQ(t, d.bufs[0], bits)
	d.take(d.step, d.bufs[0], d.bufs[0])
	MOVQ(d.step, t)
	SHRQ(U8(firstShift), t)
	value(bits, t)
	SHRQ(U8(runShift), d.step)
	MOVBQZX(d.step.As8(), t)
	ADDQ(t, d.k)
	MOVBQZX(Mem{Base: d.places, Index: d.k, Scale: 1}, t)
	MOVW(bits.As16(), Mem{Base: d.block, Index: t, Scale: 1})
	INCQ(d.k)
	CMPQ(d.k, U8(64))
	JB(LabelRef("next"))
	JMP(LabelRef("ended"))
}

// endBlock comes behind a step that ends the block. Where its first value was the
// block's last, what followed it belongs to the next block and is given back.
func (d *scanDecoder) endBlock() {
	for i := range d.bufs {
		before, after := d.bufs[i], d.bufs[1-i]
		kept := fmt.Sprintf("kept%d", i)
		own, t := GP64(), GP64()
		Label(fmt.Sprintf("end%d", i))
		MOVQ(d.k, t)
		SUBQ(d.move, t) // place of the first value
		CMPQ(t, U8(63))
		JB(LabelRef(kept))
		MOVQ(d.step, own)
		SHRQ(U8(ownShift), own)
		MOVBQZX(own.As8(), own)
		SHLXQ(own, before, after)
		SUBQ(own, d.n)
		MOVBQZX(d.step.As8(), t)
		ADDQ(t, d.n)
		Label(kept)
		if i == 0 {
			MOVQ(d.bufs[1], d.bufs[0])
			JMP(LabelRef("ended"))
		}
	}
}

// nextBlock goes to the next block, or leaves behind the last MCU.
func (d *scanDecoder) nextBlock() {
	Label("ended")
	next, last := GP64(), GP64()
	MOVQ(d.i, next)
	ADDQ(U8(mcuBlockBytes), next)
	MOVQ(next, d.i)
	Load(Param("count"), last)
	SHLQ(U8(mcuBlockShift), last)
	CMPQ(next, last)
	JB(LabelRef("block"))
	XORQ(next, next)
	MOVQ(next, d.i)
	INCQ(d.mcu)
	r, end, taken, to := GP64(), GP64(), GP64(), GP64()
	Load(Param("r"), r)
	MOVQ(Mem{Base: r, Disp: endField}, end)
	SHLQ(U8(3), end)
	MOVQ(d.at, taken)
	SHLQ(U8(3), taken)
	SUBQ(d.n, taken)
	CMPQ(taken, end)
	JGT(LabelRef("leave"))
	Load(Param("to"), to)
	CMPQ(to, d.mcu)
	JGT(LabelRef("block"))
}

// leave gives the reader back and tells where the block in hand is.
func (d *scanDecoder) leave() {
	Label("leave")
	r, t := GP64(), GP64()
	Load(Param("r"), r)
	MOVQ(d.bufs[0], Mem{Base: r, Disp: bufField})
	MOVQ(d.n, Mem{Base: r, Disp: nField})
	MOVQ(d.at, Mem{Base: r, Disp: atField})
	Store(d.k, ReturnIndex(2))
	MOVQ(d.mcu, t)
	Store(t, ReturnIndex(0))
	MOVQ(d.i, t)
	SHRQ(U8(mcuBlockShift), t)
	Store(t, ReturnIndex(1))
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
