package batch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

func init() {
	// Deserialize needs a registered value to be called on; which one does not matter.
	for _, t := range []arrow.ExtensionType{NewFixedShapeTensor(1), NewVariableShapeTensor(1)} {
		if err := arrow.RegisterExtensionType(t); err != nil {
			panic(err) // registered twice: two versions of this package are linked
		}
	}
}

// FixedShapeTensor is the canonical extension type arrow.fixed_shape_tensor:
// every row is an array of the same shape, row-major. Ours are of uint8; others
// can be read as a column, not as views.
type FixedShapeTensor struct {
	arrow.ExtensionBase
	Shape []int
}

// NewFixedShapeTensor returns the type of rows of the given shape, as in [S,S,3].
func NewFixedShapeTensor(shape ...int) *FixedShapeTensor {
	return &FixedShapeTensor{
		ExtensionBase: arrow.ExtensionBase{Storage: arrow.FixedSizeListOf(int32(product(shape)), arrow.PrimitiveTypes.Uint8)},
		Shape:         shape,
	}
}

type tensorMetadata struct {
	Shape        []int    `json:"shape,omitempty"`
	DimNames     []string `json:"dim_names,omitempty"`
	Permutation  []int    `json:"permutation,omitempty"`
	UniformShape []*int   `json:"uniform_shape,omitempty"`
}

// ArrayType implements arrow.ExtensionType.
func (*FixedShapeTensor) ArrayType() reflect.Type { return reflect.TypeOf(FixedShapeTensorArray{}) }

// ExtensionName implements arrow.ExtensionType.
func (*FixedShapeTensor) ExtensionName() string { return "arrow.fixed_shape_tensor" }

// Serialize implements arrow.ExtensionType.
func (t *FixedShapeTensor) Serialize() string {
	names := []string{"H", "W", "C"}
	if len(t.Shape) == 5 {
		names = []string{"GH", "GW", "H", "W", "C"} // a grid of patches
	}
	m := tensorMetadata{Shape: t.Shape}
	if len(names) == len(t.Shape) {
		m.DimNames = names
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // integers and strings always encode
	}
	return string(text)
}

// String implements arrow.DataType.
func (t *FixedShapeTensor) String() string {
	return fmt.Sprintf("fixed_shape_tensor<%s>%v", t.Storage.(*arrow.FixedSizeListType).Elem(), t.Shape)
}

// ExtensionEquals implements arrow.ExtensionType.
func (t *FixedShapeTensor) ExtensionEquals(o arrow.ExtensionType) bool {
	other, ok := o.(*FixedShapeTensor)
	return ok && slices.Equal(t.Shape, other.Shape) && arrow.TypeEqual(t.Storage, other.Storage)
}

// Deserialize implements arrow.ExtensionType. The shape must fill the list.
func (*FixedShapeTensor) Deserialize(storage arrow.DataType, data string) (arrow.ExtensionType, error) {
	list, ok := storage.(*arrow.FixedSizeListType)
	if !ok {
		return nil, fmt.Errorf("batch: arrow.fixed_shape_tensor: storage is %s, want fixed_size_list", storage)
	}
	var m tensorMetadata
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return nil, fmt.Errorf("batch: arrow.fixed_shape_tensor: metadata %.80q: %w", data, err)
	}
	for i, p := range m.Permutation {
		if p != i {
			return nil, fmt.Errorf("batch: arrow.fixed_shape_tensor: permutation %v is not supported, write row-major rows", m.Permutation)
		}
	}
	n := 1
	for _, d := range m.Shape {
		if d < 0 || (d > 0 && n > int(list.Len())/d) {
			n = -1
			break
		}
		n *= d
	}
	if n != int(list.Len()) {
		return nil, fmt.Errorf("batch: arrow.fixed_shape_tensor: shape %v does not fill lists of %d", m.Shape, list.Len())
	}
	return &FixedShapeTensor{ExtensionBase: arrow.ExtensionBase{Storage: storage}, Shape: m.Shape}, nil
}

// FixedShapeTensorArray is a column of FixedShapeTensor.
type FixedShapeTensorArray struct{ array.ExtensionArrayBase }

// VariableShapeTensor is the canonical extension type
// arrow.variable_shape_tensor over uint8: every row is an array of the same
// rank and its own shape, row-major; storage is struct<data: list<uint8>,
// shape: fixed_size_list<int32>[rank]>.
type VariableShapeTensor struct {
	arrow.ExtensionBase
	Rank int
}

// NewVariableShapeTensor returns the type of rows of the given rank, 3 for [H,W,3].
func NewVariableShapeTensor(rank int) *VariableShapeTensor {
	return &VariableShapeTensor{
		ExtensionBase: arrow.ExtensionBase{Storage: arrow.StructOf(
			arrow.Field{Name: "data", Type: arrow.ListOf(arrow.PrimitiveTypes.Uint8), Nullable: true},
			arrow.Field{Name: "shape", Type: arrow.FixedSizeListOf(int32(rank), arrow.PrimitiveTypes.Int32), Nullable: true},
		)},
		Rank: rank,
	}
}

// ArrayType implements arrow.ExtensionType.
func (*VariableShapeTensor) ArrayType() reflect.Type {
	return reflect.TypeOf(VariableShapeTensorArray{})
}

// ExtensionName implements arrow.ExtensionType.
func (*VariableShapeTensor) ExtensionName() string { return "arrow.variable_shape_tensor" }

// Serialize implements arrow.ExtensionType.
func (t *VariableShapeTensor) Serialize() string {
	if t.Rank != 3 {
		return "{}"
	}
	three := 3
	text, err := json.Marshal(tensorMetadata{DimNames: []string{"H", "W", "C"}, UniformShape: []*int{nil, nil, &three}})
	if err != nil {
		panic(err) // integers and strings always encode
	}
	return string(text)
}

// String implements arrow.DataType.
func (t *VariableShapeTensor) String() string {
	return fmt.Sprintf("variable_shape_tensor<uint8>[rank %d]", t.Rank)
}

// ExtensionEquals implements arrow.ExtensionType.
func (t *VariableShapeTensor) ExtensionEquals(o arrow.ExtensionType) bool {
	other, ok := o.(*VariableShapeTensor)
	return ok && t.Rank == other.Rank && arrow.TypeEqual(t.Storage, other.Storage)
}

// Deserialize implements arrow.ExtensionType.
func (*VariableShapeTensor) Deserialize(storage arrow.DataType, data string) (arrow.ExtensionType, error) {
	st, ok := storage.(*arrow.StructType)
	if !ok || st.NumFields() != 2 || st.Field(0).Name != "data" || st.Field(1).Name != "shape" {
		return nil, fmt.Errorf("batch: arrow.variable_shape_tensor: storage is %s, want struct<data, shape>", storage)
	}
	shape, ok := st.Field(1).Type.(*arrow.FixedSizeListType)
	if !ok {
		return nil, fmt.Errorf("batch: arrow.variable_shape_tensor: shape is %s, want fixed_size_list<int32>", st.Field(1).Type)
	}
	var m tensorMetadata
	if data != "" {
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return nil, fmt.Errorf("batch: arrow.variable_shape_tensor: metadata %.80q: %w", data, err)
		}
	}
	for i, p := range m.Permutation {
		if p != i {
			return nil, fmt.Errorf("batch: arrow.variable_shape_tensor: permutation %v is not supported, write row-major rows", m.Permutation)
		}
	}
	return &VariableShapeTensor{ExtensionBase: arrow.ExtensionBase{Storage: storage}, Rank: int(shape.Len())}, nil
}

// VariableShapeTensorArray is a column of VariableShapeTensor.
type VariableShapeTensorArray struct{ array.ExtensionArrayBase }

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
