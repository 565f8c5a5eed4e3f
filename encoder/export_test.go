package encoder

// Fill overwrites all memory of the arena, scratch included.
func (a *Arena) Fill(v float32) {
	for i := range a.memory {
		a.memory[i] = v
	}
	for i := range a.scratch {
		a.scratch[i] = v
	}
	for i := range a.bytes {
		a.bytes[i] = 255
	}
}

// Memory returns the floats of an arena, and those its buffers would take if
// each had a place of its own.
func (p *Plan) Memory() (arena, buffers int) {
	for _, b := range p.buffers {
		buffers += b.len
	}
	return p.arenaLen, buffers
}

// ZeroParams returns parameters without gradients and without drawing their
// values, which takes a while at full width.
func ZeroParams(g *Graph) *Params { return layOut(g) }
