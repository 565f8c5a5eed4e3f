package main

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"io"
	"slices"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/internal/imagecodec"
	"clpipe/internal/par"
	"clpipe/internal/synth"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// benchImages is how many images a bench keeps in memory: enough that no branch
// predictor learns them. Of large ones, which are slow to draw, fewer do.
const (
	benchImages = 256
	largeImages = 16
	largeSide   = 200 // pixels
)

// A shelf keeps the records of a stream in memory, to be read again and again.
type shelf struct {
	schema  *arrow.Schema
	records []arrow.Record
}

// Open implements batch.Writer.
func (s *shelf) Open(_ context.Context, schema *arrow.Schema) error {
	s.schema = schema
	return nil
}

// Write implements batch.Writer.
func (s *shelf) Write(_ context.Context, rec arrow.Record) error {
	s.records = append(s.records, rec)
	return nil
}

func (s *shelf) rows() int {
	n := 0
	for _, rec := range s.records {
		n += int(rec.NumRows())
	}
	return n
}

func (s *shelf) release() {
	for _, rec := range s.records {
		rec.Release()
	}
	s.records = nil
}

// reader reads the shelf round and round until more says no; nil reads it once.
// Rows are numbered as they are read, like those of one long epoch.
func (s *shelf) reader(more func() bool) batch.Reader { return &shelfReader{shelf: s, more: more} }

type shelfReader struct {
	*shelf
	more func() bool
	next int    // record
	rows uint64 // read so far
}

// Schema implements batch.Reader.
func (r *shelfReader) Schema(context.Context) (*arrow.Schema, error) { return r.schema, nil }

// Read implements batch.Reader.
func (r *shelfReader) Read(ctx context.Context) (arrow.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.more == nil && r.next == len(r.records) || r.more != nil && !r.more() {
		return nil, io.EOF
	}
	rec := r.records[r.next%len(r.records)]
	r.next++
	return r.numbered(rec), nil
}

// numbered returns the record with the rows' places in the order of reading.
func (r *shelfReader) numbered(rec arrow.Record) arrow.Record {
	b := array.NewUint64Builder(memory.DefaultAllocator)
	defer b.Release()
	for range rec.NumRows() {
		b.Append(r.rows)
		r.rows++
	}
	index := b.NewArray()
	defer index.Release()
	columns := slices.Clone(rec.Columns())
	columns[rec.Schema().FieldIndices("index")[0]] = index
	return array.NewRecord(rec.Schema(), columns, rec.NumRows())
}

// countRows is a batch.Writer that keeps nothing.
type countRows struct{ rows int }

func (c *countRows) Open(context.Context, *arrow.Schema) error { return nil }

func (c *countRows) Write(_ context.Context, rec arrow.Record) error {
	c.rows += int(rec.NumRows())
	rec.Release()
	return nil
}

// files returns images as they lie in their files, encoded/1: those of --src,
// or drawn ones of a side.
func (b *bench) files(ctx context.Context, side int) (*shelf, error) {
	if len(b.source.src) == 0 {
		return b.drawn(side)
	}
	rejects, err := b.source.rejects()
	if err != nil {
		return nil, err
	}
	log, err := b.common.log(b.std)
	if err != nil {
		return nil, err
	}
	cfg, err := b.source.ingestConfig(&b.common, rejects, log)
	if err != nil {
		return nil, err
	}
	cfg.Encoded, cfg.Epochs = true, 1
	if cfg.Limit == 0 {
		cfg.Limit = benchImages
	}
	src, err := openSource(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &shelf{}
	if err := batch.Run(ctx, streamDepth, nil, s, src.Stage()); err != nil {
		s.release()
		return nil, err
	}
	if s.rows() == 0 {
		return nil, fmt.Errorf("bench: %s holds no image", b.source.names())
	}
	return s, nil
}

// drawn returns synthetic images as JPEG files.
func (b *bench) drawn(side int) (*shelf, error) {
	n := benchImages
	if side >= largeSide {
		n = largeImages
	}
	if b.source.limit > 0 {
		n = b.source.limit
	}
	files, errs := make([][]byte, n), make([]error, n)
	classes := len(synth.Classes())
	b.pool.Run(par.Phase{Tasks: n, Run: func(_, i int) {
		var buf bytes.Buffer
		errs[i] = jpeg.Encode(&buf, synth.Draw(b.common.seed, i%classes, i, side), &jpeg.Options{Quality: 90})
		files[i] = buf.Bytes()
	}})
	schema := batch.EncodedSchema(nil)
	builder := batch.NewEncodedBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for i, file := range files {
		if errs[i] != nil {
			return nil, errs[i]
		}
		builder.Append(batch.Row{ID: fmt.Sprintf("drawn/%06d", i), Index: uint64(i)}, file)
	}
	return &shelf{schema: schema, records: []arrow.Record{builder.NewRecord()}}, nil
}

// drawnSide is the side of the drawn images for views of a size: as large as
// photos are for large views.
func drawnSide(size int) int {
	if size > 96 {
		return 400
	}
	return size
}

// decoded returns the images of encoded records, images/1.
func (b *bench) decoded(files *shelf) (*shelf, error) {
	schema := batch.ImagesSchema(nil)
	builder := batch.NewImagesBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	out := &shelf{schema: schema}
	var (
		decoder imagecodec.Decoder
		img     imagecodec.Image
	)
	for _, rec := range files.records {
		view, err := batch.NewEncoded(rec)
		if err != nil {
			return nil, err
		}
		for i := range view.Len() {
			if decoder.Decode(view.Bytes(i), &img) != nil {
				continue // a damaged sample of --src; ingest's limit holds
			}
			index, _ := view.Index(i)
			builder.Append(batch.Row{ID: view.ID(i), Index: index}, img.Pix, img.H, img.W)
		}
		if builder.Len() > 0 {
			out.records = append(out.records, builder.NewRecord())
		}
	}
	if out.rows() == 0 {
		return nil, fmt.Errorf("bench: none of %d images can be decoded", files.rows())
	}
	return out, nil
}

// pairs returns records of n pairs each that a policy makes of files, as many
// records as asked for.
func (b *bench) pairs(ctx context.Context, files *shelf, policy *augment.Policy, n, records int) (*shelf, error) {
	stage, err := b.augmentStage(policy, n)
	if err != nil {
		return nil, err
	}
	s := &shelf{}
	left := (n*records + files.rows() - 1) / files.rows() * len(files.records)
	more := func() bool { left--; return left >= 0 }
	if err := stage(ctx, files.reader(more), s); err != nil {
		s.release()
		return nil, err
	}
	if s.rows() < n {
		return nil, fmt.Errorf("bench: the images gave %d pairs, a batch is %d", s.rows(), n)
	}
	return s, nil
}

// augmentStage is the main job's stage, which rejects what it cannot read.
func (b *bench) augmentStage(policy *augment.Policy, rows int) (batch.Stage, error) {
	return augmentStage(&b.common, &b.source, policy, rows, &batch.Rejects{Max: 1}, &b.common.seed)
}
