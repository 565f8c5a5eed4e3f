package encoder

import (
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// A pack is the weights of a convolution or linear layer in the order that its
// kernels read them.
type pack struct {
	conv     *kernel.Conv
	weight   string
	backward bool // as the data gradient reads them
	at       int  // offset in the model's packed weights; in a plan that repacks, the buffer
}

func (k pack) len() int {
	forward, backward := k.conv.PackedLen()
	if k.backward {
		return backward
	}
	return forward
}

// phases packs the weights w.
func (k pack) phases(packed, w []float32) []par.Phase {
	if k.backward {
		return k.conv.PackBackward(packed, w)
	}
	return k.conv.PackForward(packed, w)
}

// packing names the operations of plans that repack.
const packing = "packing"

// pack plans where packed weights lie, for the operation that is added next.
func (c *compiler) pack(k pack) int {
	i := len(c.packs)
	if !c.opts.Repack {
		k.at = c.packedLen
		c.packedLen += k.len()
		c.packs = append(c.packs, k)
		return i
	}
	k.at = c.define(k.len(), 0)
	c.packs = append(c.packs, k)
	c.beside = k.conv.WeightLen()
	add := c.addForward
	if k.backward {
		add = c.addBackward
	}
	add(packing, 0, func(a *Arena) []par.Phase { return k.phases(a.packed(i), a.model.params.value(k.weight)) })
	return i
}

// usePack says that the operation being added reads packed weights.
func (c *compiler) usePack(i int) {
	if k := c.packs[i]; c.opts.Repack {
		c.use(k.at)
	} else {
		c.beside = k.len()
	}
}

// packed returns packed weights.
func (a *Arena) packed(i int) []float32 {
	k := a.plan.packs[i]
	if a.plan.opts.Repack {
		return a.buf(k.at)
	}
	return a.model.packed[k.at : k.at+k.len()]
}
