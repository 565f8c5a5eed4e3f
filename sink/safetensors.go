package sink

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"

	"clpipe/batch"

	"github.com/nlpodyssey/safetensors"
	"gorgonia.org/tensor"
)

// Limits on what a file from outside may claim. A network of 320 tensors has a
// header of 40 KB.
const (
	maxHeaderBytes = 16 << 20
	maxRank        = 8
)

// ReadSafetensors reads all tensors of a file: F32, F64, I32, I64, U8, U32 and
// U64 as they are, F16 and BF16 as F32. Others are valid but not supported.
// Nothing is allocated for a tensor that the file does not hold in full. The
// state has no cursor.
func ReadSafetensors(path string) (batch.State, error) {
	s, err := readSafetensorsFile(path)
	if err != nil {
		return batch.State{}, fmt.Errorf("sink: read safetensors: %s: %w", path, err)
	}
	return s, nil
}

func readSafetensorsFile(path string) (batch.State, error) {
	info, err := os.Stat(path)
	if err != nil {
		return batch.State{}, err
	}
	if !info.Mode().IsRegular() { // a pipe would block, and has no size
		return batch.State{}, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return batch.State{}, err
	}
	defer f.Close()
	return decodeSafetensors(f, info.Size())
}

// stored is a tensor as the header describes it.
type stored struct {
	name  string
	dtype safetensors.DType
	shape []int
	n     int   // elements
	at    int64 // offset in the file
}

// decodeSafetensors reads a file of the given size: the length of the header
// as a little-endian uint64, the header in JSON, the tensors row-major and
// little-endian, without gaps.
// (https://huggingface.co/docs/safetensors, section Format)
func decodeSafetensors(r io.ReaderAt, size int64) (batch.State, error) {
	tensors, err := readHeader(r, size)
	if err != nil {
		return batch.State{}, err
	}
	s := batch.State{Tensors: make(map[string]*tensor.Dense, len(tensors))}
	for _, t := range tensors {
		if s.Tensors[t.name], err = t.read(r); err != nil {
			return batch.State{}, fmt.Errorf("tensor %.100q: %w", t.name, err)
		}
	}
	return s, nil
}

// readHeader returns the tensors by their place in the file, each of them
// checked to lie within it.
func readHeader(r io.ReaderAt, size int64) ([]stored, error) {
	if size > math.MaxInt {
		return nil, fmt.Errorf("file has %d bytes, more than this machine can address", size)
	}
	var length [8]byte
	if size < int64(len(length)) {
		return nil, fmt.Errorf("file has %d bytes, too short for a header", size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > uint64(size-8) || n > maxHeaderBytes {
		return nil, fmt.Errorf("header claims %d bytes, the file has %d, the limit is %d", n, size-8, maxHeaderBytes)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var header safetensors.Metadata
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}

	begin := int64(8 + n)
	infos := header.Tensors()
	tensors := make([]stored, 0, len(infos))
	for name, info := range infos {
		t, err := describe(name, info, size-begin)
		if err != nil {
			return nil, fmt.Errorf("header: tensor %.100q: %w", name, err)
		}
		t.at += begin
		tensors = append(tensors, t)
	}
	slices.SortFunc(tensors, func(a, b stored) int { return cmp.Compare(a.at, b.at) })
	end := begin
	for _, t := range tensors {
		if t.at != end {
			return nil, fmt.Errorf("header: tensor %.100q: begins at byte %d, want %d", t.name, t.at, end)
		}
		end += int64(t.n) * int64(t.dtype.Size())
	}
	if end != size {
		return nil, fmt.Errorf("tensors end at byte %d, the file at %d", end, size)
	}
	return tensors, nil
}

// describe checks one entry of the header against the bytes there are; at
// counts from the first of them.
func describe(name string, info *safetensors.TensorInfo, bytes int64) (stored, error) {
	if len(info.Shape) > maxRank {
		return stored{}, fmt.Errorf("rank %d, at most %d is supported", len(info.Shape), maxRank)
	}
	t := stored{name: name, dtype: info.DType, n: 1}
	limit := uint64(bytes) / info.DType.Size()
	for _, d := range info.Shape {
		if d == 0 {
			return stored{}, fmt.Errorf("shape %v: a tensor without elements is not supported", info.Shape)
		}
		if d > limit/uint64(t.n) {
			return stored{}, fmt.Errorf("shape %v of %s does not fit into %d bytes", info.Shape, info.DType, bytes)
		}
		t.n *= int(d)
		t.shape = append(t.shape, int(d))
	}
	from, to := info.DataOffsets[0], info.DataOffsets[1]
	if want := uint64(t.n) * info.DType.Size(); from > to || to > uint64(bytes) || to-from != want {
		return stored{}, fmt.Errorf("bytes %d to %d of %d, want %d bytes for shape %v of %s", from, to, bytes, want, info.Shape, info.DType)
	}
	t.at = int64(from)
	return t, nil
}

func (t stored) read(r io.ReaderAt) (*tensor.Dense, error) {
	switch t.dtype {
	case safetensors.F32:
		return readElements[float32](r, t)
	case safetensors.F64:
		return readElements[float64](r, t)
	case safetensors.I32:
		return readElements[int32](r, t)
	case safetensors.I64:
		return readElements[int64](r, t)
	case safetensors.U8:
		return readElements[uint8](r, t)
	case safetensors.U32:
		return readElements[uint32](r, t)
	case safetensors.U64:
		return readElements[uint64](r, t)
	case safetensors.F16:
		return readHalf(r, t, float16)
	case safetensors.BF16:
		return readHalf(r, t, bfloat16)
	}
	return nil, fmt.Errorf("type %s is not supported, want F16, BF16, F32, F64, I32, I64, U8, U32 or U64", t.dtype)
}

// readElements reads straight into the tensor's memory, which like the file is
// little-endian on every machine that clpipe is built for.
func readElements[T batch.Number](r io.ReaderAt, t stored) (*tensor.Dense, error) {
	dense := batch.NewTensor(make([]T, t.n), t.shape...)
	if _, err := r.ReadAt(batch.Bytes(dense), t.at); err != nil {
		return nil, err
	}
	return dense, nil
}

// readHalf widens 16-bit floats, which loses nothing.
func readHalf(r io.ReaderAt, t stored, widen func(uint16) float32) (*tensor.Dense, error) {
	raw := make([]byte, 2*t.n)
	if _, err := r.ReadAt(raw, t.at); err != nil {
		return nil, err
	}
	wide := make([]float32, t.n)
	for i := range wide {
		wide[i] = widen(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return batch.NewTensor(wide, t.shape...), nil
}

// WriteSafetensors writes the tensors of a state to a file, beside it first and
// then renamed. metadata, which may be nil, goes into the header; the cursor
// does not. The same state gives the same bytes.
func WriteSafetensors(path string, s batch.State, metadata map[string]string) error {
	err := replaceFile(osDisk{}, path, func(w io.Writer) error { return encodeSafetensors(w, s, metadata) })
	if err != nil {
		return fmt.Errorf("sink: write safetensors: %s: %w", path, err)
	}
	return nil
}

func encodeSafetensors(w io.Writer, s batch.State, metadata map[string]string) error {
	views := make(map[string]safetensorsView, len(s.Tensors))
	for _, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		v, err := viewOf(s.Tensors[name])
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		views[name] = v
	}
	return safetensors.SerializeToWriter(views, metadata, w)
}

// safetensorsView shows a tensor to the library, without copying it.
type safetensorsView struct {
	dtype safetensors.DType
	shape []uint64
	bytes []byte
}

func (v safetensorsView) DType() safetensors.DType { return v.dtype }
func (v safetensorsView) Shape() []uint64          { return v.shape }
func (v safetensorsView) Data() []byte             { return v.bytes }
func (v safetensorsView) DataLen() uint64          { return uint64(len(v.bytes)) }

// dtypes are the element types of a State, by gorgonia's name.
var dtypes = map[string]safetensors.DType{
	"float32": safetensors.F32,
	"float64": safetensors.F64,
	"int32":   safetensors.I32,
	"int64":   safetensors.I64,
	"uint8":   safetensors.U8,
	"uint32":  safetensors.U32,
	"uint64":  safetensors.U64,
}

func viewOf(t *tensor.Dense) (safetensorsView, error) {
	dtype, ok := dtypes[t.Dtype().String()]
	if !ok {
		return safetensorsView{}, fmt.Errorf("type %s has no place in a safetensors file", t.Dtype())
	}
	// Not nil, which JSON would spell null: a scalar's shape is [].
	v := safetensorsView{dtype: dtype, shape: []uint64{}, bytes: batch.Bytes(t)}
	n := uint64(1)
	for _, d := range t.Shape() {
		v.shape = append(v.shape, uint64(d))
		n *= uint64(d)
	}
	if n == 0 || n*dtype.Size() != uint64(len(v.bytes)) {
		return safetensorsView{}, fmt.Errorf("holds %d bytes, want %d for shape %v of %s", len(v.bytes), n*dtype.Size(), t.Shape(), dtype)
	}
	return v, nil
}
