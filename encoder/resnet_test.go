package encoder_test

import (
	"strings"
	"testing"

	"clpipe/encoder"
)

func TestParseResNet(t *testing.T) {
	for name, want := range map[string]encoder.ResNetConfig{
		"resnet18":       {Depth: 18},
		"resnet50":       {Depth: 50},
		"resnet18-cifar": {Depth: 18, CIFAR: true},
		"resnet50-cifar": {Depth: 50, CIFAR: true},
	} {
		if got, err := encoder.ParseResNet(name); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "resnet", "resnet34", "resnet018", "resnet+18", "18", "resnet18-cifar-cifar", "ResNet18"} {
		if _, err := encoder.ParseResNet(name); err == nil || !strings.Contains(err.Error(), "resnet50-cifar") {
			t.Errorf("%q: got error %v, want one that lists the known names", name, err)
		}
	}
}

func TestParseNamesListWhatIsKnown(t *testing.T) {
	for _, name := range []string{"linear", "mlp", "none"} {
		if got, err := encoder.ParseHead(name); err != nil || string(got) != name {
			t.Errorf("head %s: got %q, %v", name, got, err)
		}
	}
	if _, err := encoder.ParseHead("bilinear"); err == nil || !strings.Contains(err.Error(), "linear, mlp, mlp-bn or none") {
		t.Errorf("head bilinear: got error %v", err)
	}
	for _, name := range []string{"cosine", "step", "constant"} {
		if got, err := encoder.ParseSchedule(name); err != nil || string(got) != name {
			t.Errorf("schedule %s: got %q, %v", name, got, err)
		}
	}
	if _, err := encoder.ParseSchedule("linear"); err == nil || !strings.Contains(err.Error(), "cosine, step or constant") {
		t.Errorf("schedule linear: got error %v", err)
	}
}

func TestOutputsOfResNet(t *testing.T) {
	for _, c := range []struct {
		config   encoder.ResNetConfig
		head     encoder.Head
		features int
		dim      int
	}{
		{encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 1}, encoder.Head{Kind: encoder.LinearHead, Dim: 128}, 512, 128},
		{encoder.ResNetConfig{Depth: 50, Size: 224, Width: 1}, encoder.Head{Kind: encoder.MLPHead, Dim: 128}, 2048, 128},
		{encoder.ResNetConfig{Depth: 18, CIFAR: true, Size: 32, Width: 0.3}, encoder.Head{Kind: encoder.NoHead}, 154, 154},
		{encoder.ResNetConfig{Depth: 50, CIFAR: true, Size: 5, Width: 0.001}, encoder.Head{Kind: encoder.MLPHead, Hidden: 7, Dim: 3}, 2, 3},
	} {
		g := encoder.ResNet(c.config)
		g.AddHead(c.head)
		for name, want := range map[string]int{"features": c.features, "projection": c.dim, "embedding": c.dim} {
			v, ok := g.Find(name)
			if got := g.Shape(v); !ok || got != (encoder.Shape{Per: 1, H: 1, W: 1, C: want}) {
				t.Errorf("%+v: output %s is %v, want %d channels", c.config, name, got, want)
			}
		}
	}
}
