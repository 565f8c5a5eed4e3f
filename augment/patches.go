package augment

import (
	"fmt"
	"image"
	"strings"

	"clpipe/internal/rng"

	"gopkg.in/yaml.v3"
)

// patches cut the anchor into a grid and give every patch operators of its own,
// drawn apart from those of all others (Contrastive Predictive Coding).
type patches struct {
	size, stride int // pixels
	steps        []step
}

// grid returns the number of patches beside one another in a picture of a side.
func (p *patches) grid(side int) int { return (side-p.size)/p.stride + 1 }

// parsePatches reads the section. Without size and stride patches are a quarter
// of the view and overlap by half: 7×7 of them.
func (f *policyFile) parsePatches(node *yaml.Node, side int, text *strings.Builder) *patches {
	if node.Kind != yaml.MappingNode {
		f.fail(node, "patches: got %s, want size, stride and ops", describe(node))
		return nil
	}
	p := &patches{size: side / 4}
	number := func(name string, to *int) {
		value := entry(node, name)
		if value == nil {
			return
		}
		var ok bool
		if *to, ok = scalarInteger(value); !ok {
			f.fail(value, "patches: %s: got %s, want a number of pixels", name, describe(value))
		}
	}
	number("size", &p.size)
	p.stride = p.size / 2
	number("stride", &p.stride)
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Value != "size" && key.Value != "stride" && key.Value != "ops" {
			f.fail(key, "patches: unknown %s, want size, stride, ops", quote(key.Value))
		}
	}
	if grid := max(side-p.size, 0)/max(p.stride, 1) + 1; grid*grid*p.size*p.size > maxPixels {
		f.fail(node, "patches: %d x %d patches of %d x %d pixels are more than %d pixels", grid, grid, p.size, p.size, maxPixels)
	}
	if p.size < 1 || p.stride < 1 || p.size > side {
		f.fail(node, "patches: got a size of %d and a stride of %d, want both from 1 on and patches inside a view of %d", p.size, p.stride, side)
		return nil
	}
	fmt.Fprintf(text, `,"patches":{"size":%d,"stride":%d`, p.size, p.stride)
	if ops := entry(node, "ops"); ops != nil {
		p.steps = f.steps("ops", ops, p.size, text)
		if got, known := outputSize(p.steps); known && got != (extent{p.size, p.size}) {
			f.fail(ops, "patches: got patches of %dx%d, want %d", got.w, got.h, p.size)
		}
	}
	text.WriteString("}")
	return p
}

// cut writes the patches of im, in the order of reading, into dst.
func (p *patches) cut(dst []byte, im raster, key SampleKey, id uint64, s *Scratch) error {
	grid, bytes := p.grid(im.w), 3*p.size*p.size
	for i := range grid * grid {
		x, y := i%grid*p.stride, i/grid*p.stride
		patch := im.crop(image.Rect(x, y, x+p.size, y+p.size))
		patch.plane = s.held // every patch is cut out of this picture
		for k := range p.steps {
			st := &p.steps[k]
			s.draw = rng.New(key.Seed, rng.Sample, uint64(key.Epoch), id, viewPatches, st.place, uint64(i))
			if !st.applies(&s.draw) {
				continue
			}
			var err error
			if patch, err = st.op.apply(patch, s); err != nil {
				return fmt.Errorf("augment: sample %s: patch %d: %s: %w", quote(key.ID), i, st.name, err)
			}
		}
		if patch.w != p.size || patch.h != p.size {
			return fmt.Errorf("augment: sample %s: patch %d: got %dx%d, want %dx%d: the policy does not fix its size",
				quote(key.ID), i, patch.w, patch.h, p.size, p.size)
		}
		out := dst[i*bytes : (i+1)*bytes]
		for y := range p.size {
			copy(out[3*p.size*y:], patch.row(y))
		}
	}
	return nil
}
