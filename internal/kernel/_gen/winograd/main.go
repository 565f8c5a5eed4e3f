// Command winograd writes the two-dimensional Winograd transforms of package
// kernel (see winogradKernel for what they compute) for one instruction set.
//
//	go run ./winograd -isa avx2 -out winograd_avx2_amd64.s -stubs winograd_avx2_amd64.go -pkg kernel
package main

import (
	"flag"
	"fmt"
	"math"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// chunkBytes is the unit that n of a transform counts: 16 channels.
const chunkBytes = 64

// A target is an instruction set by its vector registers.
type target struct {
	isa    string
	bytes  int
	vector func() reg.VecVirtual
}

var targets = map[string]target{
	"avx2":   {"avx2", 32, YMM},
	"avx512": {"avx512", 64, ZMM},
}

// A transform multiplies a vector of in elements by a matrix of out rows.
// apply calls put with every element of the product, in any order.
type transform struct {
	name    string
	tile    string
	in, out int
	factors []float32
	apply   func(e *emitter, d []reg.VecVirtual, put func(i int, v reg.VecVirtual))
}

// Interpolation points 0, 1, -1, 2, -2 and infinity for f4, 0, 1, -1 and
// infinity for f2 (Lavin and Gray 2016, 4.1 and 4.3), 0, 1, -1, 2 and infinity
// for the two taps of s2 and s2t.
var transforms = []transform{
	{"input", "f4", 6, 6, []float32{2, 4, 5}, inputF4},
	{"output", "f4", 6, 4, []float32{2, 4, 8}, outputF4},
	{"gradient", "f4", 4, 6, []float32{2, 4, 8}, gradientF4},
	{"weight", "f4", 3, 6, []float32{1. / 4, 1. / 6, 1. / 12, 1. / 24}, weightF4},
	{"weightGradient", "f4", 6, 3, []float32{1. / 4, 1. / 6, 1. / 12, 1. / 24}, weightGradientF4},
	{"input", "f2", 4, 4, nil, inputF2},
	{"output", "f2", 4, 2, nil, outputF2},
	{"gradient", "f2", 2, 4, nil, gradientF2},
	{"weight", "f2", 3, 4, []float32{1. / 2}, weightF2},
	{"weightGradient", "f2", 4, 3, []float32{1. / 2}, weightGradientF2},
	{"input", "s2", 9, 9, []float32{2}, inputS2},
	{"output", "s2", 9, 4, []float32{2, 4, 8}, outputS2},
	{"gradient", "s2", 4, 9, []float32{2, 4, 8}, gradientS2},
	{"weight", "s2", 3, 6, []float32{1. / 2, 1. / 6, 1. / 3}, weightS2},
	{"weightGradient", "s2", 6, 3, []float32{1. / 2, 1. / 6, 1. / 3}, weightGradientS2},
	{"input", "s2t", 5, 9, []float32{2}, inputS2T},
	{"output", "s2t", 9, 8, []float32{2, 4, 8}, outputS2T},
}

func inputF4(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, e.fma(4, d[0], e.fnma(5, d[2], d[4])))
	a, b := e.fnma(4, d[2], d[4]), e.fnma(4, d[1], d[3])
	put(1, e.add(a, b))
	put(2, e.sub(a, b))
	a, b = e.sub(d[4], d[2]), e.sub(d[3], d[1])
	put(3, e.fma(2, b, a))
	put(4, e.fnma(2, b, a))
	put(5, e.fma(4, d[1], e.fnma(5, d[3], d[5])))
}

func outputF4(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	s, t := e.add(d[1], d[2]), e.add(d[3], d[4])
	put(0, e.add(e.add(d[0], s), t))
	put(2, e.fma(4, t, s))
	s, t = e.sub(d[1], d[2]), e.sub(d[3], d[4])
	put(1, e.fma(2, t, s))
	put(3, e.add(e.fma(8, t, s), d[5]))
}

func gradientF4(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, d[0])
	a, b := e.add(d[0], d[2]), e.add(d[1], d[3])
	put(1, e.add(a, b))
	put(2, e.sub(a, b))
	a, b = e.fma(4, d[2], d[0]), e.fma(4, d[3], d[1])
	put(3, e.fma(2, b, a))
	put(4, e.fnma(2, b, a))
	put(5, d[3])
}

func weightF4(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, e.mul(1./4, d[0]))
	a, b := e.mul(1./6, e.add(d[0], d[2])), e.mul(1./6, d[1])
	put(1, e.neg(e.add(a, b)))
	put(2, e.sub(b, a))
	a, b = e.fma(1./24, d[0], e.mul(1./6, d[2])), e.mul(1./12, d[1])
	put(3, e.add(a, b))
	put(4, e.sub(a, b))
	put(5, d[2])
}

func weightGradientF4(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	s, t := e.mul(1./6, e.add(d[1], d[2])), e.add(d[3], d[4])
	put(0, e.sub(e.fma(1./24, t, e.mul(1./4, d[0])), s))
	put(2, e.add(e.sub(e.mul(1./6, t), s), d[5]))
	put(1, e.fma(1./6, e.sub(d[2], d[1]), e.mul(1./12, e.sub(d[3], d[4]))))
}

func inputF2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, e.sub(d[0], d[2]))
	put(1, e.add(d[1], d[2]))
	put(2, e.sub(d[2], d[1]))
	put(3, e.sub(d[1], d[3]))
}

func outputF2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, e.add(e.add(d[0], d[1]), d[2]))
	put(1, e.sub(e.sub(d[1], d[2]), d[3]))
}

func gradientF2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, d[0])
	put(1, e.add(d[0], d[1]))
	put(2, e.sub(d[0], d[1]))
	put(3, e.neg(d[1]))
}

func weightF2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, d[0])
	a, b := e.mul(1./2, e.add(d[0], d[2])), e.mul(1./2, d[1])
	put(1, e.add(a, b))
	put(2, e.sub(a, b))
	put(3, d[2])
}

func weightGradientF2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	s := e.mul(1./2, e.add(d[1], d[2]))
	put(0, e.add(d[0], s))
	put(1, e.mul(1./2, e.sub(d[1], d[2])))
	put(2, e.add(s, d[3]))
}

// inputF42 is the input transform of four results of two taps.
func inputF42(e *emitter, u []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	a, b := e.sub(u[3], u[2]), e.sub(u[3], u[1])
	put(0, e.fma(2, e.sub(u[0], u[2]), b))
	put(1, e.fnma(2, u[1], a))
	put(2, e.fma(2, e.sub(u[1], u[2]), a))
	put(3, b)
	put(4, e.fnma(2, b, e.sub(u[4], u[2])))
}

func inputS2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	inputF42(e, []reg.VecVirtual{d[0], d[2], d[4], d[6], d[8]}, put)
	for i := range 4 {
		put(5+i, d[2*i+1])
	}
}

func inputS2T(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	inputF42(e, d, put)
	for i := range 4 {
		put(5+i, d[i])
	}
}

// outputF42 is the output transform of four results of two taps.
func outputF42(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	s, t := e.add(d[1], d[2]), e.sub(d[1], d[2])
	put(0, e.add(e.add(d[0], s), d[3]))
	put(1, e.fma(2, d[3], t))
	put(2, e.fma(4, d[3], s))
	put(3, e.add(e.fma(8, d[3], t), d[4]))
}

func outputS2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	outputF42(e, d, func(i int, v reg.VecVirtual) { put(i, e.add(v, d[5+i])) })
}

func outputS2T(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	outputF42(e, d, func(i int, v reg.VecVirtual) {
		put(2*i, d[5+i])
		put(2*i+1, v)
	})
}

func gradientS2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, d[0])
	a, b := e.add(d[0], d[2]), e.add(d[1], d[3])
	put(1, e.add(a, b))
	put(2, e.sub(a, b))
	put(3, e.fma(8, d[3], e.fma(4, d[2], e.fma(2, d[1], d[0]))))
	put(4, d[3])
	for i := range 4 {
		put(5+i, d[i])
	}
}

func weightS2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, e.mul(1./2, d[0]))
	put(1, e.neg(e.mul(1./2, e.add(d[0], d[2]))))
	put(2, e.mul(1./6, e.sub(d[2], d[0])))
	put(3, e.fma(1./3, d[2], e.mul(1./6, d[0])))
	put(4, d[2])
	put(5, d[1])
}

func weightGradientS2(e *emitter, d []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, e.fma(1./6, e.sub(d[3], d[2]), e.mul(1./2, e.sub(d[0], d[1]))))
	put(1, d[5])
	put(2, e.fnma(1./2, d[1], e.fma(1./6, d[2], e.fma(1./3, d[3], d[4]))))
}

// An emitter writes arithmetic on whole vector registers.
type emitter struct {
	target
	factors map[float32]reg.VecVirtual
}

func (e *emitter) add(a, b reg.VecVirtual) reg.VecVirtual {
	r := e.vector()
	VADDPS(b, a, r)
	return r
}

func (e *emitter) sub(a, b reg.VecVirtual) reg.VecVirtual {
	r := e.vector()
	VSUBPS(b, a, r)
	return r
}

func (e *emitter) neg(a reg.VecVirtual) reg.VecVirtual {
	zero := e.vector()
	VXORPS(zero, zero, zero)
	return e.sub(zero, a)
}

func (e *emitter) mul(f float32, a reg.VecVirtual) reg.VecVirtual {
	r := e.vector()
	VMULPS(e.factors[f], a, r)
	return r
}

// fma returns f*a + b.
func (e *emitter) fma(f float32, a, b reg.VecVirtual) reg.VecVirtual {
	r := e.vector()
	VMOVAPS(b, r)
	VFMADD231PS(e.factors[f], a, r)
	return r
}

// fnma returns b - f*a.
func (e *emitter) fnma(f float32, a, b reg.VecVirtual) reg.VecVirtual {
	r := e.vector()
	VMOVAPS(b, r)
	VFNMADD231PS(e.factors[f], a, r)
	return r
}

func main() {
	isa := flag.String("isa", "avx2", "instruction set: avx2 or avx512")
	flag.Parse()
	t, ok := targets[*isa]
	if !ok {
		panic(fmt.Sprintf("winograd: isa: got %q, want avx2 or avx512", *isa))
	}
	ConstraintExpr("amd64,!noasm")
	for _, tr := range transforms {
		t.write(tr)
	}
	t.writePrefetch()
	Generate()
}

// writePrefetch emits what asks for lines of the cache (see winogradKernels).
func (t target) writePrefetch() {
	TEXT(fmt.Sprintf("prefetchF32_%s", t.isa), NOSPLIT, "func(dst []float32, dstOff []int, n int)")
	Pragma("noescape")
	dst := Load(Param("dst").Base(), GP64())
	dstOff, pixels := Load(Param("dstOff").Base(), GP64()), Load(Param("dstOff").Len(), GP64())
	n := Load(Param("n"), GP64())
	pixel, chunks := GP64(), GP64()
	Label("pixel")
	MOVQ(Mem{Base: dstOff}, pixel)
	LEAQ(Mem{Base: dst, Index: pixel, Scale: 4}, pixel)
	MOVQ(n, chunks)
	Label("chunk")
	PREFETCHT0(Mem{Base: pixel})
	ADDQ(Imm(chunkBytes), pixel)
	DECQ(chunks)
	JNZ(LabelRef("chunk"))
	ADDQ(Imm(8), dstOff)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	RET()
}

// write emits the transform of columns, from src to tmp, then of rows, from
// tmp to dst.
func (t target) write(tr transform) {
	TEXT(fmt.Sprintf("%sF32_%s_%s", tr.name, tr.tile, t.isa), NOSPLIT, "func(dst []float32, dstOff []int, "+
		"src []float32, srcOff []int, n int, accumulate bool, tmp []float32)")
	Pragma("noescape")
	dst, dstOff := Load(Param("dst").Base(), GP64()), Load(Param("dstOff").Base(), GP64())
	src, srcOff := Load(Param("src").Base(), GP64()), Load(Param("srcOff").Base(), GP64())
	n, tmp := Load(Param("n"), GP64()), Load(Param("tmp").Base(), GP64())
	accumulate := Load(Param("accumulate"), GP8())
	if vectors := chunkBytes / t.bytes; vectors > 1 {
		SHLQ(Imm(uint64(bits.TrailingZeros(uint(vectors)))), n)
	}

	e := &emitter{t, map[float32]reg.VecVirtual{}}
	for _, f := range tr.factors {
		word, v := GP32(), t.vector()
		MOVL(U32(math.Float32bits(f)), word)
		x := XMM()
		VMOVD(word, x)
		VBROADCASTSS(x, v)
		e.factors[f] = v
	}

	Label("vector")
	off := GP64()
	for j := range tr.in {
		d := make([]reg.VecVirtual, tr.in)
		for i := range d {
			d[i] = t.vector()
			MOVQ(Mem{Base: srcOff, Disp: 8 * (i*tr.in + j)}, off)
			VMOVUPS(Mem{Base: src, Index: off, Scale: 4}, d[i])
		}
		tr.apply(e, d, func(i int, v reg.VecVirtual) {
			VMOVUPS(v, Mem{Base: tmp, Disp: (i*tr.in + j) * t.bytes})
		})
	}
	for i := range tr.out {
		d := make([]reg.VecVirtual, tr.in)
		for j := range d {
			d[j] = t.vector()
			VMOVUPS(Mem{Base: tmp, Disp: (i*tr.in + j) * t.bytes}, d[j])
		}
		over, done := fmt.Sprintf("over%d", i), fmt.Sprintf("done%d", i)
		TESTB(accumulate, accumulate)
		JZ(LabelRef(over))
		tr.apply(e, d, func(j int, v reg.VecVirtual) {
			MOVQ(Mem{Base: dstOff, Disp: 8 * (i*tr.out + j)}, off)
			m := Mem{Base: dst, Index: off, Scale: 4}
			sum := t.vector()
			VADDPS(m, v, sum)
			VMOVUPS(sum, m)
		})
		JMP(LabelRef(done))
		Label(over)
		tr.apply(e, d, func(j int, v reg.VecVirtual) {
			MOVQ(Mem{Base: dstOff, Disp: 8 * (i*tr.out + j)}, off)
			VMOVUPS(v, Mem{Base: dst, Index: off, Scale: 4})
		})
		Label(done)
	}
	ADDQ(U32(t.bytes), dst)
	ADDQ(U32(t.bytes), src)
	DECQ(n)
	JNZ(LabelRef("vector"))
	VZEROUPPER()
	RET()
}
