package encoder_test

import (
	"strings"
	"testing"

	"clpipe/batch"
	"clpipe/encoder"
)

func TestInferredNetworkTakesTheTensors(t *testing.T) {
	for _, depth := range []int{18, 50} {
		for _, cifar := range []bool{false, true} {
			for _, width := range []float64{0.001, 0.02, 0.07, 0.25, 0.3} {
				for _, head := range []encoder.Head{{Kind: encoder.NoHead}, {Kind: encoder.LinearHead, Dim: 9}, {Kind: encoder.MLPHead, Hidden: 5, Dim: 9}, {Kind: encoder.SimCLRHead, Hidden: 5, Dim: 9}, {Kind: encoder.MoCoV3Head, Hidden: 5, Dim: 9}} {
					config := encoder.ResNetConfig{Depth: depth, CIFAR: cifar, Size: 32, Width: width}
					g := encoder.ResNet(config)
					g.AddHead(head)
					state := encoder.ZeroParams(g).State()
					in, err := encoder.Infer(state)
					if err != nil {
						t.Fatalf("%+v: %v", config, err)
					}
					if in.Depth != depth || in.CIFAR != cifar || in.Head != head.Kind || in.Dim != head.Dim || in.Hidden != head.Hidden {
						t.Errorf("%+v, %+v: inferred %+v", config, head, in)
					}
					config.Width = in.Width
					g = encoder.ResNet(config)
					g.AddHead(encoder.Head{Kind: in.Head, Hidden: in.Hidden, Dim: in.Dim})
					if err := encoder.ZeroParams(g).Load(state); err != nil {
						t.Errorf("%+v: inferred width %v: %v", config, in.Width, err)
					}
				}
			}
		}
	}
	if in, err := encoder.Infer(encoder.ZeroParams(full(18, 0, true)).State()); err != nil || in.Width != 1 || in.Name() != "resnet18-cifar" {
		t.Errorf("inferred %+v, %v, want resnet18-cifar of width 1", in, err)
	}
}

func TestInferRefusesOtherTensors(t *testing.T) {
	state := encoder.ZeroParams(full(18, 0, true)).State()
	without := batch.State{}
	without.Add("", state)
	delete(without.Tensors, "layer3.0.conv1.weight")
	mixed := batch.State{}
	mixed.Add("", state)
	mixed.Tensors["layer2.0.conv1.weight"] = batch.NewTensor(make([]float32, 130*64*9), 130, 64, 3, 3)
	for _, c := range []struct {
		state batch.State
		want  string
	}{{batch.State{}, "conv1.weight is missing"}, {without, "layer3.0.conv1.weight is missing"}, {mixed, "one width"}} {
		if _, err := encoder.Infer(c.state); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one that says %q", err, c.want)
		}
	}
}
