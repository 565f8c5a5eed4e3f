package encoder

import (
	"slices"

	"clpipe/internal/kernel"
)

// A buffer is a range of an arena. Two buffers whose lives do not overlap may
// lie in the same place.
type buffer struct {
	len         int
	zero        int // floats of the zero pixel at its end
	first, last int // positions in the list of operations
	offset      int
}

const forever = int(^uint(0) >> 1)

// countReaders counts who reads each value, and who its memory: Unfold and Fold
// only look at their operand's under another shape.
func (c *compiler) countReaders() {
	values := len(c.graph.shapes)
	c.uses, c.readers, c.storage = make([]int, values), make([]int, values), make([]Value, values)
	for v := range c.graph.Inputs {
		c.storage[v] = Value(v)
	}
	for i, n := range c.graph.Nodes {
		out, looks := c.graph.value(i), false
		switch n.Op.(type) {
		case Unfold, Fold:
			looks = true
		}
		c.storage[out] = out
		if looks {
			c.storage[out] = c.storage[n.In[0]]
		}
		for _, v := range n.In {
			c.uses[v]++
			if !looks {
				c.readers[c.storage[v]]++
			}
		}
	}
	for _, out := range c.graph.Outputs {
		c.uses[out.Value]++
		c.readers[c.storage[out.Value]]++
	}
}

// inPlace tells whether an operation may write its result over its operand,
// which nobody else reads and no backward pass needs.
func (c *compiler) inPlace(operand Value) bool {
	return c.opts.Mode != Train && c.readers[c.storage[operand]] == 1
}

// define adds a buffer of n floats that lives from now on.
func (c *compiler) define(n, zero int) int {
	c.buffers = append(c.buffers, buffer{len: n, zero: zero, first: c.now(), last: c.now()})
	c.touched[len(c.buffers)-1] = true
	return len(c.buffers) - 1
}

// use says that the operation being added reads or writes a buffer.
func (c *compiler) use(ids ...int) {
	for _, id := range ids {
		if id >= 0 {
			c.buffers[id].last = max(c.buffers[id].last, c.now())
			c.touched[id] = true
		}
	}
}

// activation adds the buffer of a value.
func (c *compiler) activation(v Value) int {
	s := c.graph.Shape(v)
	return c.define(s.len(c.opts.Batch), kernel.PadC(s.C))
}

// place gives every buffer its offset: the largest first, each at the lowest
// place that no buffer alive at the same time takes.
func (c *compiler) place() {
	order := make([]int, len(c.buffers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return c.buffers[b].len - c.buffers[a].len })
	var placed []int // by offset
	for _, id := range order {
		b := &c.buffers[id]
		size := align(b.len)
		at := 0
		for _, other := range placed {
			o := c.buffers[other]
			if o.last < b.first || b.last < o.first {
				continue
			}
			if at+size <= o.offset {
				break
			}
			at = max(at, o.offset+align(o.len))
		}
		b.offset = at
		c.arenaLen = max(c.arenaLen, at+size)
		i, _ := slices.BinarySearchFunc(placed, at, func(p, at int) int { return c.buffers[p].offset - at })
		placed = slices.Insert(placed, i, id)
	}
}

// align rounds up to whole cache lines.
func align(floats int) int { return (floats + 15) &^ 15 }
