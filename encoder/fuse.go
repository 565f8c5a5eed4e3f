package encoder

import "slices"

// A unit is one or several nodes that run as one operation.
type unit struct {
	name     string
	op       Op
	in       []Value
	out      Value
	residual Value // of a batch normalisation that adds one; -1: none
	relu     bool
}

// fuse joins batch normalisation with the addition and the ReLU behind it, and
// a layer with bias with its ReLU. Only values that nobody else reads disappear.
func (c *compiler) fuse() []unit {
	var units []unit
	for i, n := range c.graph.Nodes {
		u := unit{name: n.Name, op: n.Op, in: n.In, out: c.graph.value(i), residual: -1}
		maker := slices.IndexFunc(units, func(m unit) bool { return m.out == n.In[0] && c.uses[m.out] == 1 })
		if maker >= 0 {
			if joined, ok := units[maker].with(u); ok {
				// It runs here: a residual may be computed after what it is added to.
				units, u = slices.Delete(units, maker, maker+1), joined
			}
		}
		units = append(units, u)
	}
	return units
}

// with returns the unit that also does what the next one does to its result,
// if there is such a unit.
func (u unit) with(next unit) (unit, bool) {
	_, isNorm := u.op.(BatchNorm)
	_, biased := products(u.op)
	switch next.op.(type) {
	case Add:
		// The gradients of operand and residual would be written to one place.
		if !isNorm || u.relu || u.residual >= 0 || next.in[1] == u.in[0] {
			return u, false
		}
		u.residual = next.in[1]
	case ReLU:
		if !isNorm && !biased || u.relu {
			return u, false
		}
		u.relu = true
	default:
		return u, false
	}
	u.out = next.out
	return u, true
}

// products tells whether an operation multiplies by a matrix of weights, and
// whether it then adds a bias.
func products(op Op) (yes, bias bool) {
	switch op := op.(type) {
	case Conv:
		return true, op.Bias
	case Linear:
		return true, op.Bias
	}
	return false, false
}
