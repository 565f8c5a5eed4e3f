// Command columns writes the column kernels of package kernel (see
// columnKernels for what they compute) for one instruction set. They take
// channel strides that are multiples of 16.
//
//	go run ./columns -isa avx2 -out columns_avx2_amd64.s -stubs columns_avx2_amd64.go -pkg kernel
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"clpipe/internal/kernel/gen/isa"
)

// groupBytes is 16 channels, the unit of a channel stride.
const groupBytes = 64

var s isa.Set

func main() {
	s = isa.FromFlags()
	columns(maxima, "columnMax", "func(top, x []float32)", []string{"top"}, []string{"x"}, "", false,
		func(acc, _ []reg.VecVirtual, x []Mem, _ reg.VecVirtual) {
			VMAXPS(acc[0], load(x[0]), acc[0]) // acc where x is NaN
		})
	columns(sums, "columnSum", "func(sum, x []float32)", []string{"sum"}, []string{"x"}, "", false,
		func(acc, _ []reg.VecVirtual, x []Mem, _ reg.VecVirtual) {
			VADDPS(x[0], acc[0], acc[0])
		})
	columns(sums, "columnMoments", "func(s1, s2, x, shift []float32)", []string{"s1", "s2"}, []string{"x"}, "shift", false,
		func(acc, origin []reg.VecVirtual, x []Mem, _ reg.VecVirtual) {
			d := load(x[0])
			VSUBPS(origin[0], d, d)
			VADDPS(d, acc[0], acc[0])
			VFMADD231PS(d, d, acc[1])
		})
	columns(sums, "normReduce", "func(s1, s2, dy, x, y, mean []float32, floor float32)", []string{"s1", "s2"}, []string{"x", "dy", "y"}, "mean", true,
		func(acc, origin []reg.VecVirtual, x []Mem, floor reg.VecVirtual) {
			g := s.Vector()
			s.LoadWhere(isa.NotLessOrEqual, load(x[2]), floor, x[1], g)
			VADDPS(g, acc[0], acc[0])
			d := load(x[0])
			VSUBPS(origin[0], d, d)
			VFMADD231PS(g, d, acc[1])
		})
	normApply()
	normBackward()
	Generate()
}

func load(m Mem) reg.VecVirtual {
	v := s.Vector()
	VMOVUPS(m, v)
	return v
}

// begin opens a function.
func begin(operation, signature string) {
	name := operation + "F32_" + s.Name
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is a kernel of columnKernels.")
	Pragma("noescape")
}

// A fold is what becomes of a column: how it starts, from the output, and how
// two parts of it are joined.
type fold struct {
	start func(out Mem, acc reg.VecVirtual)
	join  func(part, acc reg.VecVirtual)
}

var (
	sums = fold{
		func(_ Mem, acc reg.VecVirtual) { s.Clear(acc) },
		func(part, acc reg.VecVirtual) { VADDPS(part, acc, acc) },
	}
	maxima = fold{
		func(out Mem, acc reg.VecVirtual) { VMOVUPS(out, acc) },
		func(part, acc reg.VecVirtual) { VMAXPS(part, acc, acc) },
	}
)

// columns writes a kernel that folds columns: blocks of channels from left to
// right, for each the pixels from top to bottom, the results in registers. inputs
// have the shape of an activation, the first of them x; origin, if any, is a
// vector of the channels.
func columns(f fold, operation, signature string, outputs, inputs []string, origin string, floored bool,
	body func(acc, origin []reg.VecVirtual, x []Mem, floor reg.VecVirtual)) {
	begin(operation, signature)
	bases := func(names []string) (r []reg.Register) {
		for _, name := range names {
			r = append(r, Load(Param(name).Base(), GP64()))
		}
		return r
	}
	out, in := bases(outputs), bases(inputs)
	end := Load(Param("x").Len(), GP64())
	LEAQ(Mem{Base: in[0], Index: end, Scale: 4}, end)
	stride := Load(Param(outputs[0]).Len(), GP64())
	SHLQ(Imm(2), stride)
	left := GP64() // bytes of channels to go
	MOVQ(stride, left)
	var originBase reg.Register
	if origin != "" {
		originBase = Load(Param(origin).Base(), GP64())
	}
	var floor reg.VecVirtual
	if floored {
		floor = s.Broadcast("floor")
	}

	// Every other pixel has sums of its own where the channels of a block are
	// few: an addition would wait for the one before.
	block := func(label string, vectors, pixels int) {
		bytes := vectors * s.Bytes
		Label(label)
		CMPQ(left, U32(bytes))
		JB(LabelRef(label + "_done"))
		acc := make([][][]reg.VecVirtual, pixels)
		origins := make([][]reg.VecVirtual, vectors)
		for p := range acc {
			acc[p] = make([][]reg.VecVirtual, vectors)
			for v := range vectors {
				acc[p][v] = s.Vectors(len(out))
				for i, o := range out {
					f.start(Mem{Base: o, Disp: v * s.Bytes}, acc[p][v][i])
				}
			}
		}
		for v := range vectors {
			if origin != "" {
				origins[v] = []reg.VecVirtual{load(Mem{Base: originBase, Disp: v * s.Bytes})}
			}
		}
		// The other inputs are addressed by their distance from x.
		at, far := GP64(), make([]reg.GPVirtual, len(in))
		MOVQ(in[0], at)
		for i := 1; i < len(in); i++ {
			far[i] = GP64()
			MOVQ(in[i], far[i])
			SUBQ(in[0], far[i])
		}
		pixel := func(acc [][]reg.VecVirtual) {
			for v := range vectors {
				x := []Mem{{Base: at, Disp: v * s.Bytes}}
				for i := 1; i < len(in); i++ {
					x = append(x, Mem{Base: at, Index: far[i], Scale: 1, Disp: v * s.Bytes})
				}
				body(acc[v], origins[v], x, floor)
			}
			ADDQ(stride, at)
		}
		if pixels > 1 {
			last := GP64() // no whole turn from here on
			MOVQ(end, last)
			for range pixels - 1 {
				SUBQ(stride, last)
			}
			JMP(LabelRef(label + "_turn"))
			Label(label + "_pixels")
			for p := range pixels {
				pixel(acc[p])
			}
			Label(label + "_turn")
			CMPQ(at, last)
			JB(LabelRef(label + "_pixels"))
			for p := 1; p < pixels; p++ {
				for v := range vectors {
					for i := range out {
						f.join(acc[p][v][i], acc[0][v][i])
					}
				}
			}
		}
		CMPQ(at, end)
		JAE(LabelRef(label + "_store"))
		Label(label + "_pixel")
		pixel(acc[0])
		CMPQ(at, end)
		JB(LabelRef(label + "_pixel"))
		Label(label + "_store")
		for v := range vectors {
			for i, o := range out {
				VMOVUPS(acc[0][v][i], Mem{Base: o, Disp: v * s.Bytes})
			}
		}
		pointers := append(append([]reg.Register{}, out...), in...)
		if origin != "" {
			pointers = append(pointers, originBase)
		}
		for _, r := range pointers {
			ADDQ(U32(bytes), r)
		}
		SUBQ(U32(bytes), left)
		JMP(LabelRef(label))
		Label(label + "_done")
	}
	block("wide", 4, 1)
	if s.Wide() {
		block("pair", 2, 2)
	}
	block("narrow", groupBytes/s.Bytes, 2)
	VZEROUPPER()
	RET()
}

// rows writes the loops of a kernel that goes over an activation row by row,
// with coefficients of the channels: body gets the registers of pointers into
// the activations, which it addresses at Disp, and of one into the
// coefficients, and the distances from one coefficient to the next.
func rows(label string, activations []reg.GPVirtual, coef, stride, pixels reg.Register,
	body func(at []Mem, coef Mem)) {
	Label(label + "_pixel")
	c := GP64()
	MOVQ(coef, c)
	left := GP64()
	MOVQ(stride, left)
	Label(label + "_group")
	for v := 0; v < groupBytes; v += s.Bytes {
		var at []Mem
		for _, a := range activations {
			at = append(at, Mem{Base: a, Disp: v})
		}
		body(at, Mem{Base: c, Disp: v})
	}
	for _, a := range activations {
		ADDQ(U32(groupBytes), a)
	}
	ADDQ(U32(groupBytes), c)
	SUBQ(U32(groupBytes), left)
	JNZ(LabelRef(label + "_group"))
	DECQ(pixels)
	JNZ(LabelRef(label + "_pixel"))
	VZEROUPPER()
	RET()
}

// coefficients loads the pointer to n vectors of coefficients, the bytes of
// one of them, and the number of pixels of x.
func coefficients(n int) (coef, stride, pixels reg.Register) {
	coef = Load(Param("coef").Base(), GP64())
	length := Load(Param("coef").Len(), reg.RAX)
	XORQ(reg.RDX, reg.RDX)
	divisor := GP64()
	MOVQ(U32(n), divisor)
	DIVQ(divisor)
	channels := GP64()
	MOVQ(length, channels)
	Load(Param("x").Len(), reg.RAX)
	XORQ(reg.RDX, reg.RDX)
	DIVQ(channels)
	pixels = GP64()
	MOVQ(reg.RAX, pixels)
	SHLQ(Imm(2), channels)
	return coef, channels, pixels
}

func pointer(param string) reg.GPVirtual {
	r := GP64()
	Load(Param(param).Base(), r)
	return r
}

func normApply() {
	begin("normApply", "func(y, x, residual, coef []float32, floor float32)")
	coef, stride, pixels := coefficients(3)
	floor := s.Broadcast("floor")
	y, x, residual := pointer("y"), pointer("x"), pointer("residual")
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	body := func(at []Mem, coef Mem) {
		scale, beta := coef, coef
		scale.Index, scale.Scale = stride, 1
		beta.Index, beta.Scale = stride, 2
		v := load(at[1])
		VSUBPS(coef, v, v)
		VFMADD213PS(beta, load(scale), v)
		if len(at) > 2 {
			VADDPS(at[2], v, v)
		}
		VMAXPS(v, floor, v) // in this order a NaN stays
		VMOVUPS(v, at[0])
	}
	length := GP64()
	Load(Param("residual").Len(), length)
	TESTQ(length, length)
	JNZ(LabelRef("residual_pixel"))
	rows("plain", []reg.GPVirtual{y, x}, coef, stride, pixels, body)
	rows("residual", []reg.GPVirtual{y, x, residual}, coef, stride, pixels, body)
	Label("done")
	VZEROUPPER()
	RET()
}

func normBackward() {
	const (
		addDX   = 1
		dres    = 2
		addDRes = 4
	)
	begin("normBackward", "func(dx, dres, dy, x, y, coef []float32, floor float32, mode int)")
	coef, stride, pixels := coefficients(4)
	floor := s.Broadcast("floor")
	pointers := []reg.GPVirtual{pointer("dx"), pointer("dy"), pointer("x"), pointer("y"), pointer("dres")}
	third := GP64() // three vectors of coefficients on
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, third)
	mode := GP64()
	Load(Param("mode"), mode)
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	modes := []int{0, addDX, dres, dres | addDX, dres | addDRes, dres | addDRes | addDX}
	for _, m := range modes[1:] {
		CMPQ(mode, Imm(uint64(m)))
		JEQ(LabelRef(fmt.Sprintf("mode%d_pixel", m)))
	}
	for _, m := range modes {
		used := pointers
		if m&dres == 0 {
			used = pointers[:4]
		}
		rows(fmt.Sprintf("mode%d", m), used, coef, stride, pixels, func(at []Mem, coef Mem) {
			a, b, c := coef, coef, coef
			a.Index, a.Scale = stride, 1
			b.Index, b.Scale = stride, 2
			c.Index, c.Scale = third, 1
			g := s.Vector()
			s.LoadWhere(isa.NotLessOrEqual, load(at[3]), floor, at[1], g)
			d := load(at[2])
			VSUBPS(coef, d, d)
			VFMADD213PS(c, load(b), d)
			VFMADD231PS(a, g, d)
			if m&addDX != 0 {
				VADDPS(at[0], d, d)
			}
			VMOVUPS(d, at[0])
			if m&dres != 0 {
				if m&addDRes != 0 {
					VADDPS(at[4], g, g)
				}
				VMOVUPS(g, at[4])
			}
		})
	}
	Label("done")
	VZEROUPPER()
	RET()
}
