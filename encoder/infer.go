package encoder

import (
	"fmt"
	"math"

	"clpipe/batch"
)

// Inferred is what a set of tensors under torchvision's names says about the
// network it belongs to.
type Inferred struct {
	Depth  int
	CIFAR  bool
	Width  float64
	Head   HeadKind // NoHead if the tensors hold none
	Hidden int      // of an MLP head
	Dim    int      // of the head's output; 0 without a head
}

// Name returns the encoder's name, as ParseResNet reads it.
func (i Inferred) Name() string {
	name := fmt.Sprintf("resnet%d", i.Depth)
	if i.CIFAR {
		name += "-cifar"
	}
	return name
}

// Infer reads the network off the names and shapes of its tensors.
func Infer(s batch.State) (Inferred, error) {
	dim := func(name string, axis int) int {
		if t, ok := s.Tensors[name]; ok && t.Dims() > axis {
			return t.Shape()[axis]
		}
		return 0
	}
	in := Inferred{Depth: 18, CIFAR: dim("conv1.weight", 2) == 3}
	// Channel counts are rounded: each bounds the width, the widest most.
	low, high := 0.0, math.Inf(1)
	bound := func(name string, full int) {
		n := float64(dim(name, 0))
		if n > 1 {
			low = max(low, (n-0.5)/float64(full))
		}
		high = min(high, (n+0.5)/float64(full))
	}
	bound("conv1.weight", 64)
	for stage := range 4 {
		bound(fmt.Sprintf("layer%d.0.conv1.weight", stage+1), 64<<stage)
	}
	if dim("layer1.0.conv3.weight", 0) > 0 {
		in.Depth = 50
		for stage := range 4 {
			bound(fmt.Sprintf("layer%d.0.conv3.weight", stage+1), 256<<stage)
		}
	}
	for _, name := range []string{"conv1", "layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1"} {
		if dim(name+".weight", 0) == 0 {
			return Inferred{}, fmt.Errorf("encoder: infer: the tensors are not those of a ResNet: %s.weight is missing", name)
		}
	}
	if low >= high {
		return Inferred{}, fmt.Errorf("encoder: infer: the channel counts do not belong to one width: they ask for at least %.4g and less than %.4g", low, high)
	}
	in.Width = (low + high) / 2
	switch {
	case dim("fc.weight", 0) > 0:
		in.Head, in.Dim = LinearHead, dim("fc.weight", 0)
	case dim("fc.2.weight", 0) > 0:
		in.Head, in.Hidden, in.Dim = MLPHead, dim("fc.0.weight", 0), dim("fc.2.weight", 0)
	case dim("fc.3.weight", 0) > 0:
		in.Head, in.Hidden, in.Dim = SimCLRHead, dim("fc.0.weight", 0), dim("fc.3.weight", 0)
		if dim("fc.4.weight", 0) == 0 { // the last BatchNorm has no gamma
			in.Head = MoCoV3Head
		}
	default:
		in.Head = NoHead
	}
	return in, nil
}
