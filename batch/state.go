package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"gorgonia.org/tensor"
)

// State is what a run needs to go on exactly where it stopped: named tensors
// (weights, optimiser, queue, batch-norm buffers) and a cursor, any JSON value
// that says the rest. Packages that keep state give theirs out and take it back
// as a State; sink puts it on disk.
type State struct {
	Tensors map[string]*tensor.Dense
	Cursor  json.RawMessage
}

// Add puts the tensors of another state under prefix, as in "encoder_q."; its
// cursor stays behind.
func (s *State) Add(prefix string, other State) {
	if s.Tensors == nil {
		s.Tensors = map[string]*tensor.Dense{}
	}
	for name, t := range other.Tensors {
		s.Tensors[prefix+name] = t
	}
}

// Under returns the tensors below prefix, which their names lose.
func (s State) Under(prefix string) State {
	out := State{Tensors: map[string]*tensor.Dense{}}
	for name, t := range s.Tensors {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" {
			out.Tensors[rest] = t
		}
	}
	return out
}

// Digest returns the SHA-256, in hexadecimal, of all tensors sorted by name.
// Of each: its name and its type (as "float32"), both led by their length; the
// number of dimensions and the dimensions; the elements, row-major. Numbers are
// 64-bit, all is little-endian. The cursor is not part of it.
func (s State) Digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		t := s.Tensors[name]
		writeString(h, name)
		writeString(h, t.Dtype().String())
		shape := t.Shape()
		writeInt(h, len(shape))
		for _, d := range shape {
			writeInt(h, d)
		}
		h.Write(Bytes(t))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writeInt(w io.Writer, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	w.Write(b[:]) // a hash: never fails
}

func writeString(w io.Writer, s string) {
	writeInt(w, len(s))
	io.WriteString(w, s)
}

// Number is an element type a State may hold.
type Number interface {
	float32 | float64 | int32 | int64 | uint8 | uint32 | uint64
}

// NewTensor wraps data, row-major, without copying it. No shape makes a scalar,
// for which data holds one element, which is copied. It panics if data does not
// fill the shape.
func NewTensor[T Number](data []T, shape ...int) *tensor.Dense {
	if n := product(shape); n != len(data) {
		panic(fmt.Sprintf("batch: NewTensor: %d elements for shape %v", len(data), shape))
	}
	if len(shape) == 0 {
		return tensor.New(tensor.FromScalar(data[0]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// Values returns the elements of a tensor without copying them. It fails if
// they are not of type T, or not in the given shape (none given: any).
func Values[T Number](t *tensor.Dense, shape ...int) ([]T, error) {
	if len(shape) > 0 && !slices.Equal([]int(t.Shape()), shape) {
		return nil, fmt.Errorf("batch: tensor has shape %v, want %v", t.Shape(), shape)
	}
	var zero T
	if got, want := t.Dtype().String(), fmt.Sprintf("%T", zero); got != want {
		return nil, fmt.Errorf("batch: tensor holds %s, want %s", got, want)
	}
	b := Bytes(t)
	if len(b) == 0 {
		return nil, nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(zero))), nil
}

// Bytes returns the memory of a tensor's elements, not a copy. The tensor is
// row-major without gaps, as NewTensor makes it, not a slice of another.
func Bytes(t *tensor.Dense) []byte { return t.Raw }
