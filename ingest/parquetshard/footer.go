package parquetshard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"clpipe/ingest/shard"
	"clpipe/ingest/table"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// Limits on what a file may make the reader hold.
const (
	maxFooter = 64 << 20 // some 10,000 row groups of a wide table
	maxRows   = 1 << 24  // of one file: the hashes of their paths are held
	tailBytes = 64 << 10 // read at once from the end: most footers fit
)

const trailerBytes = 8 // the footer's length and the magic number

// Magic begins and ends a file.
const Magic = "PAR1"

// footer is what the end of a file says.
type footer struct {
	meta *metadata.FileMetaData
	rows int64
	// leaves are the places of the columns that are read among the file's
	// leaf columns, -1: none.
	bytes, path, label int
}

// readFooter reads the end of obj, which has the given length.
func readFooter(ctx context.Context, obj shard.Object, size int64) (*footer, error) {
	if size < int64(len(Magic)+trailerBytes) {
		return nil, damage("open", fmt.Errorf("%d bytes are no Parquet file", size))
	}
	tail := make([]byte, min(size, tailBytes))
	if err := shard.ReadRange(ctx, obj, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	trailer := tail[len(tail)-trailerBytes:]
	if string(trailer[4:]) != Magic {
		return nil, damage("open", errors.New("truncated, or no Parquet file: it does not end in PAR1"))
	}
	length := int64(binary.LittleEndian.Uint32(trailer))
	if length > size-trailerBytes-int64(len(Magic)) || length > maxFooter {
		return nil, damage("open", fmt.Errorf("a footer of %d bytes in a file of %d, at most %d are read", length, size, maxFooter))
	}
	if need := length + trailerBytes; need > int64(len(tail)) {
		tail = make([]byte, need)
		if err := shard.ReadRange(ctx, obj, tail, size-need); err != nil {
			return nil, err
		}
	}
	f, err := parseFooter(tail[int64(len(tail))-trailerBytes-length : len(tail)-trailerBytes])
	if err != nil {
		return nil, damage("open", err)
	}
	return f, nil
}

// parseFooter reads a footer that nothing is known of.
func parseFooter(text []byte) (f *footer, err error) {
	walk := compact{src: text}
	if walk.skip(compactStruct, 0); walk.err != nil {
		return nil, fmt.Errorf("the footer is damaged: %w", walk.err)
	}
	defer recovered(&err)
	meta, err := metadata.NewFileMetaData(bytes.Clone(text), nil)
	if err != nil {
		return nil, fmt.Errorf("the footer is damaged: %w", err)
	}
	if meta.IsSetEncryptionAlgorithm() {
		return nil, errors.New("the file is encrypted, which is not supported")
	}
	f = &footer{meta: meta, bytes: -1, path: -1, label: -1}
	for i := range meta.RowGroups {
		n := meta.RowGroups[i].NumRows
		if n < 0 || n > maxRows || f.rows+n > maxRows {
			return nil, fmt.Errorf("row group %d has %d rows, a file at most %d", i, n, maxRows)
		}
		f.rows += n
	}
	if f.rows != meta.GetNumRows() {
		return nil, fmt.Errorf("the footer claims %d rows, its row groups have %d", meta.GetNumRows(), f.rows)
	}
	return f, f.choose()
}

// choose finds the columns of the samples.
func (f *footer) choose() error {
	hugging := ""
	if m := f.meta.KeyValueMetadata().FindValue("huggingface"); m != nil {
		hugging = *m
	}
	root := f.meta.Schema.Root()
	columns := make([]table.Column, root.NumFields())
	for i := range columns {
		columns[i] = column(root.Field(i))
	}
	layout, err := table.Choose(columns, hugging)
	if err != nil {
		return err
	}
	image := root.Field(layout.Image)
	if layout.Bytes >= 0 {
		group := image.(*schema.GroupNode)
		f.bytes = f.meta.Schema.ColumnIndexByNode(group.Field(layout.Bytes))
		if layout.Path >= 0 {
			f.path = f.meta.Schema.ColumnIndexByNode(group.Field(layout.Path))
		}
	} else {
		f.bytes = f.meta.Schema.ColumnIndexByNode(image)
	}
	if layout.Label >= 0 {
		f.label = f.meta.Schema.ColumnIndexByNode(root.Field(layout.Label))
	}
	if f.path < 0 && layout.ID >= 0 {
		f.path = f.meta.Schema.ColumnIndexByNode(root.Field(layout.ID))
	}
	return nil
}

// column describes a node of the schema. What repeats is none of ours.
func column(n schema.Node) table.Column {
	c := table.Column{Name: n.Name()}
	if n.RepetitionType() == parquet.Repetitions.Repeated {
		return c
	}
	switch n := n.(type) {
	case *schema.PrimitiveNode:
		c.Kind = kind(n)
	case *schema.GroupNode:
		c.Kind = table.Record
		for i := range n.NumFields() {
			if p, ok := n.Field(i).(*schema.PrimitiveNode); ok && p.RepetitionType() != parquet.Repetitions.Repeated {
				c.Fields = append(c.Fields, table.Column{Name: p.Name(), Kind: kind(p)})
			} else {
				c.Fields = append(c.Fields, table.Column{Name: n.Field(i).Name()})
			}
		}
	}
	return c
}

func kind(n *schema.PrimitiveNode) table.Kind {
	switch n.PhysicalType() {
	case parquet.Types.ByteArray:
		if _, text := n.LogicalType().(schema.StringLogicalType); text || n.ConvertedType() == schema.ConvertedTypes.UTF8 {
			return table.Text
		}
		if t := n.LogicalType(); t == nil || t.IsNone() {
			return table.Bytes
		}
	case parquet.Types.Int32, parquet.Types.Int64:
		switch n.LogicalType().(type) {
		case schema.NoLogicalType, *schema.IntLogicalType, nil:
			return table.Integer
		}
	}
	return table.Other
}

// damage is what is wrong with the file as a whole.
func damage(what string, why error) error { return &shard.Damage{What: what, Why: why} }

// recovered makes an error of a panic over damaged bytes in Arrow's library.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the file is damaged: %v", p)
	}
}
