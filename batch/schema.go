package batch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
)

// A Kind names what the records of a stream hold, with the version of the layout.
type Kind string

// The kinds of stream, as they stand in the schema's metadata.
const (
	ImagesKind     Kind = "images/1"
	EncodedKind    Kind = "encoded/1"
	PairsKind      Kind = "pairs/1"
	EmbeddingsKind Kind = "embeddings/1"
)

// Keys of the schema's metadata. All but KeySchema are optional.
const (
	KeySchema  = "clpipe.schema"
	KeySeed    = "clpipe.seed"
	KeySource  = "clpipe.source" // without credentials and query
	KeyPolicy  = "clpipe.policy"
	KeyClasses = "clpipe.classes"
	KeyFrom    = "clpipe.from" // first sample, as EPOCH:INDEX; where it is not the first of all
)

// maker names the command whose output is a stream of the kind.
var maker = map[Kind]string{
	ImagesKind:     "clpipe ingest",
	EncodedKind:    "clpipe ingest --encoded",
	PairsKind:      "clpipe augment",
	EmbeddingsKind: "clpipe embed",
}

// Metadata is the optional part of a schema's metadata, by key.
type Metadata map[string]string

// KindOf returns what the schema says its records are, "" if it says nothing.
func KindOf(s *arrow.Schema) Kind {
	m := s.Metadata()
	if i := m.FindKey(KeySchema); i >= 0 {
		return Kind(m.Values()[i])
	}
	return ""
}

// MetadataOf returns the schema's metadata except its kind.
func MetadataOf(s *arrow.Schema) Metadata {
	out := Metadata{}
	m := s.Metadata()
	for i, k := range m.Keys() {
		if k != KeySchema {
			out[k] = m.Values()[i]
		}
	}
	return out
}

// Expect returns the kind of the schema if it is one of want. Otherwise the
// error says what arrived, what is needed, and which command makes it.
func Expect(s *arrow.Schema, want ...Kind) (Kind, error) {
	got := KindOf(s)
	for _, k := range want {
		if got == k {
			return got, nil
		}
	}
	makers := make([]string, len(want))
	kinds := make([]string, len(want))
	for i, k := range want {
		kinds[i], makers[i] = string(k), "`"+maker[k]+"`"
	}
	need := fmt.Sprintf("want %s, which %s writes", strings.Join(kinds, " or "), strings.Join(makers, " or "))
	name, version, _ := strings.Cut(string(got), "/")
	for _, k := range want {
		if n, v, _ := strings.Cut(string(k), "/"); n == name && v != version {
			return "", fmt.Errorf("batch: schema: the stream is %.80q, a version this clpipe does not know: %s", got, need)
		}
	}
	if got == "" {
		return "", fmt.Errorf("batch: schema: the stream does not say what it holds (no %s in its metadata): %s", KeySchema, need)
	}
	return "", fmt.Errorf("batch: schema: the stream is %.80q: %s", got, need)
}

// sampleFields are the columns that every record of samples begins with.
func sampleFields() []arrow.Field {
	return []arrow.Field{
		{Name: "id", Type: arrow.BinaryTypes.String},
		{Name: "epoch", Type: arrow.PrimitiveTypes.Uint32},
		{Name: "index", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}
}

func schemaOf(kind Kind, m Metadata, fields ...arrow.Field) *arrow.Schema {
	all := map[string]string{KeySchema: string(kind)}
	for k, v := range m {
		if v != "" {
			all[k] = v
		}
	}
	meta := arrow.MetadataFrom(all)
	return arrow.NewSchema(fields, &meta)
}

// ImagesSchema is the schema of decoded images: uint8 [H,W,3], RGB.
func ImagesSchema(m Metadata) *arrow.Schema {
	return schemaOf(ImagesKind, m, append(sampleFields(), arrow.Field{Name: "image", Type: NewVariableShapeTensor(3)})...)
}

// EncodedSchema is the schema of images as the bytes of their files.
func EncodedSchema(m Metadata) *arrow.Schema {
	return schemaOf(EncodedKind, m, append(sampleFields(), arrow.Field{Name: "image", Type: arrow.BinaryTypes.Binary})...)
}

// offsetColumn holds a sample's offset in its shard.
const offsetColumn = "offset"

// EncodedSchemaWithOffsets is EncodedSchema with a column "offset" int64, the
// sample's place in its shard, so that a later stage of the same process can
// name it in an error. It is not part of the format between processes.
func EncodedSchemaWithOffsets(m Metadata) *arrow.Schema {
	return schemaOf(EncodedKind, m, append(sampleFields(),
		arrow.Field{Name: "image", Type: arrow.BinaryTypes.Binary},
		arrow.Field{Name: offsetColumn, Type: arrow.PrimitiveTypes.Int64})...)
}

// PairsSchema is the schema of pairs: views uint8 of the given shape, [S,S,3]
// or for patches [G,G,P,P,3]; one-view methods have no positive.
func PairsSchema(m Metadata, views int, shape ...int) *arrow.Schema {
	fields := append(sampleFields(), arrow.Field{Name: "anchor", Type: NewFixedShapeTensor(shape...)})
	if views > 1 {
		fields = append(fields, arrow.Field{Name: "positive", Type: NewFixedShapeTensor(shape...)})
	}
	return schemaOf(PairsKind, m, fields...)
}

// localColumn holds the local views of pairs, uint8 [V,s,s,3]. Readers that do not
// know it pass over it.
const localColumn = "local"

// WithLocal returns a schema of pairs with count local views of size x size pixels
// for each row.
func WithLocal(s *arrow.Schema, count, size int) *arrow.Schema {
	m := s.Metadata()
	fields := append(slices.Clone(s.Fields()), arrow.Field{Name: localColumn, Type: NewFixedShapeTensor(count, size, size, 3)})
	return arrow.NewSchema(fields, &m)
}

// LocalShape returns the shape [V,s,s,3] of the local views of a schema of pairs,
// nil if it has none.
func LocalShape(s *arrow.Schema) []int {
	for _, f := range s.Fields() {
		if t, ok := f.Type.(*FixedShapeTensor); ok && f.Name == localColumn && isLocal(t.Shape) {
			return t.Shape
		}
	}
	return nil
}

// EmbeddingsSchema is the schema of embeddings of dim numbers.
func EmbeddingsSchema(m Metadata, dim int) *arrow.Schema {
	return schemaOf(EmbeddingsKind, m,
		arrow.Field{Name: "id", Type: arrow.BinaryTypes.String},
		arrow.Field{Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		arrow.Field{Name: "embedding", Type: arrow.FixedSizeListOf(int32(dim), arrow.PrimitiveTypes.Float32)})
}

// ViewShape returns the shape of the views of a schema of pairs, [S,S,3] or
// [G,G,P,P,3], nil if it has no anchor of such a shape.
func ViewShape(s *arrow.Schema) []int {
	for _, f := range s.Fields() {
		if t, ok := f.Type.(*FixedShapeTensor); ok && f.Name == "anchor" && isView(t.Shape) {
			return t.Shape
		}
	}
	return nil
}

// FromOf returns the position of the first sample, readable or not, that the
// producer of a stream began with, if it said so.
func FromOf(s *arrow.Schema) (from Position, ok bool) {
	from, err := ParsePosition(MetadataOf(s)[KeyFrom])
	return from, err == nil
}

// SeedOf returns the seed that the producer of a stream recorded.
func SeedOf(s *arrow.Schema) (seed uint64, ok bool) {
	seed, err := strconv.ParseUint(MetadataOf(s)[KeySeed], 10, 64)
	return seed, err == nil
}
