package batch

import "gorgonia.org/tensor"

// AnchorTensor and PositiveTensor view the column as a tensor of uint8
// [N,S,S,3] (or [N,G,G,P,P,3]) without copying it; the tensor lives no longer
// than the record. PositiveTensor is nil for a one-view stream.
func (p *Pairs) AnchorTensor() *tensor.Dense   { return p.view(p.Anchor) }
func (p *Pairs) PositiveTensor() *tensor.Dense { return p.view(p.Positive) }

func (p *Pairs) view(data []byte) *tensor.Dense {
	if len(data) == 0 {
		return nil
	}
	return NewTensor(data, append([]int{p.Len()}, p.Shape...)...)
}
