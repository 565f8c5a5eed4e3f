package batch

import "gorgonia.org/tensor"

// AnchorTensor views the anchors as a tensor of uint8 [N,S,S,3] (or
// [N,G,G,P,P,3]) without copying them; it lives no longer than the record. It
// is nil if there are no rows.
func (p *Pairs) AnchorTensor() *tensor.Dense { return p.view(p.Anchor) }

// PositiveTensor does the same for the positives. It is also nil for a
// one-view stream.
func (p *Pairs) PositiveTensor() *tensor.Dense { return p.view(p.Positive) }

func (p *Pairs) view(data []byte) *tensor.Dense {
	if len(data) == 0 {
		return nil
	}
	return NewTensor(data, append([]int{p.Len()}, p.Shape...)...)
}
