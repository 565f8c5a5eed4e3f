// Command gen writes the AVX2 or AVX-512 kernels of package augment. They compute the same
// bytes as the Go kernels there for every input: in integers, or in float32 with
// the same operations in the same order, none of them fused.
//
//	go run . -isa avx2 -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go -pkg augment
//
// With AVX-512 there are only those that gain by it.
package main

import (
	"flag"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	flag.StringVar(&isa.name, "isa", "avx2", "avx2 or avx512")
	flag.Parse()
	isa.lanes = map[string]int{"avx2": 2, "avx512": 4}[isa.name]
	ConstraintExpr("amd64,!noasm")
	resampleRows()
	mixRows()
	blendLevel()
	saturate()
	grey()
	sumLuma()
	turnHue()
	box("boxOne", 0)
	box("boxThree", 1)
	if !wide() {
		invertFrom()
		mirror()
		convolveRow()
		convolveColumns()
	}
	Generate()
}

// begin opens a kernel.
func begin(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Doc(strings.Split(name+" "+doc, "\n")...)
	Pragma("noescape")
}

// end closes it.
func end() {
	VZEROUPPER()
	RET()
}

// loop runs body for every so many items of n and moves pointers on by bytes.
func loop(n reg.Register, items, bytes int, pointers []reg.Register, body func()) {
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(U8(bytes), p)
	}
	SUBQ(U8(items), n)
	JG(LabelRef("loop"))
}

// arg loads a parameter.
func arg(name string) reg.Register { return Load(Param(name), GP64()) }

// broadcast is a parameter of type uint32 in all places of a vector.
func broadcast(name string) reg.VecVirtual {
	x, v := XMM(), vec()
	VMOVD(Load(Param(name), GP32()), x)
	VPBROADCASTD(x, v)
	return v
}

// broadcastFloat is broadcast for a float32.
func broadcastFloat(name string) reg.VecVirtual {
	v := vec()
	VBROADCASTSS(Load(Param(name), XMM()), v)
	return v
}

// dwords is a vector of one 32-bit constant.
func dwords(name string, v int32) Mem {
	return constant(name, func() {
		for i := range 4 * isa.lanes {
			DATA(4*i, U32(v))
		}
	})
}

// places is a shuffle within the 128-bit lanes: byte i of a lane comes from
// byte from(lane, i), or is zero where that is negative.
func places(name string, from func(lane, i int) int) Mem {
	return constant(name, func() {
		for i := range width() {
			source := U8(0x80)
			if at := from(i/16, i%16); at >= 0 {
				source = U8(at)
			}
			DATA(i, source)
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
