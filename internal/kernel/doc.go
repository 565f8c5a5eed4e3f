// Package kernel holds the arithmetic of clpipe on plain float32 slices:
// matrix products and convolutions with their gradients, normalisation,
// pooling, losses and optimiser steps. Each kernel exists as a naive reference
// the tests judge by, as tuned Go, and in assembly for AVX2 and AVX-512.
//
// # Binding
//
// An operation is planned once for a shape (NewConv, NewGemm), then bound once
// to its buffers, which gives phases of independent tasks for a par.Pool.
// Running them allocates nothing and may be repeated. Scratch memory is passed
// in: one buffer, as long as the most demanding operation needs, serves all
// operations that run after one another. Wrong lengths are errors of the
// program and panic at binding, naming both.
//
// The result of an operation depends on its shape and on the instruction set
// only. The order in which its sums are added, and blocks of work that change it,
// are never derived from the number of workers, so any number gives the same
// bits. Different instruction sets may differ in the last bits.
//
// # Layout
//
// Activations are NHWC at a channel stride of PadC(C), the padding channels
// zero, and end in one zero pixel (ActLen). A weight and its gradient are HWIO
// without padding: [KH*KW][C][O]. Vectors of a value per channel have no
// padding. Alloc gives buffers aligned to cache lines.
//
// # Accuracy
//
// Errors of a convolution against float64, relative to the root mean square of
// its result, for normal inputs and 64 to 256 channels (all implementations
// alike, TestConvAgainstReference holds the bounds):
//
//	Direct             mean 1e-7 to 5e-7, largest 6e-6
//	F2                 mean 2e-7 to 4e-7, largest 3e-6
//	Auto, stride 1     mean 7e-7 to 2e-6, largest 5e-5
//	Auto, stride 2     mean 2e-7 to 7e-7, largest 2e-5
//
// # Implementations
//
// One table has a row per instruction set. The fastest one that the machine
// can run is active; CLPIPE_KERNEL=generic|avx2|avx512 in the environment or
// Select chooses another. The build tag noasm leaves only the generic row.
//
// # Names
//
//	gather F32 _ 6x16 _ avx2
//	|      |     |      '- instruction set, or Generic, or Ref
//	|      |     '- tile: rows x columns of the result held in registers,
//	|      |        or f4, f2: the Winograd transform
//	|      '- element
//	'- operation
//
// Files follow the operation: x_ref.go is the reference, x_generic.go tuned Go,
// x_amd64.go the rows of the table for assembly, x_avx2_amd64.s and
// x_avx512_amd64.s the assembly, written by the generator in _gen/x.
package kernel
