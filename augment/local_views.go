package augment

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"clpipe/internal/imagecodec"
	"clpipe/internal/rng"

	"gopkg.in/yaml.v3"
)

// localViews are further views of a sample, smaller than the two of the pair and
// cut out of smaller parts of the picture: the multi-crop of Caron et al. 2020
// (SwAV, arXiv 2006.09882, section 3.2). Each is drawn apart from all others.
type localViews struct {
	count, size int // size: the side in pixels
	steps       []step
}

const (
	maxLocalViews = 64
	localSection  = "local"
	cropOperator  = "random_resized_crop"
)

// Locals returns how many local views a sample gets, and their side; 0 if none.
func (p *Policy) Locals() (count, size int) {
	if p.local == nil {
		return 0, 0
	}
	return p.local.count, p.local.size
}

// LocalBytes is the length of all local views of a sample, [V,s,s,3].
func (p *Policy) LocalBytes() int {
	count, size := p.Locals()
	return 3 * count * size * size
}

// ApplyLocal writes the local views of img, [V,s,s,3], into dst. It is Apply for
// them: the same source, and draws of their own, so that the pair's views are those
// of the policy without local views.
func (p *Policy) ApplyLocal(dst []byte, img *imagecodec.Image, key SampleKey, s *Scratch) error {
	if want := p.LocalBytes(); len(dst) != want {
		panic(fmt.Sprintf("augment: local: got %d bytes, want %d", len(dst), want))
	}
	if p.local == nil {
		return nil
	}
	id := rng.HashID(key.ID)
	source, err := p.source(img, key, id, s)
	if err != nil {
		return err
	}
	size := p.local.size
	for v := range p.local.count {
		im, err := run(p.local.steps, source, key, id, viewLocal+uint64(v), s)
		if err != nil {
			return err
		}
		if err := store(dst[3*v*size*size:3*(v+1)*size*size], im, size, viewLocal+uint64(v), key); err != nil {
			return err
		}
	}
	return nil
}

// parseLocal reads the section.
func (f *policyFile) parseLocal(node *yaml.Node, text *strings.Builder) *localViews {
	if node.Kind != yaml.MappingNode {
		f.fail(node, "local: got %s, want count, size and ops", describe(node))
		return nil
	}
	l := &localViews{}
	number := func(name string, most int) (v int) {
		at, got := node, "nothing"
		ok := false
		if value := entry(node, name); value != nil {
			at, got = value, describe(value)
			v, ok = scalarInteger(value)
		}
		if !ok || v < 1 || v > most {
			f.fail(at, "local: %s: got %s, want a whole number in [1, %d]", name, got, most)
			return 1
		}
		return v
	}
	l.count, l.size = number("count", maxLocalViews), number("size", maxSide)
	if l.count*l.size*l.size > maxPixels {
		f.fail(node, "local: %d views of %d x %d pixels are more than %d pixels", l.count, l.size, l.size, maxPixels)
	}
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains([]string{"count", "size", "ops"}, key.Value) {
			f.fail(key, "local: unknown %s, want count, size, ops", quote(key.Value))
		}
	}
	ops := entry(node, "ops")
	if ops == nil {
		f.fail(node, "local: ops is missing, want the operators of a local view")
		return nil
	}
	fmt.Fprintf(text, `,"%s":{"count":%d,"size":%d`, localSection, l.count, l.size)
	l.steps = fuse(f.steps("ops", ops, l.size, text))
	text.WriteString("}")
	if got, known := outputSize(l.steps); known && got != (extent{l.size, l.size}) {
		f.fail(ops, "local: got views of %dx%d, want %d", got.w, got.h, l.size)
	}
	return l
}

// LocalSide is the side of local views that goes with views of a side: 96 pixels
// beside 224, as published, and for small images half the side.
func LocalSide(side int) int {
	if side <= 96 {
		return max(side/2, 1)
	}
	return max(side*3/7, 1)
}

// localScale is the share of the picture that local views are cut out of: as
// published for ImageNet, and for images of which so little would be a handful of
// pixels two to three times as much.
func localScale(side int) [2]float64 {
	if side <= 96 {
		return [2]float64{0.14, 0.4}
	}
	return [2]float64{0.05, 0.14}
}

// WithLocal returns the policy with count local views of a side in pixels, 0 for
// LocalSide's. They pass through the anchor's operators, but that their crop takes
// less of the picture: 0.05 to 0.14 of it as SwAV's, for views up to 96 pixels 0.14
// to 0.4. The two views of the pair stay as they are: SwAV's own take 0.14 to 1 of
// the picture, for which a policy file is to be written.
//
// It is an error where the policy has other local views already, or the anchor no
// random_resized_crop.
func (p *Policy) WithLocal(count, size int) (*Policy, error) {
	if size == 0 {
		size = LocalSide(p.side)
	}
	if p.local != nil {
		if p.local.count != count || p.local.size != size {
			return nil, fmt.Errorf("local views: the policy has %d of %d px, asked for are %d of %d px", p.local.count, p.local.size, count, size)
		}
		return p, nil
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal([]byte(p.text), &file); err != nil {
		return nil, err
	}
	list := file["both"]
	if list == nil {
		list = file["anchor"]
	}
	var ops []map[string]any
	if list != nil {
		if err := json.Unmarshal(list, &ops); err != nil {
			return nil, err
		}
	}
	crop := slices.IndexFunc(ops, func(op map[string]any) bool { return op["op"] == cropOperator })
	if crop < 0 || p.cut != nil {
		return nil, fmt.Errorf("local views: the policy has no view with %s that could be made smaller", cropOperator)
	}
	ops[crop]["scale"], ops[crop]["size"] = localScale(p.side), size
	for _, op := range ops {
		delete(op, "kernel") // of a blur, which goes with the side
	}
	local, err := json.Marshal(map[string]any{"count": count, "size": size, "ops": ops})
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(p.text, "}") + `,"` + localSection + `":` + string(local) + "}"
	return Parse("with local views", []byte(text), p.side)
}
