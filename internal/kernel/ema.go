package kernel

import "clpipe/internal/par"

// EMA moves the key parameters k towards the query parameters q, both of one
// length: k = m·k + (1-m)·q (He et al. 2020, equation 2). *momentum is read at
// every run.
func EMA(k, q []float32, momentum *float32) []par.Phase {
	n := len(k)
	checkLen("ema", n, "q", len(q), n)
	ema := active.vector.ema
	return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
		lo, hi := vectorSpan(t, n)
		ema(k[lo:hi], q[lo:hi], *momentum, 1-*momentum)
	}}}
}
