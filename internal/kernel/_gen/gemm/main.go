// Command gemm writes the register-tile products gather and outer of package
// kernel, and the copies that bring factors into their order (see gemmKernels
// for what they compute), for one instruction set.
//
//	go run ./gemm -isa avx2 -out gemm_avx2_amd64.s -stubs gemm_avx2_amd64.go -pkg kernel
package main

import (
	"flag"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// panelBytes is a row of a 16-wide float32 panel.
const panelBytes = 64

// A target is an instruction set and the tile that fits its registers: rows
// rows of up to panels panels.
type target struct {
	isa    string
	rows   int
	panels int
	bytes  int // of a vector register
	vector func() reg.VecVirtual
}

var targets = map[string]target{
	// 12 accumulators of 16 registers, two for b, one for a.
	"avx2": {isa: "avx2", rows: 6, panels: 1, bytes: 32, vector: YMM},
	// 16 accumulators of 32; eight row pointers are what the general
	// registers have room for.
	"avx512": {isa: "avx512", rows: 8, panels: 2, bytes: 64, vector: ZMM},
}

func main() {
	isa := flag.String("isa", "avx2", "instruction set: avx2 or avx512")
	flag.Parse()
	t, ok := targets[*isa]
	if !ok {
		panic(fmt.Sprintf("gemm: isa: got %q, want avx2 or avx512", *isa))
	}
	ConstraintExpr("amd64,!noasm")
	t.gather()
	t.outer()
	t.panel()
	if t.isa == "avx2" {
		transpose()
	}
	t.fma()
	Generate()
}

func (t target) symbol(operation string) string {
	return fmt.Sprintf("%sF32_%dx%d_%s", operation, t.rows, t.panels*16, t.isa)
}

// vectorsPer returns the vector registers of a row of a panel.
func (t target) vectorsPer() int { return panelBytes / t.bytes }

// A tile is the accumulators of rows x panels panels, row by row.
type tile [][]reg.VecVirtual

func (t target) newTile(panels int) tile {
	acc := make(tile, t.rows)
	for i := range acc {
		for range panels * t.vectorsPer() {
			acc[i] = append(acc[i], t.vector())
		}
	}
	return acc
}

func (acc tile) clear() {
	for _, row := range acc {
		for _, v := range row {
			VXORPS(v, v, v)
		}
	}
}

// multiply adds the product of a column of a, given by the addresses of its
// rows, and a row of b, given by the addresses of its vectors.
func (t target) multiply(acc tile, a, b []Mem) {
	row := make([]reg.VecVirtual, len(b))
	for v := range b {
		row[v] = t.vector()
		VMOVUPS(b[v], row[v])
	}
	for i := range acc {
		if t.isa == "avx512" && len(b) == 1 {
			VFMADD231PS_BCST(a[i], row[0], acc[i][0])
			continue
		}
		x := t.vector()
		VBROADCASTSS(a[i], x)
		for v := range row {
			VFMADD231PS(x, row[v], acc[i][v])
		}
	}
}

// gather: general registers are assigned by hand, as all fifteen are taken.
func (t target) gather() {
	TEXT(t.symbol("gather"), NOSPLIT, "func(c []float32, cOff []int, a []float32, aOff []int, b []float32, "+
		"panelStride, panels, groups, taps, depth int, accumulate bool)")
	Pragma("noescape")
	if t.panels == 2 {
		panels := reg.RAX
		Load(Param("panels"), panels)
		CMPQ(panels, Imm(1))
		JE(LabelRef("single"))
		t.gatherBody("double", 2)
		Label("single")
	}
	t.gatherBody("single_", 1)
}

func (t target) gatherBody(name string, panels int) {
	// The last register is the second panel's distance, or free.
	general := []reg.GPPhysical{reg.RAX, reg.RCX, reg.RDX, reg.RBX, reg.RSI, reg.RDI,
		reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R14, reg.R15, reg.RBP}
	row, general := general[:t.rows], general[t.rows:]
	b, k, aOff, cOff, groups, taps := general[0], general[1], general[2], general[3], general[4], general[5]
	acc := t.newTile(panels)

	Load(Param("aOff").Base(), aOff)
	Load(Param("cOff").Base(), cOff)
	Load(Param("groups"), groups)
	var distance reg.GPPhysical
	if panels == 2 {
		distance = general[6]
		Load(Param("panelStride"), distance)
		SHLQ(Imm(2), distance)
	}

	Label(name + "group")
	acc.clear()
	// sumsSoFar calls f with the addresses in c and the registers, where accumulate is set.
	sumsSoFar := func(done string, f func(Mem, reg.VecVirtual)) {
		Load(Param("accumulate"), k.As8().(reg.GPPhysical))
		TESTB(k.As8(), k.As8())
		JZ(LabelRef(name + done))
		t.eachRow(acc, row, k, cOff, f)
		Label(name + done)
	}
	// On AVX-512 sums so far are added at the end: there, a group that begins with
	// loads of them, right after the stores of the group before, was slower.
	if t.isa == "avx2" {
		sumsSoFar("start", func(m Mem, v reg.VecVirtual) { VMOVUPS(m, v) })
	}
	// The next group's rows of c are asked for now: of a large matrix they come from
	// the third cache.
	CMPQ(groups, Imm(1))
	JE(LabelRef(name + "last"))
	Load(Param("c").Base(), k)
	for i := range acc {
		MOVQ(Mem{Base: cOff, Disp: 8 * (t.rows + i)}, row[0])
		for line := range panels {
			PREFETCHT0(Mem{Base: k, Index: row[0], Scale: 4, Disp: line * panelBytes})
		}
	}
	Label(name + "last")
	Load(Param("b").Base(), b)
	Load(Param("taps"), taps)

	Label(name + "tap")
	// Row pointers stand at the end of their depth, k counts up to it.
	Load(Param("a").Base(), k)
	Load(Param("depth"), row[0])
	LEAQ(Mem{Base: k, Index: row[0], Scale: 4}, k)
	for i := range row {
		MOVQ(Mem{Base: aOff, Disp: 8 * i}, row[i])
		LEAQ(Mem{Base: k, Index: row[i], Scale: 4}, row[i])
	}
	ADDQ(U32(8*t.rows), aOff)
	Load(Param("depth"), k)
	NEGQ(k)

	const unroll = 4
	step := func(n int) {
		for u := range n {
			var as, bs []Mem
			for i := range row {
				as = append(as, Mem{Base: row[i], Index: k, Scale: 4, Disp: 4 * u})
			}
			for v := range t.vectorsPer() {
				bs = append(bs, Mem{Base: b, Disp: u*panelBytes + v*t.bytes})
			}
			if panels == 2 {
				bs = append(bs, Mem{Base: b, Index: distance, Scale: 1, Disp: u * panelBytes})
			}
			t.multiply(acc, as, bs)
		}
		ADDQ(U32(n*panelBytes), b)
		ADDQ(U32(n), k)
	}
	CMPQ(k, I8(-unroll))
	JG(LabelRef(name + "rest"))
	Label(name + "four")
	step(unroll)
	CMPQ(k, I8(-unroll))
	JLE(LabelRef(name + "four"))
	Label(name + "rest")
	TESTQ(k, k)
	JZ(LabelRef(name + "next"))
	Label(name + "one")
	step(1)
	JNZ(LabelRef(name + "one"))
	Label(name + "next")
	DECQ(taps)
	JNZ(LabelRef(name + "tap"))

	if t.isa == "avx512" {
		sumsSoFar("store", func(m Mem, v reg.VecVirtual) { VADDPS(m, v, v) })
	}
	t.eachRow(acc, row, k, cOff, func(m Mem, v reg.VecVirtual) { VMOVUPS(v, m) })
	ADDQ(U32(8*t.rows), cOff)
	DECQ(groups)
	JNZ(LabelRef(name + "group"))
	VZEROUPPER()
	RET()
}

// eachRow calls f with the address in c and the register of every vector.
func (t target) eachRow(acc tile, row []reg.GPPhysical, base, cOff reg.GPPhysical, f func(Mem, reg.VecVirtual)) {
	Load(Param("c").Base(), base)
	for i := range acc {
		MOVQ(Mem{Base: cOff, Disp: 8 * i}, row[i])
		for v, x := range acc[i] {
			f(Mem{Base: base, Index: row[i], Scale: 4, Disp: v * t.bytes}, x)
		}
	}
}

func (t target) outer() {
	TEXT(t.symbol("outer"), NOSPLIT, "func(c []float32, cStride int, a []float32, aStride int, b []float32, bStride, "+
		"panels, groups, depth int, accumulate bool)")
	Pragma("noescape")
	if t.panels == 2 {
		panels := Load(Param("panels"), GP64())
		CMPQ(panels, Imm(1))
		JE(LabelRef("single"))
		t.outerBody("double", 2)
		Label("single")
	}
	t.outerBody("single_", 1)
}

func (t target) outerBody(name string, panels int) {
	load := func(p gotypes.Component, scale uint64) reg.Register {
		r := Load(p, GP64())
		if scale > 1 {
			SHLQ(Imm(2), r)
		}
		return r
	}
	c, cStride := load(Param("c").Base(), 1), load(Param("cStride"), 4)
	a0, aStride := load(Param("a").Base(), 1), load(Param("aStride"), 4)
	bStride := load(Param("bStride"), 4)
	groups := load(Param("groups"), 1)
	accumulate := Load(Param("accumulate"), GP8())
	acc := t.newTile(panels)

	Label(name + "group")
	acc.clear()
	a := GP64()
	MOVQ(a0, a)
	b := load(Param("b").Base(), 1)
	k := load(Param("depth"), 1)
	Label(name + "step")
	var as, bs []Mem
	for i := range t.rows {
		as = append(as, Mem{Base: a, Disp: 4 * i})
	}
	for v := range panels * t.vectorsPer() {
		bs = append(bs, Mem{Base: b, Disp: v * t.bytes})
	}
	t.multiply(acc, as, bs)
	ADDQ(aStride, a)
	ADDQ(bStride, b)
	DECQ(k)
	JNZ(LabelRef(name + "step"))

	// The addresses of a tile's rows in c, for the sums and for the stores.
	eachVector := func(f func(Mem, reg.VecVirtual)) {
		row := GP64()
		MOVQ(c, row)
		for _, vectors := range acc {
			for v, x := range vectors {
				f(Mem{Base: row, Disp: v * t.bytes}, x)
			}
			ADDQ(cStride, row)
		}
	}
	TESTB(accumulate, accumulate)
	JZ(LabelRef(name + "store"))
	eachVector(func(m Mem, x reg.VecVirtual) { VADDPS(m, x, x) })
	Label(name + "store")
	eachVector(func(m Mem, x reg.VecVirtual) { VMOVUPS(x, m) })
	for range acc {
		ADDQ(cStride, c)
	}
	ADDQ(U32(4*t.rows), a0)
	DECQ(groups)
	JNZ(LabelRef(name + "group"))
	VZEROUPPER()
	RET()
}

// panel copies rows of 16 floats to a panel, two a turn.
func (t target) panel() {
	TEXT("panelF32_16_"+t.isa, NOSPLIT, "func(dst, src []float32, stride, rows int)")
	Pragma("noescape")
	dst, src := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	stride, rows := Load(Param("stride"), GP64()), Load(Param("rows"), GP64())
	SHLQ(Imm(2), stride)
	step := func(n int) {
		for i := range n {
			row := Mem{Base: src}
			if i > 0 {
				row = Mem{Base: src, Index: stride, Scale: 1}
			}
			var v []reg.VecVirtual
			for j := range t.vectorsPer() {
				v = append(v, t.vector())
				VMOVUPS(row.Offset(j*t.bytes), v[j])
			}
			for j := range v {
				VMOVUPS(v[j], Mem{Base: dst, Disp: i*panelBytes + j*t.bytes})
			}
		}
		LEAQ(Mem{Base: src, Index: stride, Scale: uint8(n)}, src)
		ADDQ(U32(n*panelBytes), dst)
	}
	Label("pair")
	SUBQ(Imm(2), rows)
	JL(LabelRef("last"))
	step(2)
	JMP(LabelRef("pair"))
	Label("last")
	ADDQ(Imm(2), rows)
	JZ(LabelRef("done"))
	step(1)
	Label("done")
	VZEROUPPER()
	RET()
}

// transpose turns blocks of 8x8. The halves of a vector are loaded from rows
// four apart, which saves the shuffles across them; as shuffles bound it, wider
// vectors would gain nothing.
func transpose() {
	TEXT("transposeF32_8x8_avx2", NOSPLIT, "func(dst []float32, dStride int, src []float32, sStride int, rows, cols int)")
	Pragma("noescape")
	dst0, src0 := Load(Param("dst").Base(), GP64()), Load(Param("src").Base(), GP64())
	dStride, sStride := Load(Param("dStride"), GP64()), Load(Param("sStride"), GP64())
	rows, cols := Load(Param("rows"), GP64()), GP64()
	SHLQ(Imm(2), dStride)
	SHLQ(Imm(2), sStride)
	times3 := func(stride reg.Register) reg.GPVirtual {
		r := GP64()
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, r)
		return r
	}
	dStride3, sStride3 := times3(dStride), times3(sStride)

	Label("rows")
	dst, src := GP64(), GP64()
	MOVQ(dst0, dst)
	MOVQ(src0, src)
	Load(Param("cols"), cols)
	Label("block")
	// Each is rows i and i+4 of a half of the block's columns.
	var v [2][4]reg.VecVirtual
	below := GP64()
	LEAQ(Mem{Base: src, Index: sStride, Scale: 4}, below)
	row := func(base, stride, stride3 reg.Register, i int) Mem {
		switch i {
		case 0:
			return Mem{Base: base}
		case 3:
			return Mem{Base: base, Index: stride3, Scale: 1}
		}
		return Mem{Base: base, Index: stride, Scale: uint8(i)}
	}
	for half := range v {
		for i := range v[half] {
			v[half][i] = YMM()
			VMOVUPS(row(src, sStride, sStride3, i).Offset(16*half), v[half][i].AsX())
			VINSERTF128(Imm(1), row(below, sStride, sStride3, i).Offset(16*half), v[half][i], v[half][i])
		}
	}
	for half := range v {
		a, b, c, d := v[half][0], v[half][1], v[half][2], v[half][3]
		ab, cd, out := [2]reg.VecVirtual{YMM(), YMM()}, [2]reg.VecVirtual{YMM(), YMM()}, YMM()
		VUNPCKLPS(b, a, ab[0])
		VUNPCKHPS(b, a, ab[1])
		VUNPCKLPS(d, c, cd[0])
		VUNPCKHPS(d, c, cd[1])
		for i := range 4 {
			pick := []int{0x44, 0xee}[i%2]
			VSHUFPS(U8(pick), cd[i/2], ab[i/2], out)
			VMOVUPS(out, row(dst, dStride, dStride3, i))
		}
		LEAQ(Mem{Base: dst, Index: dStride, Scale: 4}, dst)
	}
	ADDQ(Imm(32), src)
	SUBQ(Imm(8), cols)
	JNZ(LabelRef("block"))
	LEAQ(Mem{Base: src0, Index: sStride, Scale: 8}, src0)
	ADDQ(Imm(32), dst0)
	SUBQ(Imm(8), rows)
	JNZ(LabelRef("rows"))
	VZEROUPPER()
	RET()
}

// fma fills the multiply-add units from registers: as many independent
// accumulators as the tile has.
func (t target) fma() {
	TEXT("fmaLoopF32_"+t.isa, NOSPLIT, "func(n int)")
	n := Load(Param("n"), GP64())
	acc := t.newTile(t.panels)
	acc.clear()
	x := t.vector()
	VXORPS(x, x, x)
	Label("round")
	for _, row := range acc {
		for _, v := range row {
			VFMADD231PS(x, x, v)
		}
	}
	DECQ(n)
	JG(LabelRef("round"))
	VZEROUPPER()
	RET()
}
