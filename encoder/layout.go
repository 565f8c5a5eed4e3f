package encoder

import (
	"cmp"
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

// place gives every buffer its offset. Those that live for ever, as their user
// may read or write them at any time, lie side by side. All others share a space,
// in the order that makes it the smallest: the largest first, which is the better
// where all lives are short, or the longest-lived first, which keeps together what
// lives from forward to backward.
func (c *compiler) place() {
	var shared []int
	for id := range c.buffers {
		b := &c.buffers[id]
		if b.last < forever {
			shared = append(shared, id)
			continue
		}
		b.offset = c.keptLen
		c.keptLen += align(b.len)
	}
	larger := func(a, b buffer) int { return b.len - a.len }
	longer := func(a, b buffer) int { return cmp.Or(b.last-b.first-(a.last-a.first), larger(a, b)) }
	c.spaceLen = forever
	for _, before := range []func(a, b buffer) int{larger, longer} {
		trial := slices.Clone(c.buffers)
		if n := fit(trial, shared, before); n < c.spaceLen {
			c.buffers, c.spaceLen = trial, n
		}
	}
}

// fit gives the buffers of ids their offsets, in an order: each the lowest that no
// buffer alive at the same time takes. It returns the space they need.
func fit(buffers []buffer, ids []int, before func(a, b buffer) int) (space int) {
	ids = slices.Clone(ids)
	slices.SortStableFunc(ids, func(a, b int) int { return before(buffers[a], buffers[b]) })
	var placed []int // by offset
	for _, id := range ids {
		b := &buffers[id]
		size := align(b.len)
		b.offset = 0
		for _, other := range placed {
			o := buffers[other]
			if o.last < b.first || b.last < o.first {
				continue
			}
			if b.offset+size <= o.offset {
				break
			}
			b.offset = max(b.offset, o.offset+align(o.len))
		}
		space = max(space, b.offset+size)
		i, _ := slices.BinarySearchFunc(placed, b.offset, func(p, at int) int { return buffers[p].offset - at })
		placed = slices.Insert(placed, i, id)
	}
	return space
}

// align rounds up to whole cache lines.
func align(floats int) int { return (floats + 15) &^ 15 }
