package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message is a protocol buffer under construction: fields in any order.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) raw(field protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
}

func (m message) int(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m message) float(field protowire.Number, v float32) message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(v))
}

// Types of elements (TensorProto.DataType) and of attributes
// (AttributeProto.AttributeType).
const (
	float32Type = 1
	int64Type   = 7

	floatAttribute  = 1
	intAttribute    = 2
	stringAttribute = 3
	intsAttribute   = 7
)

// An attribute is an argument of a node that is no tensor.
type attribute message

func floatArg(name string, v float32) attribute {
	return attribute(message(nil).text(1, name).float(2, v).int(20, floatAttribute))
}

func intArg(name string, v int) attribute {
	return attribute(message(nil).text(1, name).int(3, int64(v)).int(20, intAttribute))
}

func stringArg(name, v string) attribute {
	return attribute(message(nil).text(1, name).text(4, v).int(20, stringAttribute))
}

func intsArg(name string, v ...int) attribute {
	m := message(nil).text(1, name)
	for _, x := range v {
		m = m.int(8, int64(x))
	}
	return attribute(m.int(20, intsAttribute))
}

// tensorProto is a constant; an empty shape makes it a scalar.
func tensorProto(name string, kind int64, shape []int, little []byte) message {
	var m message
	for _, d := range shape {
		m = m.int(1, int64(d))
	}
	return m.int(2, kind).text(8, name).raw(9, little)
}

func floats(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

func ints(v []int) []byte {
	out := make([]byte, 0, 8*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint64(out, uint64(x))
	}
	return out
}

// valueInfo declares an input or output: float32 of [batch, shape...].
func valueInfo(name string, shape ...int) message {
	dims := message(nil).raw(1, message(nil).text(2, "N"))
	for _, d := range shape {
		dims = dims.raw(1, message(nil).int(1, int64(d)))
	}
	return message(nil).text(1, name).raw(2, message(nil).raw(1, message(nil).int(1, float32Type).raw(2, dims)))
}
