package batch_test

import (
	"bytes"
	"testing"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
)

// FuzzIPC reads any bytes as a stream. Whatever they are, nothing panics,
// nothing stays allocated, and the stream ends cleanly only where an end
// marker says so.
func FuzzIPC(f *testing.F) {
	for _, data := range streams(f) {
		f.Add(data)
	}
	f.Add(lyingMessage(2 << 30))
	marker := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
	f.Fuzz(func(t *testing.T, data []byte) {
		mem := newCountingAllocator()
		if err := read(t, mem, bytes.NewReader(data), view); err == nil && !bytes.Contains(data, marker) {
			t.Error("a stream without an end marker ends cleanly")
		}
		if held := mem.held.Load(); held != 0 {
			t.Errorf("%d bytes leaked", held)
		}
	})
}

// FuzzTensorTypes reads any metadata of the extension types. What is accepted
// is written and read again as the same type.
func FuzzTensorTypes(f *testing.F) {
	f.Add(`{"shape":[2,2,3]}`, uint16(12))
	f.Add(`{"shape":[2,2,3],"dim_names":["H","W","C"],"permutation":[0,1,2]}`, uint16(12))
	f.Add(`{"shape":[-1,-12]}`, uint16(12))
	f.Add(`{"shape":[4294967296,4294967296,0]}`, uint16(1))
	f.Add(`{"uniform_shape":[null,null,3]}`, uint16(3))
	f.Add(`[]`, uint16(1))
	f.Fuzz(func(t *testing.T, metadata string, n uint16) {
		list := arrow.FixedSizeListOf(max(int32(n), 1), arrow.PrimitiveTypes.Uint8)
		dims := arrow.FixedSizeListOf(max(int32(n), 1), arrow.PrimitiveTypes.Int32)
		images := arrow.StructOf(
			arrow.Field{Name: "data", Type: arrow.ListOf(arrow.PrimitiveTypes.Uint8)},
			arrow.Field{Name: "shape", Type: dims})
		for _, c := range []struct {
			reader  arrow.ExtensionType
			storage arrow.DataType
		}{
			{batch.NewFixedShapeTensor(1), list},
			{batch.NewVariableShapeTensor(1), images},
			{batch.NewFixedShapeTensor(1), images},
			{batch.NewVariableShapeTensor(1), list},
		} {
			got, err := c.reader.Deserialize(c.storage, metadata)
			if err != nil {
				continue
			}
			again, err := got.Deserialize(c.storage, got.Serialize())
			if err != nil {
				t.Fatalf("%q is read as %s, written as %q, and then: %v", metadata, got, got.Serialize(), err)
			}
			if !arrow.TypeEqual(got, again) {
				t.Fatalf("%q is read as %s, then as %s", metadata, got, again)
			}
		}
	})
}
