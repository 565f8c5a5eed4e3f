// Package onnx writes a trained network as an ONNX model, which other runtimes
// execute: onnxruntime, OpenVINO, TensorRT, a browser.
// (https://onnx.ai/onnx/repo-docs/IR.html)
package onnx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"clpipe/batch"
	"clpipe/encoder"
)

const (
	opset     = 17 // of ONNX 1.12, which runtimes since 2022 have
	irVersion = 8

	// maxBytes is what a protocol buffer can hold.
	maxBytes = 1<<31 - 1

	norm = 1e-5 // the guard of a variance in encoder's normalisations
)

// A Model says what is written.
type Model struct {
	Graph  *encoder.Graph
	Params *encoder.Params
	// Outputs are the graph's outputs that the model has, and their names in it;
	// each is [N,C]. What none of them needs is left out.
	Outputs map[string]string
	// Metadata is written along, as the normalisation that the input expects.
	Metadata map[string]string
	// Version is that of the program that writes.
	Version string
}

// Write writes the model, in inference mode: batch normalisation uses its
// running statistics. Its input is called "input", float32 [N,3,S,S], channels
// first and already normalised; N is free. An operation that ONNX cannot express
// here, a model beyond 2 GiB and a failed write are errors.
func Write(w io.Writer, m Model) error {
	c := &converter{graph: m.Graph, state: m.Params.State()}
	model, err := c.model(m)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	if len(model) > maxBytes {
		return fmt.Errorf("onnx: the model has %d bytes, and the format ends at 2 GiB: export it as safetensors", len(model))
	}
	if _, err := w.Write(model); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// converter turns the graph's nodes into ONNX's.
type converter struct {
	graph     *encoder.Graph
	state     batch.State
	nodes     []message
	constants []message
	made      map[string]bool // names of constants
}

func (c *converter) model(m Model) (message, error) {
	c.made = map[string]bool{}
	in := c.graph.Inputs[0]
	if len(c.graph.Inputs) != 1 || in.Float {
		return nil, errors.New("only networks of one image can be written")
	}
	names := slices.Sorted(maps.Keys(m.Outputs))
	for _, output := range names {
		if _, ok := c.graph.Find(output); !ok {
			return nil, fmt.Errorf("the network has no output %q", output)
		}
	}
	c.graph = c.graph.Part(names...)
	for i, n := range c.graph.Nodes {
		if err := c.add(n, encoder.Value(i+1)); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	var outputs []message
	for _, output := range names {
		v, _ := c.graph.Find(output)
		s := c.graph.Shape(v)
		if s.Per != 1 || s.H != 1 || s.W != 1 {
			return nil, fmt.Errorf("the output %q is %v, want one vector of an image", output, s)
		}
		c.node("Flatten", "output."+output, []string{c.name(v)}, m.Outputs[output], intArg("axis", 1))
		outputs = append(outputs, valueInfo(m.Outputs[output], s.C))
	}

	var g message
	for _, n := range c.nodes {
		g = g.raw(1, n)
	}
	g = g.text(2, "encoder")
	for _, t := range c.constants {
		g = g.raw(5, t)
	}
	g = g.raw(11, valueInfo("input", 3, in.Shape.H, in.Shape.W))
	for _, o := range outputs {
		g = g.raw(12, o)
	}
	out := message(nil).int(1, irVersion).text(2, "clpipe").text(3, m.Version)
	out = out.raw(7, g).raw(8, message(nil).text(1, "").int(2, opset))
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		out = out.raw(14, message(nil).text(1, key).text(2, m.Metadata[key]))
	}
	return out, nil
}

// name returns what a value is called: as the node that makes it. Normalisation
// is the caller's, so that what it makes is the input itself.
func (c *converter) name(v encoder.Value) string {
	for v > 0 {
		n := c.graph.Nodes[v-1]
		if _, ok := n.Op.(encoder.Normalize); !ok {
			return n.Name
		}
		v = n.In[0]
	}
	return "input"
}

// node appends a node of one result.
func (c *converter) node(op, name string, in []string, out string, args ...attribute) {
	var m message
	for _, s := range in {
		m = m.text(1, s)
	}
	m = m.text(2, out).text(3, name).text(4, op)
	for _, a := range args {
		m = m.raw(5, a)
	}
	c.nodes = append(c.nodes, m)
}

// parameter makes a constant of a tensor of the network and returns its name.
func (c *converter) parameter(name string) (string, error) {
	t, ok := c.state.Tensors[name]
	if !ok {
		return "", fmt.Errorf("the network has no tensor %s", name)
	}
	values, err := batch.Values[float32](t)
	if err != nil {
		return "", err
	}
	return c.floats(name, values, t.Shape()...), nil
}

// parameters makes constants of several of a node's tensors, after its other
// operands.
func (c *converter) parameters(in []string, node string, suffixes ...string) ([]string, error) {
	for _, s := range suffixes {
		name, err := c.parameter(node + "." + s)
		if err != nil {
			return nil, err
		}
		in = append(in, name)
	}
	return in, nil
}

func (c *converter) floats(name string, values []float32, shape ...int) string {
	return c.constant(name, tensorProto(name, float32Type, shape, floats(values)))
}

func (c *converter) ints(name string, values []int, shape ...int) string {
	return c.constant(name, tensorProto(name, int64Type, shape, ints(values)))
}

func (c *converter) constant(name string, t message) string {
	if !c.made[name] {
		c.made[name] = true
		c.constants = append(c.constants, t)
	}
	return name
}
