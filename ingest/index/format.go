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
	fieldPacked // since version 2, as what follows
	fieldLead
)

// sampleType is a sample in an index of a version.
func sampleType(version int) *arrow.StructType {
	optional := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	fields := []arrow.Field{
		{Name: "key", Type: arrow.BinaryTypes.String},
		{Name: "offset", Type: arrow.PrimitiveTypes.Int64},
		optional("at", arrow.PrimitiveTypes.Int64),
		optional("size", arrow.PrimitiveTypes.Int64),
		optional("crc32c", arrow.PrimitiveTypes.Uint32),
		optional("width", arrow.PrimitiveTypes.Uint32),
		optional("height", arrow.PrimitiveTypes.Uint32),
		optional("format", arrow.BinaryTypes.String),
		optional("label", arrow.PrimitiveTypes.Int64),
		optional("damage", arrow.BinaryTypes.String),
		optional("packed", arrow.PrimitiveTypes.Uint32),
		optional("lead", arrow.PrimitiveTypes.Uint32),
	}
	if version < VersionTables {
		fields = fields[:fieldPacked]
	}
	return arrow.StructOf(fields...)
}

// schemaOf returns the schema of an index of a version.
func schemaOf(version int) *arrow.Schema {
	metadata := arrow.MetadataFrom(map[string]string{batch.KeySchema: kindOf(version)})
	return arrow.NewSchema([]arrow.Field{
		{Name: "shard", Type: arrow.BinaryTypes.String},
		{Name: "format", Type: arrow.BinaryTypes.String},
		{Name: "bytes", Type: arrow.PrimitiveTypes.Int64},
		{Name: "sha256", Type: arrow.BinaryTypes.String},
		{Name: "address", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "etag", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "samples", Type: arrow.ListOfNonNullable(sampleType(version))},
	}, &metadata)
}
