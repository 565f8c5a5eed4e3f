package kernel

import (
	"fmt"
	"testing"

	"clpipe/internal/par"
)

// benchPhases times phases on all processors; bytes and flops are those of one
// run, 0 for not reported.
func benchPhases(b *testing.B, phases []par.Phase, bytes, flops int) {
	pool := par.NewPool(0)
	defer pool.Close()
	runPhases(pool, phases)
	b.ReportAllocs()
	for b.Loop() {
		runPhases(pool, phases)
	}
	seconds := b.Elapsed().Seconds() / float64(b.N)
	if bytes > 0 {
		b.ReportMetric(float64(bytes)/seconds/1e9, "GB/s")
	}
	if flops > 0 {
		b.ReportMetric(float64(flops)/seconds/1e9, "GFLOP/s")
	}
}

// eachVariantBench runs f once for every implementation of this machine.
func eachVariantBench(b *testing.B, f func(b *testing.B)) {
	was := Selected()
	for _, name := range Variants() {
		b.Run("impl="+name, func(b *testing.B) {
			if err := Select(name); err != nil {
				b.Fatal(err)
			}
			f(b)
		})
	}
	if err := Select(was); err != nil {
		b.Fatal(err)
	}
}

// Bytes count what has to be read or written once; the backward pass reads
// dy, x and y twice.
func BenchmarkBatchNorm(b *testing.B) {
	for _, s := range []BatchNormShape{
		{128, 1024, 64, 1}, {128, 1024, 64, 8}, {128, 256, 128, 1}, {128, 16, 512, 1}, {128, 16, 512, 8}, {256, 1, 2048, 1},
	} {
		act := ActLen(1, s.N, s.HW, s.C)
		a := BatchNormArgs{
			Y: Alloc(act), X: Alloc(act), Residual: Alloc(act), ReLU: true,
			Gamma: ones(s.C), Beta: Alloc(s.C), RunningMean: Alloc(s.C), RunningVar: ones(s.C),
			Saved: Alloc(s.SavedLen()), Eps: 1e-5, Momentum: 0.1,
		}
		if s.Groups > 1 {
			a.Group = make([]int32, s.N)
			for i := range a.Group {
				a.Group[i] = int32(i % s.Groups)
			}
		}
		for i := range a.X {
			a.X[i] = float32(i % 17)
		}
		dy := Alloc(act)
		scratch := Alloc(s.ScratchLen())
		grads := BatchNormGrads{DY: dy, DX: dy, DGamma: Alloc(s.C), DBeta: Alloc(s.C)}
		for _, pass := range []struct {
			name   string
			bytes  int
			phases func() []par.Phase
		}{
			{"forward", 4 * act * 4, func() []par.Phase { return s.Forward(a, scratch) }},
			{"backward", 7 * act * 4, func() []par.Phase { return s.Backward(grads, a, scratch) }},
		} {
			b.Run(fmt.Sprintf("pass=%s/shape=%dx%dx%d,groups=%d", pass.name, s.N, s.HW, s.C, s.Groups), func(b *testing.B) {
				eachVariantBench(b, func(b *testing.B) { benchPhases(b, pass.phases(), pass.bytes, 0) })
			})
		}
	}
}

// Beside batch normalisation at the same shape.
func BenchmarkGroupNorm(b *testing.B) {
	const n, hw, c = 128, 256, 128
	act := ActLen(1, n, hw, c)
	x, y, dy, gamma, beta := Alloc(act), Alloc(act), Alloc(act), ones(c), Alloc(c)
	for i := range x {
		x[i] = float32(i % 17)
	}
	group, layer := GroupNormShape{n, hw, c, 32}, LayerNormShape{n * hw, c}
	groupArgs := GroupNormArgs{Y: y, X: x, Gamma: gamma, Beta: beta, Saved: Alloc(group.SavedLen()), Eps: 1e-5}
	layerArgs := LayerNormArgs{Y: y, X: x, Gamma: gamma, Beta: beta, Eps: 1e-5}
	scratch := Alloc(max(group.ScratchLen(), layer.ScratchLen()))
	for _, op := range []struct {
		name   string
		arrays int
		phases func() []par.Phase
	}{
		{"norm=group32,pass=forward", 3, func() []par.Phase { return group.Forward(groupArgs, scratch) }},
		{"norm=group32,pass=backward", 5, func() []par.Phase {
			return group.Backward(GroupNormGrads{DY: dy, DX: dy, DGamma: Alloc(c), DBeta: Alloc(c)}, groupArgs, scratch)
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			eachVariantBench(b, func(b *testing.B) { benchPhases(b, op.phases(), op.arrays*act*4, 0) })
		})
	}
	// Layer normalisation is the same Go in every row of the table.
	b.Run("norm=layer,pass=forward", func(b *testing.B) { benchPhases(b, layer.Forward(layerArgs), 3*act*4, 0) })
	b.Run("norm=layer,pass=backward", func(b *testing.B) {
		benchPhases(b, layer.Backward(LayerNormGrads{DY: dy, DX: dy, DGamma: Alloc(c), DBeta: Alloc(c)}, layerArgs, scratch), 3*act*4, 0)
	})
}

func BenchmarkSweep(b *testing.B) {
	const n = 11 << 20 // a ResNet-18
	x, y, z, v := Alloc(n), Alloc(n), Alloc(n), Alloc(n)
	momentum := float32(0.99)
	for _, op := range []struct {
		name   string
		arrays int
		phases func() []par.Phase
	}{
		{"add", 3, func() []par.Phase { return Add(x, y) }},
		{"ema", 3, func() []par.Phase { return EMA(x, y, &momentum) }},
		{"sgd", 5, func() []par.Phase { return SGD(x, y, z, &SGDArgs{LR: 0.1, Momentum: 0.9, WeightDecay: 1e-4}) }},
		{"adam", 7, func() []par.Phase {
			return Adam(x, y, z, v, &AdamArgs{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 1})
		}},
		{"lars", 7, func() []par.Phase {
			return LARS(x, y, z, []LARSTensor{{0, n, true}}, &LARSArgs{LR: 0.1, Momentum: 0.9, WeightDecay: 1e-4, Trust: 1e-3})
		}},
		{"triad", 3, func() []par.Phase {
			return []par.Phase{{Tasks: vectorChunks(n), Run: func(_, t int) {
				lo, hi := vectorSpan(t, n)
				Triad(x[lo:hi], y[lo:hi], z[lo:hi], 3)
			}}}
		}},
	} {
		b.Run("op="+op.name, func(b *testing.B) {
			eachVariantBench(b, func(b *testing.B) { benchPhases(b, op.phases(), op.arrays*n*4, 0) })
		})
	}
}

func BenchmarkMaxPool(b *testing.B) {
	s := MaxPoolShape{N: 16, H: 112, W: 112, C: 64, Kernel: 3, Stride: 2, Pad: 1}
	x, y := Alloc(ActLen(s.N, s.H, s.W, s.C)), Alloc(ActLen(s.N, s.OutH(), s.OutW(), s.C))
	for i := range x {
		x[i] = float32(i * 7919 % 1013)
	}
	arg := make([]uint8, len(y))
	eachVariantBench(b, func(b *testing.B) {
		b.Run("pass=forward", func(b *testing.B) { benchPhases(b, s.Forward(y, x, arg), 4*(len(x)+len(y)), 0) })
		b.Run("pass=backward", func(b *testing.B) { benchPhases(b, s.Backward(x, y, arg, false), 4*(len(x)+len(y)), 0) })
	})
}

// The shapes are those of Deep InfoMax's encoders for the scores at width 0.25
// and 1. Bytes count what has to be read or written once.
func BenchmarkLayerNorm(b *testing.B) {
	for _, s := range []LayerNormShape{{4096, 1024}, {4096, 2048}, {1024, 32}} {
		act := s.Rows * PadC(s.C)
		a := LayerNormArgs{Y: Alloc(act), X: Alloc(act), Gamma: ones(s.C), Beta: Alloc(s.C), Eps: 1e-5}
		d := LayerNormGrads{DY: Alloc(act), DX: Alloc(act), DGamma: Alloc(s.C), DBeta: Alloc(s.C)}
		b.Run(fmt.Sprintf("rows=%d,c=%d", s.Rows, s.C), func(b *testing.B) {
			eachVariantBench(b, func(b *testing.B) {
				b.Run("pass=forward", func(b *testing.B) { benchPhases(b, s.Forward(a), 8*act, 0) })
				b.Run("pass=backward", func(b *testing.B) { benchPhases(b, s.Backward(d, a, Alloc(s.ScratchLen())), 12*act, 0) })
			})
		})
	}
}
