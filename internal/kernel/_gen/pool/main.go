// Command pool writes the max-pooling kernels of package kernel (see
// poolKernels for what they compute) for one instruction set. They take channel
// strides that are multiples of 16.
//
//	go run ./pool -isa avx2 -out pool_avx2_amd64.s -stubs pool_avx2_amd64.go -pkg kernel
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"clpipe/internal/kernel/gen/isa"
)

const (
	groupBytes  = 64 // 16 channels, what a turn of the loop covers
	groupPlaces = 16 // bytes of their places
)

var (
	s       isa.Set
	vectors int // of a group
)

func main() {
	s = isa.FromFlags()
	vectors = groupBytes / s.Bytes
	maxPool()
	maxPoolBackward()
	Generate()
}

func begin(operation, signature string) {
	name := operation + "F32_" + s.Name
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is a kernel of poolKernels.")
	Pragma("noescape")
}

func pointer(param string) reg.GPVirtual {
	r := GP64()
	Load(Param(param).Base(), r)
	return r
}

func length(param string) reg.GPVirtual {
	r := GP64()
	Load(Param(param).Len(), r)
	return r
}

func maxPool() {
	begin("maxPool", "func(y []float32, arg []uint8, x []float32, off []int, here []int32)")
	y, arg, x, off, here := pointer("y"), pointer("arg"), pointer("x"), pointer("off"), pointer("here")
	left, taps := length("y"), length("off")
	at, tap := GP64(), GP64()
	best, place := s.Vectors(vectors), s.Vectors(vectors)
	pixel := func(v int) Mem { return Mem{Base: x, Index: at, Scale: 4, Disp: v * s.Bytes} }

	Label("group")
	MOVQ(Mem{Base: off}, at)
	for v := range best {
		VMOVUPS(pixel(v), best[v])
		VPBROADCASTD(Mem{Base: here}, place[v])
	}
	MOVQ(U32(1), tap)
	JMP(LabelRef("more"))
	Label("tap")
	MOVQ(Mem{Base: off, Index: tap, Scale: 8}, at)
	this := s.Vector()
	VPBROADCASTD(Mem{Base: here, Index: tap, Scale: 4}, this)
	for v := range best {
		replace(pixel(v), this, best[v], place[v])
	}
	INCQ(tap)
	Label("more")
	CMPQ(tap, taps)
	JB(LabelRef("tap"))
	for v := range best {
		VMOVUPS(best[v], Mem{Base: y, Disp: v * s.Bytes})
	}
	storePlaces(place, Mem{Base: arg})
	ADDQ(U32(groupBytes), y)
	ADDQ(U32(groupBytes), x)
	ADDQ(U32(groupPlaces), arg)
	SUBQ(U32(groupBytes/4), left)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// replace takes the numbers at m, and the place where they are, into best and
// place where they exceed it, and where they are NaN and best is not.
func replace(m Mem, this, best, place reg.VecVirtual) {
	x := s.Vector()
	VMOVUPS(m, x)
	if s.Wide() {
		ordered, k := K(), K()
		VCMPPS(isa.Ordered, best, best, ordered)
		VCMPPS(isa.NotLessOrEqual, best, x, ordered, k)
		VBLENDMPS(x, best, k, best)
		VPBLENDMD(this, place, k, place)
		return
	}
	ordered, mask := s.Vector(), s.Vector()
	VCMPPS(isa.Ordered, best, best, ordered)
	VCMPPS(isa.NotLessOrEqual, best, x, mask)
	VANDPS(ordered, mask, mask)
	VBLENDVPS(mask, x, best, best)
	VBLENDVPS(mask, this, place, place)
}

// storePlaces narrows 16 numbers to bytes.
func storePlaces(place []reg.VecVirtual, m Mem) {
	if s.Wide() {
		VPMOVDB(place[0], m)
		return
	}
	words := YMM()
	VPACKSSDW(place[1], place[0], words) // in each half four of either
	VPERMQ(U8(0xd8), words, words)
	high := XMM()
	VEXTRACTI128(U8(1), words, high)
	VPACKUSWB(high, words.AsX(), high)
	VMOVDQU(high, m)
}

func maxPoolBackward() {
	begin("maxPoolBackward", "func(dx, dy []float32, arg []uint8, off []int, here []int32, add bool)")
	dx, dy, arg, off, here := pointer("dx"), pointer("dy"), pointer("arg"), pointer("off"), pointer("here")
	left, windows := length("dx"), length("off")
	add := Load(Param("add"), GP8())
	at, window := GP64(), GP64()
	sum := s.Vectors(vectors)

	Label("group")
	s.Clear(sum...)
	TESTB(add, add)
	JZ(LabelRef("start"))
	for v := range sum {
		VMOVUPS(Mem{Base: dx, Disp: v * s.Bytes}, sum[v])
	}
	Label("start")
	XORQ(window, window)
	JMP(LabelRef("more"))
	Label("window")
	MOVQ(Mem{Base: off, Index: window, Scale: 8}, at)
	this := s.Vector()
	VPBROADCASTD(Mem{Base: here, Index: window, Scale: 4}, this)
	for v := range sum {
		place, g := s.Vector(), s.Vector()
		VPMOVZXBD(Mem{Base: arg, Index: at, Scale: 1, Disp: v * s.Bytes / 4}, place)
		from := Mem{Base: dy, Index: at, Scale: 4, Disp: v * s.Bytes}
		if s.Wide() {
			k := K()
			VPCMPEQD(this, place, k)
			VMOVUPS_Z(from, k, g)
		} else {
			VPCMPEQD(this, place, place)
			VANDPS(from, place, g)
		}
		VADDPS(g, sum[v], sum[v])
	}
	INCQ(window)
	Label("more")
	CMPQ(window, windows)
	JB(LabelRef("window"))
	for v := range sum {
		VMOVUPS(sum[v], Mem{Base: dx, Disp: v * s.Bytes})
	}
	for _, r := range []reg.GPVirtual{dx, dy} {
		ADDQ(U32(groupBytes), r)
	}
	ADDQ(U32(groupPlaces), arg)
	SUBQ(U32(groupBytes/4), left)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}
