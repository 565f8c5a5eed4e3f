package kernel

import (
	"fmt"
	"testing"

	"clpipe/internal/par"
)

// resnet18CIFAR are the convolutions of ResNet-18 with the CIFAR stem at
// 32x32, and how often each occurs.
var resnet18CIFAR = []struct {
	name  string
	count int
	shape ConvShape
}{
	{"stem", 1, ConvShape{H: 32, W: 32, C: 3, O: 64, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"3x3s1c64", 4, ConvShape{H: 32, W: 32, C: 64, O: 64, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"3x3s1c128", 3, ConvShape{H: 16, W: 16, C: 128, O: 128, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"3x3s1c256", 3, ConvShape{H: 8, W: 8, C: 256, O: 256, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"3x3s1c512", 3, ConvShape{H: 4, W: 4, C: 512, O: 512, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"3x3s2c64", 1, ConvShape{H: 32, W: 32, C: 64, O: 128, KH: 3, KW: 3, Stride: 2, Pad: 1}},
	{"3x3s2c128", 1, ConvShape{H: 16, W: 16, C: 128, O: 256, KH: 3, KW: 3, Stride: 2, Pad: 1}},
	{"3x3s2c256", 1, ConvShape{H: 8, W: 8, C: 256, O: 512, KH: 3, KW: 3, Stride: 2, Pad: 1}},
	{"1x1s2c64", 1, ConvShape{H: 32, W: 32, C: 64, O: 128, KH: 1, KW: 1, Stride: 2, Pad: 0}},
	{"1x1s2c128", 1, ConvShape{H: 16, W: 16, C: 128, O: 256, KH: 1, KW: 1, Stride: 2, Pad: 0}},
	{"1x1s2c256", 1, ConvShape{H: 8, W: 8, C: 256, O: 512, KH: 1, KW: 1, Stride: 2, Pad: 0}},
}

// BenchmarkConv measures the passes of ResNet-18's convolutions at batch 128.
// GFLOP/s counts the products of the definition, whatever the algorithm.
func BenchmarkConv(b *testing.B) {
	pool := par.NewPool(0)
	defer pool.Close()
	for _, layer := range resnet18CIFAR {
		s := layer.shape
		s.N = 128
		for _, alg := range []Algorithm{Direct, Auto} {
			for _, impl := range Variants() {
				benchmarkConv(b, pool, layer.name, s, alg, impl)
			}
		}
	}
}

func benchmarkConv(b *testing.B, pool *par.Pool, name string, s ConvShape, alg Algorithm, impl string) {
	was := Selected()
	if err := Select(impl); err != nil {
		b.Fatal(err)
	}
	defer Select(was)
	conv := NewConv(s, alg, pool.Workers())
	in, out := ActLen(s.N, s.H, s.W, s.C), ActLen(s.N, s.outH(), s.outW(), s.O)
	x, dx, y, dy := Alloc(in), Alloc(in), Alloc(out), Alloc(out)
	fill(x[:in-PadC(s.C)], 1)
	fill(dy[:out-PadC(s.O)], 1)
	w := Alloc(s.KH * s.KW * s.C * s.O)
	fill(w, 1)
	dw := Alloc(len(w))
	fl, bl := conv.PackedLen()
	fs, ds, ws := conv.ScratchLen()
	forward, backward, scratch := Alloc(fl), Alloc(bl), Alloc(max(fs, ds, ws))
	for _, pass := range []struct {
		name   string
		phases []par.Phase
	}{
		{"pack", append(conv.PackForward(forward, w), conv.PackBackward(backward, w)...)},
		{"forward", conv.Forward(y, x, forward, scratch)},
		{"data", conv.BackwardData(dx, dy, backward, scratch, false)},
		{"weight", conv.BackwardWeight(dw, x, dy, scratch)},
	} {
		b.Run(fmt.Sprintf("layer=%s/alg=%d/impl=%s/pass=%s", name, alg, impl, pass.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				runPhases(pool, pass.phases)
			}
			if pass.name != "pack" {
				b.ReportMetric(float64(conv.Flops())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			}
		})
	}
}

// BenchmarkPeak measures what the multiply-add units of one processor give.
func BenchmarkPeak(b *testing.B) {
	was := Selected()
	defer Select(was)
	for _, impl := range Variants() {
		if err := Select(impl); err != nil {
			b.Fatal(err)
		}
		b.Run("impl="+impl, func(b *testing.B) {
			var flops int64
			for b.Loop() {
				flops += FMALoop(100_000)
			}
			b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
