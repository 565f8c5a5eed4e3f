package index

import (
	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
)

// Columns of a row, and fields of a sample, by their places.
const (
	colShard = iota
	colFormat
	colBytes
	colSHA256
	colAddress
	colETag
	colSamples
)

const (
	fieldKey = iota
	fieldOffset
	fieldAt
	fieldSize
	fieldCRC32C
	fieldWidth
	fieldHeight
	fieldFormat
	fieldLabel
	fieldDamage
)

// sampleType is a sample.
func sampleType() *arrow.StructType {
	optional := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	return arrow.StructOf(
		arrow.Field{Name: "key", Type: arrow.BinaryTypes.String},
		arrow.Field{Name: "offset", Type: arrow.PrimitiveTypes.Int64},
		optional("at", arrow.PrimitiveTypes.Int64),
		optional("size", arrow.PrimitiveTypes.Int64),
		optional("crc32c", arrow.PrimitiveTypes.Uint32),
		optional("width", arrow.PrimitiveTypes.Uint32),
		optional("height", arrow.PrimitiveTypes.Uint32),
		optional("format", arrow.BinaryTypes.String),
		optional("label", arrow.PrimitiveTypes.Int64),
		optional("damage", arrow.BinaryTypes.String),
	)
}

// schemaOf returns the schema of an index.
func schemaOf() *arrow.Schema {
	metadata := arrow.MetadataFrom(map[string]string{batch.KeySchema: kindOf(Version)})
	return arrow.NewSchema([]arrow.Field{
		{Name: "shard", Type: arrow.BinaryTypes.String},
		{Name: "format", Type: arrow.BinaryTypes.String},
		{Name: "bytes", Type: arrow.PrimitiveTypes.Int64},
		{Name: "sha256", Type: arrow.BinaryTypes.String},
		{Name: "address", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "etag", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "samples", Type: arrow.ListOfNonNullable(sampleType())},
	}, &metadata)
}
