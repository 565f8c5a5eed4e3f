package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Read reads an index, named in errors, from a file or a stream of that form. It
// holds no more than the samples it has met.
func Read(ctx context.Context, name string, src io.Reader) (*Index, error) {
	x, err := read(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", name, err)
	}
	return x, nil
}

func read(ctx context.Context, src io.Reader) (*Index, error) {
	records := batch.NewIPCFileReader("it", src, memory.DefaultAllocator)
	defer records.Drain()
	schema, err := records.Schema(ctx)
	if err != nil {
		return nil, err
	}
	kind, version := string(batch.KindOf(schema)), VersionArchives
	for version <= Version && kind != kindOf(version) {
		version++
	}
	if version > Version {
		return nil, fmt.Errorf("holds %.40q, want %q: make it by clpipe shards index", kind, kindOf(Version))
	}
	if want := schemaOf(version); !equalFields(schema, want) {
		return nil, fmt.Errorf("has columns %.400v, want %v", schema.Fields(), want.Fields())
	}
	b := build{Index: Index{version: version}}
	for {
		rec, err := records.Read(ctx)
		if errors.Is(err, io.EOF) {
			return b.finish(), nil
		}
		if err != nil {
			return nil, err
		}
		err = b.record(rec)
		rec.Release()
		if err != nil {
			return nil, err
		}
	}
}

// equalFields compares names and types; metadata and whether a field may be null
// are left to whoever wrote the file.
func equalFields(got, want *arrow.Schema) bool {
	if got.NumFields() != want.NumFields() {
		return false
	}
	for i, w := range want.Fields() {
		g := got.Field(i)
		if g.Name != w.Name {
			return false
		}
		if i != colSamples {
			if !arrow.TypeEqual(g.Type, w.Type) {
				return false
			}
			continue
		}
		list, ok := g.Type.(*arrow.ListType)
		if !ok {
			return false
		}
		fields, ok := list.Elem().(*arrow.StructType)
		wanted := w.Type.(*arrow.ListType).Elem().(*arrow.StructType).Fields()
		if !ok || len(fields.Fields()) != len(wanted) {
			return false
		}
		for j, f := range wanted {
			if g := fields.Field(j); g.Name != f.Name || !arrow.TypeEqual(g.Type, f.Type) {
				return false
			}
		}
	}
	return true
}

// record adds the shards of a record. A row or a sample that is null is one whose
// fields are.
func (b *build) record(rec arrow.Record) error {
	names, formats := rec.Column(colShard).(*array.String), rec.Column(colFormat).(*array.String)
	sizes, sums := rec.Column(colBytes).(*array.Int64), rec.Column(colSHA256).(*array.String)
	addresses, tags := rec.Column(colAddress).(*array.String), rec.Column(colETag).(*array.String)
	lists := rec.Column(colSamples).(*array.List)
	rows := samplesOf(lists.ListValues().(*array.Struct))
	for i := range int(rec.NumRows()) {
		if names.IsNull(i) || lists.IsNull(i) {
			return fmt.Errorf("shard %d has no name or no samples", len(b.shards))
		}
		err := b.add(Shard{
			Name: clone(names, i), Format: clone(formats, i), Bytes: number(sizes, i), SHA256: clone(sums, i),
			Address: clone(addresses, i), ETag: clone(tags, i),
		})
		if err != nil {
			return err
		}
		from, to := lists.ValueOffsets(i)
		for j := int(from); j < int(to); j++ {
			s := rows.sample(j)
			if !utf8.ValidString(s.Key) {
				return fmt.Errorf("shard %.200q: sample %d: the key %.200q is no UTF-8", clone(names, i), j-int(from), s.Key)
			}
			if err := b.sample(&s); err != nil {
				return err
			}
		}
	}
	return nil
}

// sampleRows are the columns of samples that are kept.
type sampleRows struct {
	key, damage             *array.String
	offset, at, size, label *array.Int64
	crc32c                  *array.Uint32
	packed, lead            *array.Uint32 // nil: of version 1
}

func samplesOf(s *array.Struct) sampleRows {
	r := sampleRows{
		key: s.Field(fieldKey).(*array.String), damage: s.Field(fieldDamage).(*array.String),
		offset: s.Field(fieldOffset).(*array.Int64), at: s.Field(fieldAt).(*array.Int64),
		size: s.Field(fieldSize).(*array.Int64), label: s.Field(fieldLabel).(*array.Int64),
		crc32c: s.Field(fieldCRC32C).(*array.Uint32),
	}
	if s.NumField() > fieldPacked {
		r.packed, r.lead = s.Field(fieldPacked).(*array.Uint32), s.Field(fieldLead).(*array.Uint32)
	}
	return r
}

func (r sampleRows) sample(i int) Sample {
	s := Sample{Offset: r.offset.Value(i), At: -1, Damage: clone(r.damage, i)}
	if !r.key.IsNull(i) {
		s.Key = r.key.Value(i)
	}
	if !r.size.IsNull(i) {
		s.Size = r.size.Value(i)
	}
	if !r.at.IsNull(i) {
		s.At = r.at.Value(i)
	}
	if !r.crc32c.IsNull(i) {
		s.CRC32C = r.crc32c.Value(i)
	}
	if r.packed != nil && !r.packed.IsNull(i) && !r.lead.IsNull(i) {
		s.Packed, s.Lead = int64(r.packed.Value(i)), int64(r.lead.Value(i))
	}
	if s.HasLabel = !r.label.IsNull(i); s.HasLabel {
		s.Label = r.label.Value(i)
	}
	return s
}

// clone returns a text that outlives its record, "" for none.
func clone(col *array.String, i int) string {
	if col.IsNull(i) {
		return ""
	}
	return string([]byte(col.Value(i)))
}

func number(col *array.Int64, i int) int64 {
	if col.IsNull(i) {
		return -1
	}
	return col.Value(i)
}
