package main

import (
	"testing"

	"clpipe/contrast"
)

func TestTotalAddsOccurrences(t *testing.T) {
	whole := total([]timing{
		{work: 6, flops: 10, count: 2, seconds: []float64{1, 2}},
		{work: 3, flops: 1, count: 1, seconds: []float64{4, 1}},
		{work: 100, flops: 100, seconds: []float64{100, 100}}, // part of another's time
	})
	if whole.work != 15 || whole.flops != 21 || whole.seconds[0] != 6 || whole.seconds[1] != 5 {
		t.Errorf("work %g, flops %g, seconds %v, want 15, 21, [6 5]", whole.work, whole.flops, whole.seconds)
	}
	if rates := whole.rates(); median(rates) != 2.75 {
		t.Errorf("rates %v with median %g, want 2.75", rates, median(rates))
	}
}

// ResNet-18 has 20 convolutions: the stem, 16 in its blocks and 3 shortcuts.
func TestConvLayersAreTheNetworks(t *testing.T) {
	cfg, err := contrast.Recipe("moco-cifar", 32, contrast.Small)
	if err != nil {
		t.Fatal(err)
	}
	layers := convLayers(cfg.Graph(), 128)
	count := 0
	for i, l := range layers {
		count += l.count
		if l.pixel != (i == 0) {
			t.Errorf("layer %d, %+v: reads pixels is %v", i, l.shape, l.pixel)
		}
	}
	if count != 20 || len(layers) != 11 {
		t.Errorf("%d convolutions of %d shapes, want 20 of 11", count, len(layers))
	}
	if s := layers[1]; s.count != 4 || s.shape.N != 128 || s.shape.H != 32 || s.shape.C != 64 || s.shape.O != 64 || s.shape.Stride != 1 {
		t.Errorf("the second layer is %+v, want the four of 64 channels at 32x32", s)
	}
}

func TestSignificantDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.001234: "0.00123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 45678: "45678"} {
		if got := significant(v); got != want {
			t.Errorf("%g is printed as %s, want %s", v, got, want)
		}
	}
}
