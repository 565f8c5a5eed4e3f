package onnx

import (
	"fmt"

	"clpipe/encoder"
)

// add appends what a node of the network is in ONNX, where images are
// [N,C,H,W] and vectors [N,C,1,1]. Dimensions of 0 in a Reshape are those of
// its operand.
func (c *converter) add(n encoder.Node, v encoder.Value) error {
	in := make([]string, len(n.In))
	for i, operand := range n.In {
		in[i] = c.name(operand)
	}
	x, y := c.graph.Shape(n.In[0]), c.graph.Shape(v)
	switch op := n.Op.(type) {
	case encoder.Normalize: // the caller's
	case encoder.Conv:
		suffixes := []string{"weight"}
		if op.Bias {
			suffixes = append(suffixes, "bias")
		}
		in, err := c.parameters(in, n.Name, suffixes...)
		if err != nil {
			return err
		}
		width := op.K
		if op.KW > 0 {
			width = op.KW
		}
		c.node("Conv", n.Name, in, n.Name, intsArg("kernel_shape", op.K, width),
			intsArg("strides", op.Stride, op.Stride), intsArg("pads", op.Pad, op.Pad, op.Pad, op.Pad))
	case encoder.BatchNorm:
		return c.batchNorm(n, op, in, x.C)
	case encoder.GroupNorm:
		return c.groupNorm(n, op, in, x)
	case encoder.ReLU:
		c.node("Relu", n.Name, in, n.Name)
	case encoder.Sigmoid:
		c.node("Sigmoid", n.Name, in, n.Name)
	case encoder.MaxPool:
		c.node("MaxPool", n.Name, in, n.Name, intsArg("kernel_shape", op.K, op.K),
			intsArg("strides", op.Stride, op.Stride), intsArg("pads", op.Pad, op.Pad, op.Pad, op.Pad))
	case encoder.AvgPool:
		c.node("AveragePool", n.Name, in, n.Name, intsArg("kernel_shape", op.K, op.K), intsArg("strides", op.Stride, op.Stride))
	case encoder.GlobalAvgPool:
		c.node("GlobalAveragePool", n.Name, in, n.Name)
	case encoder.Add:
		c.node("Add", n.Name, in, n.Name)
	case encoder.Concat:
		c.node("Concat", n.Name, in, n.Name, intArg("axis", 1))
	case encoder.Linear:
		return c.linear(n, op, in, y)
	case encoder.Pad:
		mode := "constant"
		if op.Reflect {
			mode = "reflect"
		}
		c.pad(n.Name, in[0], mode, 0, op.Top, op.Left, 0, op.Bottom, op.Right)
	case encoder.PadChannels:
		c.pad(n.Name, in[0], "constant", 0, 0, 0, y.C-x.C, 0, 0)
	case encoder.Patches:
		c.patches(n.Name, in[0], op, x, y)
	case encoder.Fold:
		c.reshape(n.Name+".rows", in[0], -1, op.G, op.G, y.C)
		c.node("Transpose", n.Name, []string{n.Name + ".rows"}, n.Name, intsArg("perm", 0, 3, 1, 2))
	default:
		return fmt.Errorf("%T has no form in ONNX here", n.Op)
	}
	return nil
}

// reshape appends a Reshape, whose result and node have one name.
func (c *converter) reshape(name, in string, shape ...int) {
	c.node("Reshape", name, []string{in, c.ints(name+".shape", shape, len(shape))}, name)
}

// pad appends pixels and channels in front and behind: channels, rows, columns.
func (c *converter) pad(name, in, mode string, c0, h0, w0, c1, h1, w1 int) {
	pads := c.ints(name+".pads", []int{0, c0, h0, w0, 0, c1, h1, w1}, 8)
	c.node("Pad", name, []string{in, pads}, name, stringArg("mode", mode))
}

func (c *converter) batchNorm(n encoder.Node, op encoder.BatchNorm, in []string, channels int) error {
	affine := func(left bool, suffix string, v float32) error {
		if !left {
			name, err := c.parameter(n.Name + "." + suffix)
			in = append(in, name)
			return err
		}
		values := make([]float32, channels)
		for i := range values {
			values[i] = v
		}
		in = append(in, c.floats(n.Name+"."+suffix, values, channels))
		return nil
	}
	if err := affine(op.NoGamma, "weight", 1); err != nil {
		return err
	}
	if err := affine(op.NoBeta, "bias", 0); err != nil {
		return err
	}
	in, err := c.parameters(in, n.Name, "running_mean", "running_var")
	if err != nil {
		return err
	}
	c.node("BatchNormalization", n.Name, in, n.Name, floatArg("epsilon", norm))
	return nil
}

// groupNorm is instance normalisation of each group laid out as one channel:
// GroupNormalization itself came with a later set of operators.
func (c *converter) groupNorm(n encoder.Node, op encoder.GroupNorm, in []string, x encoder.Shape) error {
	ones, zeros := make([]float32, op.Groups), make([]float32, op.Groups)
	for i := range ones {
		ones[i] = 1
	}
	name := n.Name
	c.reshape(name+".groups", in[0], 0, op.Groups, -1)
	c.node("InstanceNormalization", name+".instances",
		[]string{name + ".groups", c.floats(name+".ones", ones, op.Groups), c.floats(name+".zeros", zeros, op.Groups)}, name+".instances", floatArg("epsilon", norm))
	c.reshape(name+".channels", name+".instances", 0, x.C, x.H, x.W)
	for _, step := range []struct{ op, suffix, from, to string }{
		{"Mul", "weight", name + ".channels", name + ".scaled"},
		{"Add", "bias", name + ".scaled", name},
	} {
		values, err := c.vector(n.Name+"."+step.suffix, x.C)
		if err != nil {
			return err
		}
		c.node(step.op, step.to, []string{step.from, values}, step.to)
	}
	return nil
}

// vector makes a constant [C,1,1] of a parameter [C], which fits beside images.
func (c *converter) vector(name string, channels int) (string, error) {
	t, err := c.parameter(name)
	if err != nil {
		return "", err
	}
	c.reshape(name+".map", t, channels, 1, 1)
	return name + ".map", nil
}

// linear is a Gemm on rows, of which the result becomes [N,C,1,1] again.
func (c *converter) linear(n encoder.Node, op encoder.Linear, in []string, y encoder.Shape) error {
	suffixes := []string{"weight"}
	if op.Bias {
		suffixes = append(suffixes, "bias")
	}
	rows := n.Name + ".in"
	c.node("Flatten", rows, in, rows, intArg("axis", 1))
	operands, err := c.parameters([]string{rows}, n.Name, suffixes...)
	if err != nil {
		return err
	}
	c.node("Gemm", n.Name+".out", operands, n.Name+".out", intArg("transB", 1))
	c.reshape(n.Name, n.Name+".out", 0, y.C, 1, 1)
	return nil
}

// patches gathers the rows of each row of patches, then the columns, and puts
// the grid into the batch.
func (c *converter) patches(name, in string, op encoder.Patches, x, y encoder.Shape) {
	rows, cols := (x.H-op.Size)/op.Stride+1, (x.W-op.Size)/op.Stride+1
	at := func(axis string, n int) string {
		var index []int
		for i := range n {
			for j := range op.Size {
				index = append(index, i*op.Stride+j)
			}
		}
		return c.ints(name+"."+axis, index, n, op.Size)
	}
	c.node("Gather", name+".byrow", []string{in, at("rows", rows)}, name+".byrow", intArg("axis", 2))
	c.node("Gather", name+".cells", []string{name + ".byrow", at("columns", cols)}, name+".cells", intArg("axis", 4))
	c.node("Transpose", name+".grid", []string{name + ".cells"}, name+".grid", intsArg("perm", 0, 2, 4, 1, 3, 5))
	c.reshape(name, name+".grid", -1, x.C, y.H, y.W)
}
