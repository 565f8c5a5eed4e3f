package encoder

import "fmt"

// Fill overwrites all memory of the arena, scratch included.
func (a *Arena) Fill(v float32) {
	for _, memory := range [][]float32{a.kept, a.space} {
		for i := range memory {
			memory[i] = v
		}
	}
	for i := range a.bytes {
		a.bytes[i] = 255
	}
}

// Alive returns the most floats of a plan's space that are alive at once, which no
// layout can do without.
func (p *Plan) Alive() int {
	most := 0
	for now := range len(p.forward) + len(p.backward) {
		alive := 0
		for _, b := range p.buffers {
			if b.first <= now && now <= b.last && b.last < forever {
				alive += align(b.len)
			}
		}
		most = max(most, alive)
	}
	return most
}

// Overlap returns two buffers that are alive at the same time and share memory, or
// one that does not lie in the arena; nothing where the layout is sound.
func (p *Plan) Overlap() string {
	for i, b := range p.buffers {
		limit := p.spaceLen
		if b.last == forever {
			limit = p.keptLen
		}
		if b.offset < 0 || b.offset+b.len > limit {
			return fmt.Sprintf("buffer %d %+v of %d floats", i, b, limit)
		}
		for j, o := range p.buffers[:i] {
			apart := (b.last == forever) != (o.last == forever) // in memory of their own
			if !apart && b.first <= o.last && o.first <= b.last && b.offset < o.offset+o.len && o.offset < b.offset+b.len {
				return fmt.Sprintf("buffers %d %+v and %d %+v", j, o, i, b)
			}
		}
	}
	return ""
}

// ZeroParams returns parameters without gradients and without drawing their
// values, which takes a while at full width.
func ZeroParams(g *Graph) *Params { return layOut(g) }

// SpaceLen is that of the model's plan.
func (m *Model) SpaceLen() int { return m.plan.spaceLen }
