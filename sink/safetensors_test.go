package sink

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clpipe/batch"

	"gorgonia.org/tensor"
)

var update = flag.Bool("update", false, "write golden files anew")

// tensors is the map of a state of one tensor.
func tensors[T batch.Number](name string, data []T, shape ...int) map[string]*tensor.Dense {
	if shape == nil && len(data) > 1 {
		shape = []int{len(data)}
	}
	return map[string]*tensor.Dense{name: batch.NewTensor(data, shape...)}
}

// everyType holds a tensor of each element type, ones and scalars among them;
// testdata/golden.py writes the same.
func everyType() batch.State {
	s := batch.State{}
	add := func(m map[string]*tensor.Dense) { s.Add("", batch.State{Tensors: m}) }
	add(tensors("conv1.weight", []float32{0, 0.5, -1.25, 3e38, 1e-45, 6}, 1, 2, 3, 1))
	add(tensors("double", []float64{math.Pi, -1e300}))
	add(tensors("int", []int32{math.MinInt32, 7}, 2, 1))
	add(tensors("bn1.num_batches_tracked", []int64{123456789012}))
	add(tensors("bytes", []uint8{0, 127, 255}))
	add(tensors("uint", []uint32{math.MaxUint32}, 1))
	add(tensors("ids", []uint64{math.MaxUint64, 1}))
	return s
}

func TestSafetensorsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	want := everyType()
	if err := WriteSafetensors(path, want, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Tensors) != len(want.Tensors) || got.Digest() != want.Digest() {
		t.Errorf("got %d tensors with digest %s, want %d with %s", len(got.Tensors), got.Digest(), len(want.Tensors), want.Digest())
	}
	if shape := got.Tensors["bn1.num_batches_tracked"].Shape(); !shape.IsScalar() {
		t.Errorf("num_batches_tracked: got shape %v, want ()", shape)
	}
}

// The golden file was written by Python's safetensors.
func TestSafetensorsReadsPython(t *testing.T) {
	got, err := ReadSafetensors("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	// Half floats are read as float32: the values that both can hold.
	halves := []float32{0, float32(math.Copysign(0, -1)), 1, -2, 0x1p-24, 0x1p-14, 65504, float32(math.Inf(1))}
	want := everyType()
	want.Add("", batch.State{Tensors: tensors("half", halves, 2, 4)})
	want.Add("", batch.State{Tensors: tensors("brain", []float32{1, -0.15625, 0x1p-133, float32(math.Inf(-1))})})
	if len(got.Tensors) != len(want.Tensors) {
		t.Errorf("got %d tensors, want %d", len(got.Tensors), len(want.Tensors))
	}
	for name := range want.Tensors {
		if g, ok := got.Tensors[name]; !ok {
			t.Errorf("%s: missing", name)
		} else if w := want.Tensors[name]; !g.Shape().Eq(w.Shape()) || !bytes.Equal(batch.Bytes(g), batch.Bytes(w)) {
			t.Errorf("%s: got %v %v, want %v %v", name, g.Shape(), g.Data(), w.Shape(), w.Data())
		}
	}
}

// What Python's safetensors reads back, says testdata/golden.py, are these
// very bytes: so nothing may change them.
func TestSafetensorsBytesThatPythonReads(t *testing.T) {
	const golden = "testdata/clpipe.safetensors"
	var got bytes.Buffer
	if err := encodeSafetensors(&got, everyType(), map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got %q, want %q", got.Bytes(), want)
	}
}

// safetensorsFile puts a header before n bytes.
func safetensorsFile(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestSafetensorsRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "file has 0 bytes"},
		{"header longer than the file", []byte("\xff\xff\xff\xff\xff\xff\xff\xffxx"), "claims 18446744073709551615 bytes, the file has 2"},
		{"not JSON", safetensorsFile(`{"w"`, 0), "header:"},
		{"a list", safetensorsFile(`[]`, 0), "header:"},
		{"unknown type", safetensorsFile(`{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`, 1), `"w"`},
		{"type without support", safetensorsFile(`{"w":{"dtype":"I16","shape":[1],"data_offsets":[0,2]}}`, 2), `tensor "w": type I16 is not supported`},
		{"negative shape", safetensorsFile(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), `"w"`},
		{"huge shape", safetensorsFile(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, 4), `tensor "w": shape [4294967296 4294967296] of F32 does not fit into 4 bytes`},
		{"overflowing shape", safetensorsFile(`{"w":{"dtype":"F32","shape":[2,9223372036854775809],"data_offsets":[0,8]}}`, 8), `tensor "w": shape`},
		{"no elements", safetensorsFile(`{"w":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}`, 0), `tensor "w": shape [0 3]: a tensor without elements`},
		{"rank", safetensorsFile(`{"w":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, 1), "rank 9, at most 8"},
		{"shape beyond its bytes", safetensorsFile(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 8), `tensor "w": bytes 0 to 4 of 8, want 8 bytes`},
		{"bytes beyond the file", safetensorsFile(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 4), `tensor "w": bytes 4 to 8 of 4`},
		{"backwards", safetensorsFile(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), `tensor "w": bytes 4 to 0`},
		{"gap", safetensorsFile(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), `tensor "w": begins at byte`},
		{"overlap", safetensorsFile(`{"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6), `tensor "w": begins at byte`},
		{"bytes left over", safetensorsFile(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2), "the file at"},
		{"cut off", safetensorsFile(`{"w":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}`, 8), `tensor "w": shape [9] of U8 does not fit into 8 bytes`},
	} {
		_, err := decodeSafetensors(bytes.NewReader(c.file), int64(len(c.file)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := ReadSafetensors(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: error %v", err)
	}
}

func TestSafetensorsRefusesOtherTypes(t *testing.T) {
	s := batch.State{Tensors: map[string]*tensor.Dense{"w": tensor.New(tensor.WithBacking([]int16{1, 2}))}}
	err := WriteSafetensors(filepath.Join(t.TempDir(), "x"), s, nil)
	if err == nil || !strings.Contains(err.Error(), `tensor "w": type int16`) {
		t.Errorf("error %v", err)
	}
}

func FuzzReadSafetensors(f *testing.F) {
	for _, name := range []string{"testdata/python.safetensors", "testdata/clpipe.safetensors"} {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add(safetensorsFile(`{}`, 0))
	f.Add(safetensorsFile(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := decodeSafetensors(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		// What was read can be written and read again.
		var out bytes.Buffer
		if err := encodeSafetensors(&out, s, nil); err != nil {
			t.Fatal(err)
		}
		again, err := decodeSafetensors(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if s.Digest() != again.Digest() {
			t.Error("another digest after a round trip")
		}
	})
}
