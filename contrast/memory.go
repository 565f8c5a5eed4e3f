package contrast

// Memory is what a run holds beside its stream of pairs, in bytes.
type Memory struct {
	Activations int64 // of all passes; what objectives hold is small beside them
	Weights     int64 // with gradients, what optimisers remember, averages, packed copies and queues
}

// Memory foresees what New and a step take, and takes none of it. The
// configuration must be valid.
func (c Config) Memory() (Memory, error) {
	b, err := c.blueprint(c.Graph())
	if err != nil {
		return Memory{}, err
	}
	return b.memory(), nil
}

// memory adds up what the blueprint declares.
func (b *blueprint) memory() Memory {
	m := Memory{Weights: b.weights, Activations: float * int64(b.spaceLen())}
	host := b.host()
	for i, k := range b.kinds {
		own, space := k.plan.ArenaBytes()
		apart := k.passes
		switch {
		case !k.trains():
			apart = 0
		case i == host:
			apart--
		}
		m.Activations += int64(k.passes)*own + int64(apart)*space
		m.Weights += k.plan.PackedBytes()
	}
	return m
}
