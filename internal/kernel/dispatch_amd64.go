//go:build amd64 && !noasm

package kernel

import "golang.org/x/sys/cpu"

// nativeRows returns the assembly rows this processor and its operating system
// support, the slowest first.
func nativeRows() []implementation {
	var rows []implementation
	if hasAVX2 {
		rows = append(rows, implementation{
			name:     "avx2",
			gemm:     gemmAVX2,
			winograd: winogradAVX2,
			columns:  columnsAVX2,
			rows:     rowsAVX2,
			vector:   vectorAVX2,
			pool:     poolAVX2,
			expSum:   expSumF32_avx2,
		})
	}
	if hasAVX512 {
		rows = append(rows, implementation{
			name:     "avx512",
			gemm:     gemmAVX512,
			winograd: winogradAVX512,
			columns:  columnsAVX512,
			rows:     rowsAVX512,
			vector:   vectorAVX512,
			pool:     poolAVX512,
			expSum:   expSumF32_avx512,
		})
	}
	return rows
}

var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ
)
