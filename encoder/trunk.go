package encoder

import "fmt"

// Map is the output of a trunk.
const Map = "map"

// A Trunk is the convolutional part of a network on images of another size than it
// was trained on: what it finds at every place, before anything is pooled.
type Trunk struct {
	Graph  *Graph // with the output Map [N,H,W,C] alone
	Stride int    // pixels from one cell of the map to the next
}

// Trunk returns the trunk of the network that makes the output "features", for images
// of height×width pixels: up to the last layer through which all goes that comes
// behind it (of a residual block, its sum) and whose cells lie at most stride pixels
// apart. Its parameters are some of the network's, under the same names. A network
// on patches of an image is applied to the image itself. Images that are too small
// for the network are an error.
func (g *Graph) Trunk(height, width, stride int) (*Trunk, error) {
	whole := g.Part("features")
	t := NewGraph(height, width)
	const none = Value(-1)
	place := make([]Value, len(whole.shapes)) // in t of the values of whole
	strides := []int{1}                       // of the values of t
	last := none
	readers := whole.lastReaders()
	reach := 0 // the last node that reads a value from before
	for i, n := range whole.Nodes {
		v := whole.value(i)
		place[v] = none
		reach = max(reach, readers[v-1])
		in, ok := placed(n.In, place)
		if !ok {
			continue // behind a layer that has no place
		}
		step := 1
		switch op := n.Op.(type) {
		case Unfold, Patches:
			place[v] = in[0] // the image is not cut
			continue
		case GlobalAvgPool, Linear:
			continue // there are no places any more
		case Conv:
			step = op.Stride
		case MaxPool:
			step = op.Stride
		case AvgPool:
			step = op.Stride
		}
		if strides[in[0]]*step > stride {
			continue
		}
		if _, err := n.Op.infer(t.shapesOf(in)); err != nil {
			return nil, fmt.Errorf("encoder: trunk: images of %d×%d are too small for the network: %s: %w", width, height, n.Name, err)
		}
		place[v] = t.Add(n.Name, n.Op, in...)
		strides = append(strides, strides[in[0]]*step)
		if _, pixels := n.Op.(Normalize); !pixels && reach <= i {
			last = place[v]
		}
	}
	if last == none {
		return nil, fmt.Errorf("encoder: trunk: the network has no layer whose cells lie at most %d pixels apart", stride)
	}
	t.Output(Map, last)
	return &Trunk{t.Part(Map), strides[last]}, nil
}

// lastReaders returns the last node that reads each value.
func (g *Graph) lastReaders() []int {
	readers := make([]int, len(g.shapes))
	for i, n := range g.Nodes {
		for _, v := range n.In {
			readers[v] = i
		}
	}
	return readers
}

// placed returns the places of values, ok false if one has none.
func placed(values, place []Value) (in []Value, ok bool) {
	for _, v := range values {
		if place[v] < 0 {
			return nil, false
		}
		in = append(in, place[v])
	}
	return in, true
}
