package contrast

import (
	"fmt"

	"clpipe/encoder"
	"clpipe/internal/kernel"
)

// A gradCache holds the outputs of a pass in chunks, and their gradients, for
// the whole batch (Gao et al. 2021, arXiv 2101.06983): the loss sees all rows,
// the network one chunk at a time.
type gradCache struct {
	pairs, chunk int            // of the batch, of a chunk
	ahead        *encoder.Arena // of the first forward passes, without gradients
	outputs      []cachedOutput
}

// A cachedOutput is one output: row n is of anchor n, row pairs+n of its positive.
type cachedOutput struct {
	name       string
	rows, grad encoder.Rows
}

func (c *cpu) newGradCache(pass *cpuPass, ahead *encoder.Arena) *gradCache {
	s := pass.spec
	g := &gradCache{pairs: c.cfg.Batch, chunk: s.Chunk, ahead: ahead}
	for _, name := range s.Grads {
		of := pass.arena.Output(name)
		all := func() encoder.Rows {
			n := of.N / (2 * s.Chunk) * 2 * g.pairs
			return encoder.Rows{Data: kernel.Alloc(n * of.Stride), N: n, D: of.D, Stride: of.Stride}
		}
		g.outputs = append(g.outputs, cachedOutput{name, all(), all()})
	}
	return g
}

// of returns a cached output. One that receives no gradient is not there: an
// error of the program.
func (g *gradCache) of(name string) *cachedOutput {
	for i := range g.outputs {
		if g.outputs[i].name == name {
			return &g.outputs[i]
		}
	}
	panic(fmt.Sprintf("contrast: a pass in chunks keeps no output %s", name))
}

// run runs an arena forward on a chunk.
func (g *gradCache) run(a *encoder.Arena, b *Batch, chunk int) {
	size := len(b.Anchor) / g.pairs * g.chunk
	lo, hi := chunk*size, (chunk+1)*size
	a.ForwardBoth(b.Anchor[lo:hi], b.Positive[lo:hi])
}

// halves calls move for the anchors' and the positives' rows of a chunk: floats
// from part on of the chunk's output and from all on of the whole one, n of them.
func (g *gradCache) halves(part encoder.Rows, chunk int, move func(part, all, n int)) {
	n := part.N / 2 * part.Stride
	move(0, chunk*n, n)
	move(n, (g.pairs/g.chunk+chunk)*n, n)
}

// forward fills the outputs and clears their gradients.
func (g *gradCache) forward(b *Batch) {
	for chunk := range g.pairs / g.chunk {
		g.run(g.ahead, b, chunk)
		for _, o := range g.outputs {
			from := g.ahead.Output(o.name)
			g.halves(from, chunk, func(part, all, n int) { copy(o.rows.Data[all:all+n], from.Data[part:]) })
		}
	}
	for _, o := range g.outputs {
		clear(o.grad.Data)
	}
}

// backward adds to the gradients of the network.
func (g *gradCache) backward(b *Batch, a *encoder.Arena) {
	for chunk := range g.pairs / g.chunk {
		g.run(a, b, chunk)
		for _, o := range g.outputs {
			to := a.OutputGrad(o.name)
			g.halves(to, chunk, func(part, all, n int) { copy(to.Data[part:part+n], o.grad.Data[all:]) })
		}
		a.Backward()
	}
}
