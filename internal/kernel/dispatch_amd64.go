//go:build amd64 && !noasm

package kernel

import "golang.org/x/sys/cpu"

// nativeRows returns the assembly rows this processor and its operating system
// support, the slowest first.
func nativeRows() []implementation {
	var rows []implementation
	if hasAVX2 {
		rows = append(rows, implementation{
			name:    "avx2",
			gemm:    gemmAVX2,
			f4:      winogradF4AVX2,
			f2:      winogradF2AVX2,
			columns: columnsGeneric,
			vector:  vectorGeneric,
			expSum:  expSumF32Generic,
		})
	}
	if hasAVX512 {
		rows = append(rows, implementation{
			name:    "avx512",
			gemm:    gemmAVX512,
			f4:      winogradF4AVX512,
			f2:      winogradF2AVX512,
			columns: columnsGeneric,
			vector:  vectorGeneric,
			expSum:  expSumF32Generic,
		})
	}
	return rows
}

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ
)
