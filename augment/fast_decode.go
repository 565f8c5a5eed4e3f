package augment

import (
	"fmt"
	"strings"
)

// WithFastDecode returns the policy with fast decode: Decode takes a JPEG at 1/2,
// 1/4 or 1/8 of its size, as libjpeg's scaled inverse DCT makes it, where the crops
// of all views leave enough pixels. The same boxes are drawn, on the whole picture,
// and each view covers the same part of it; its pixels differ, for blocks of pixels
// are averaged by the transform before the filter of the resize sees them. What
// remains of the time is mostly entropy decoding, which no scale spares.
//
// It is an error where random_resized_crop is not the first operator of every view,
// but for flips and those that look at single pixels: no other operator knows a
// picture at a smaller scale.
func (p *Policy) WithFastDecode() (*Policy, error) {
	if p.fastDecode {
		return p, nil
	}
	if first := firstGeometric(p.shared); first != "" && first != cropOperator {
		return nil, noFastDecode(viewNames[viewShared], first)
	} else if first == "" {
		for v, steps := range p.views {
			if first := firstGeometric(steps); first != cropOperator {
				return nil, noFastDecode(viewNames[v], first)
			}
		}
		if p.local != nil {
			if first := firstGeometric(p.local.steps); first != cropOperator {
				return nil, noFastDecode(localSection, first)
			}
		}
	}
	fast := *p
	fast.fastDecode = true
	fast.text = strings.TrimSuffix(p.text, "}") + `,"` + fastDecodeKey + `":true}`
	return &fast, nil
}

// FastDecode tells whether the policy has fast decode.
func (p *Policy) FastDecode() bool { return p.fastDecode }

// fastDecodeKey is its key in a policy file.
const fastDecodeKey = "fast_decode"

func noFastDecode(view, first string) error {
	if first == "" {
		first = "no operator"
	}
	return fmt.Errorf("fast decode: %s begins with %s, want %s", view, first, cropOperator)
}

// firstGeometric names the first operator that does not leave pixels at their places.
func firstGeometric(steps []step) string {
	for _, st := range steps {
		if !leavesPixels(st.op) {
			return st.name
		}
	}
	return ""
}
