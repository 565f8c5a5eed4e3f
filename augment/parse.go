package augment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxPolicyBytes bounds a policy file. The longest built in has under 1 KiB.
const maxPolicyBytes = 1 << 20

// Parse reads a policy file:
//
//	name: example
//	shared:            # optional: drawn once, before both views
//	  - {op: horizontal_flip, p: 0.5}
//	both:              # or anchor: and positive: apart, or anchor: alone for one view
//	  - {op: random_resized_crop, size: 224, scale: [0.2, 1]}
//	  - {op: color_jitter, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, p: 0.8}
//	patches:           # optional, of one view: cut it up, and each patch by itself
//	  {size: 56, stride: 28, ops: [{op: color_drop, p: 0.5}]}
//	local:             # optional: more views, smaller and of smaller parts (multi-crop)
//	  {count: 6, size: 96, ops: [{op: random_resized_crop, scale: [0.05, 0.14]}]}
//	fast_decode: true  # optional: see WithFastDecode
//
// Arguments are torchvision's; p is the probability that an operator is
// applied, 1 if absent. A range may be one number, and then nothing is random;
// only color_jitter reads it as the greatest distance, as torchvision does.
//
// size is the side of a view where the policy gives none to an operator; 0 if
// not known. A view whose size differs from it is an error. All problems are
// reported, joined, each with line, operator, argument, what it got and what it
// wants.
func Parse(filename string, text []byte, size int) (*Policy, error) {
	return (&policyFile{name: filename}).parse(text, size)
}

// A policyFile collects the problems of the file it is read from.
type policyFile struct {
	name         string
	problems     []error
	strength     *float64 // of the colour jitter, in place of the file's; nil: the file's
	strengthUsed bool
}

func (f *policyFile) parse(text []byte, size int) (*Policy, error) {
	if size < 0 || size > maxSide {
		return nil, fmt.Errorf("augment: policy %s: size: got %d, want a number in [0, %d]", f.name, size, maxSide)
	}
	root, err := f.decode(text)
	if err != nil {
		return nil, fmt.Errorf("augment: policy %s: %w", f.name, err)
	}
	p := f.policy(root, size)
	if f.strength != nil && !f.strengthUsed {
		return nil, fmt.Errorf("augment: policy %s: its colour jitter has no strength that could be set", f.name)
	}
	if err := errors.Join(f.problems...); err != nil {
		return nil, err
	}
	return p, nil
}

func (f *policyFile) fail(at *yaml.Node, format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf("augment: policy %s: line %d: %s", f.name, at.Line, fmt.Sprintf(format, args...)))
}

// decode returns the mapping that a file consists of.
func (f *policyFile) decode(text []byte) (*yaml.Node, error) {
	if len(text) > maxPolicyBytes {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(text), maxPolicyBytes)
	}
	var document, next yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&document); err == io.EOF {
		return nil, errors.New("empty")
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&next); err != io.EOF {
		return nil, errors.New("more than one document")
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("got %s, want a mapping with both, or anchor and positive", describe(root))
	}
	return root, checkNodes(root)
}

// checkNodes refuses what would need a second look everywhere else: aliases,
// keys that are not words, and keys that come twice.
func checkNodes(node *yaml.Node) error {
	if node.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: aliases are not supported", node.Line)
	}
	if node.Kind == yaml.MappingNode {
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Tag != "!!str" {
				return fmt.Errorf("line %d: got %s as a key, want a word", key.Line, describe(key))
			}
			if entry(node, key.Value) != node.Content[i+1] {
				return fmt.Errorf("line %d: %s comes twice", key.Line, quote(key.Value))
			}
		}
	}
	for _, child := range node.Content {
		if err := checkNodes(child); err != nil {
			return err
		}
	}
	return nil
}

// sections are the keys of a policy file.
var sections = []string{"name", "shared", "both", "anchor", "positive", "patches", localSection, fastDecodeKey}

// policy reads the whole file.
func (f *policyFile) policy(root *yaml.Node, size int) *Policy {
	for i := 0; i < len(root.Content); i += 2 {
		if key := root.Content[i]; !slices.Contains(sections, key.Value) {
			f.fail(key, "unknown section %s, want one of %s", quote(key.Value), strings.Join(sections, ", "))
		}
	}
	shared, both := entry(root, "shared"), entry(root, "both")
	anchor, positive := entry(root, "anchor"), entry(root, "positive")
	cut := entry(root, "patches")
	if cut != nil && (both != nil || positive != nil) {
		f.fail(cut, "patches: want an anchor alone: patches are of one view")
	}
	first := both
	switch {
	case both != nil && (anchor != nil || positive != nil):
		f.fail(both, "both: stands beside anchor or positive, want either")
	case both == nil && anchor == nil && cut == nil:
		f.fail(root, "neither both nor anchor is there, want the operators of a view")
	case both == nil:
		first = anchor
	}
	if len(f.problems) > 0 {
		return nil
	}

	p := &Policy{side: size}
	if size == 0 {
		p.side = viewSide(first, shared)
	}
	text := &strings.Builder{}
	name, _ := json.Marshal(f.policyName(root)) // a string: cannot fail
	fmt.Fprintf(text, `{"name":%s`, name)
	if shared != nil && shared.Tag != "!!null" {
		p.shared = f.steps("shared", shared, p.side, text)
	}
	if both != nil {
		steps := f.steps("both", both, p.side, text)
		p.views = [][]step{steps, steps}
	} else {
		p.views = make([][]step, 1)
		if anchor != nil {
			p.views[viewAnchor] = f.steps("anchor", anchor, p.side, text)
		}
		if positive != nil {
			p.views = append(p.views, f.steps("positive", positive, p.side, text))
		}
	}
	if cut != nil && p.side > 0 {
		p.cut = f.parsePatches(cut, p.side, text)
	}
	if local := entry(root, localSection); local != nil {
		if p.local = f.parseLocal(local, text); cut != nil {
			f.fail(local, "local: stands beside patches, want either")
		}
	}
	text.WriteString("}")
	p.text = text.String()

	if len(f.problems) == 0 {
		f.checkSize(root, p, size)
	}
	p.shared = fuse(p.shared)
	for v := range p.views {
		p.views[v] = fuse(p.views[v])
	}
	return f.parseFastDecode(root, p)
}

// parseFastDecode reads the key.
func (f *policyFile) parseFastDecode(root *yaml.Node, p *Policy) *Policy {
	node := entry(root, fastDecodeKey)
	if node == nil {
		return p
	}
	var on bool
	if node.Tag != "!!bool" || node.Decode(&on) != nil {
		f.fail(node, "%s: got %s, want true or false", fastDecodeKey, describe(node))
	}
	if !on {
		return p
	}
	fast, err := p.WithFastDecode()
	if err != nil {
		f.fail(node, "%v", err)
	}
	return fast
}

// policyName returns the name in the file, or else the file's.
func (f *policyFile) policyName(root *yaml.Node) string {
	name := entry(root, "name")
	if name == nil {
		return strings.TrimSuffix(filepath.Base(f.name), filepath.Ext(f.name))
	}
	if name.Tag != "!!str" || name.Value == "" {
		f.fail(name, "name: got %s, want a word", describe(name))
	}
	return name.Value
}

// steps reads a list of operators and appends its resolved form to text.
func (f *policyFile) steps(section string, list *yaml.Node, side int, text *strings.Builder) []step {
	if list.Kind != yaml.SequenceNode {
		f.fail(list, "%s: got %s, want a list of operators", section, describe(list))
		return nil
	}
	steps := make([]step, 0, len(list.Content))
	fmt.Fprintf(text, `,"%s":[`, section)
	for i, node := range list.Content {
		name := operatorName(node)
		kind, known := operatorKinds[name]
		if !known {
			f.fail(node, "%s: operator %d: got %s, want {op: NAME} with one of %s", section, i+1,
				describeOperator(node), strings.Join(slices.Sorted(maps.Keys(operatorKinds)), ", "))
			continue
		}
		a := &arguments{file: f, op: name, node: node, view: side, asked: []string{"op"}}
		op := kind.parse(a)
		p := a.number("p", 1, interval{lo: 0, hi: 1})
		a.close()
		steps = append(steps, step{name: name, op: op, p: p, place: uint64(i)})
		if i > 0 {
			text.WriteString(",")
		}
		fmt.Fprintf(text, `{"op":"%s"%s}`, name, a.record.String())
	}
	text.WriteString("]")
	return steps
}

// viewSide returns the side that a policy gives its views: that of the last
// operator which sizes the picture. 0 if it does not say.
func viewSide(lists ...*yaml.Node) int {
	for _, list := range lists {
		if list == nil {
			continue
		}
		for _, node := range slices.Backward(list.Content) {
			if !operatorKinds[operatorName(node)].sizes {
				continue
			}
			if size := entry(node, "size"); size != nil {
				if side, ok := scalarInteger(size); ok {
					return side
				}
				if sides, ok := integerList(size, 2); ok {
					return sides[1]
				}
			}
			if box := entry(node, "box"); box != nil {
				if b, ok := integerList(box, 4); ok {
					return b[2]
				}
			}
			return 0
		}
	}
	return 0
}

// checkSize compares the views, as far as the policy fixes their size, with what
// is asked for.
func (f *policyFile) checkSize(root *yaml.Node, p *Policy, size int) {
	if p.side == 0 {
		f.fail(root, "size: "+sizeMissing)
		return
	}
	for v, steps := range p.views {
		got, known := outputSize(slices.Concat(p.shared, steps))
		if !known || got == (extent{p.side, p.side}) {
			continue
		}
		switch {
		case got.h != got.w:
			f.fail(root, "%s: got a view of %dx%d, want a square", viewNames[v], got.w, got.h)
		case size != 0:
			f.fail(root, "%s: the policy makes views of %d pixels, but --size is %d", viewNames[v], got.w, size)
		default:
			f.fail(root, "%s: got views of %d pixels, want %d as the anchor", viewNames[v], got.w, p.side)
		}
		return
	}
}

// outputSize returns the size that steps give any picture.
func outputSize(steps []step) (size extent, known bool) {
	for _, st := range steps {
		if op, ok := st.op.(sizer); ok {
			size, known = op.output()
			known = known && st.p == 1
		}
	}
	return size, known
}

// fuse joins a resize with the centre crop behind it. Neither draws, so that no
// place changes its meaning.
func fuse(steps []step) []step {
	var out []step
	for _, st := range steps {
		if n := len(out); n > 0 && st.p == 1 && out[n-1].p == 1 {
			first, isResize := out[n-1].op.(*resize)
			second, isCenterCrop := st.op.(*centerCrop)
			if isResize && isCenterCrop {
				out[n-1].op = &resizeCenterCrop{resize: first, centerCrop: second}
				continue
			}
		}
		out = append(out, st)
	}
	return out
}

// entry returns the value under a key of a mapping, nil if it is not there.
func entry(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// operatorName returns the word under op, "" if there is none.
func operatorName(node *yaml.Node) string {
	if op := entry(node, "op"); op != nil {
		return op.Value
	}
	return ""
}

func describeOperator(node *yaml.Node) string {
	if op := entry(node, "op"); op != nil {
		return "op " + describe(op)
	}
	return describe(node) + " without op"
}

// describe says what a node holds, for "got".
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.ScalarNode:
		switch node.Tag {
		case "!!null":
			return "nothing"
		case "!!int", "!!float", "!!bool":
			return strings.Trim(quote(node.Value), `"`)
		}
		return quote(node.Value)
	case yaml.SequenceNode:
		items := make([]string, 0, len(node.Content))
		for _, c := range node.Content {
			if len(items) == 4 || c.Kind != yaml.ScalarNode {
				items = append(items, "...")
				break
			}
			items = append(items, describe(c))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return "a mapping"
}
