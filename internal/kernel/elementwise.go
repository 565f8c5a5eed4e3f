package kernel

import (
	"fmt"

	"clpipe/internal/par"
)

// Add adds x to y, both of the same length: y += x. It joins gradients.
func Add(y, x []float32) []par.Phase {
	n := len(y)
	checkLen("add", n, "x", len(x), n)
	k := active.vector.add
	return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
		lo, hi := vectorSpan(t, n)
		k(y[lo:hi], x[lo:hi])
	}}}
}

// ReLU sets y = max(x,0), both of the same length; y may be x.
func ReLU(y, x []float32) []par.Phase {
	n := len(y)
	checkLen("relu", n, "x", len(x), n)
	k := active.vector.relu
	return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
		lo, hi := vectorSpan(t, n)
		k(y[lo:hi], x[lo:hi])
	}}}
}

// ReLUBackward sets dx to dy where y > 0 and to 0 elsewhere, for y = ReLU(x)
// of the same length; dx may be dy.
func ReLUBackward(dx, dy, y []float32) []par.Phase {
	n := len(dx)
	checkLen("relu backward", n, "dy", len(dy), n)
	checkLen("relu backward", n, "y", len(y), n)
	k := active.vector.reluBackward
	return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
		lo, hi := vectorSpan(t, n)
		k(dx[lo:hi], dy[lo:hi], y[lo:hi])
	}}}
}

// Triad sets a = b + factor·c on the calling goroutine, all of the length of
// a: timed over arrays larger than the caches, it gives the memory bandwidth
// that kernels are measured against (the STREAM triad). It moves 12 bytes an
// element, 16 where stores read the line first.
func Triad(a, b, c []float32, factor float32) {
	if len(b) < len(a) || len(c) < len(a) {
		panic(fmt.Sprintf("kernel: triad: b, c: got %d and %d elements, want %d", len(b), len(c), len(a)))
	}
	k := active.vector.triad
	for lo := 0; lo < len(a); lo += vectorChunk { // in pieces: assembly holds off the scheduler
		hi := min(lo+vectorChunk, len(a))
		k(a[lo:hi], b[lo:hi], c[lo:hi], factor)
	}
}
