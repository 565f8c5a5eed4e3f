package encoder

import (
	"fmt"

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
	var in Inferred
	stem := dim("conv1.weight", 0)
	if stem == 0 || dim("layer1.0.conv1.weight", 0) == 0 {
		return in, fmt.Errorf("encoder: infer: the tensors are not those of a ResNet: conv1.weight and layer1.0.conv1.weight are needed")
	}
	in.Width = float64(stem) / 64
	in.CIFAR = dim("conv1.weight", 2) == 3
	in.Depth = 18
	if dim("layer1.0.conv3.weight", 0) > 0 {
		in.Depth = 50
	}
	switch {
	case dim("fc.weight", 0) > 0:
		in.Head, in.Dim = LinearHead, dim("fc.weight", 0)
	case dim("fc.2.weight", 0) > 0:
		in.Head, in.Hidden, in.Dim = MLPHead, dim("fc.0.weight", 0), dim("fc.2.weight", 0)
	default:
		in.Head = NoHead
	}
	return in, nil
}
