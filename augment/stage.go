package augment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"clpipe/batch"
	"clpipe/internal/imagecodec"
	"clpipe/internal/par"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// StageConfig says how a stream of images becomes a stream of pairs.
type StageConfig struct {
	Policy *Policy
	// Seed names all draws. Nil takes the stream's own, or 1 if it has none.
	Seed *uint64
	// Rows is the number of pairs in a record; a record is shorter only at an
	// epoch's end or where samples were rejected.
	Rows    int
	Workers int // goroutines that decode and augment, 0: one for each processor; changes no byte
	// Limits bound what an encoded image may claim.
	Limits imagecodec.Limits
	// ExifTranspose turns encoded images upright, as their EXIF data say, before
	// anything else.
	ExifTranspose bool
	// Rejects is told of images that cannot be decoded or augmented. Required.
	Rejects *batch.Rejects
	Mem     memory.Allocator
}

// Stage returns the stage that reads images/1 or encoded/1 and writes pairs/1.
// Encoded images are decoded here, once for both views.
func Stage(cfg StageConfig) batch.Stage {
	return func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		schema, err := in.Schema(ctx)
		if errors.Is(err, io.EOF) {
			return errors.New("augment: the stream ended before it said what it holds")
		}
		if err != nil {
			return err
		}
		kind, err := batch.Expect(schema, batch.EncodedKind, batch.ImagesKind)
		if err != nil {
			return err
		}
		if cfg.Policy.FastDecode() && kind == batch.ImagesKind {
			return errors.New("augment: fast decode: the stream holds decoded images, want their files, as clpipe ingest --encoded writes them")
		}
		meta := batch.MetadataOf(schema)
		st := &stage{StageConfig: cfg, encoded: kind == batch.EncodedKind}
		if st.seed, err = seedOf(cfg.Seed, meta); err != nil {
			return err
		}
		meta[batch.KeySeed] = strconv.FormatUint(st.seed, 10)
		meta[batch.KeyPolicy] = cfg.Policy.String()
		st.schema = batch.PairsSchema(meta, cfg.Policy.Views(), cfg.Policy.Shape()...)
		if count, size := cfg.Policy.Locals(); count > 0 {
			st.schema = batch.WithLocal(st.schema, count, size)
		}
		if err := out.Open(ctx, st.schema); err != nil {
			return err
		}
		return st.run(ctx, in, out)
	}
}

// seedOf returns the seed asked for, else the stream's, else 1.
func seedOf(asked *uint64, meta batch.Metadata) (uint64, error) {
	if asked != nil {
		return *asked, nil
	}
	text, ok := meta[batch.KeySeed]
	if !ok {
		return 1, nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("augment: the stream's %s is %.40q, want an unsigned number", batch.KeySeed, text)
	}
	return seed, nil
}

// HeldBytes is how many bytes of images a record of pairs may wait for, beside those
// of one record that is read: beyond, the views of the images that are there are made
// before the record is full. workers are StageConfig's: of photographs, decoded, there
// are two for each.
func HeldBytes(workers int) int64 { return 16 << 20 * int64(max(par.Count(workers), 4)) }

// stage is a running Stage: it gathers the rows of a record of pairs, makes
// their views on a pool of workers, and sends the record on.
type stage struct {
	StageConfig
	seed    uint64
	encoded bool
	schema  *arrow.Schema
	sources []*source // records that the gathered rows lie in, from the first without views
	rows    []row     // gathered
	made    int       // of them, whose views are there
	held    int64     // bytes of the images of the others
	workers []worker
	views   *batch.ViewMemory
	builder *batch.PairsBuilder // of the record being made; nil: no views yet
	room    int                 // rows of builder
	took    func()              // is told of every image that is done with: a record may take long
}

// source is a record of images, with its view.
type source struct {
	rec     arrow.Record
	images  *batch.Images
	encoded *batch.Encoded
	*batch.Samples
}

// bytes is the length of an image.
func (s *source) bytes(i int) int64 {
	if s.encoded != nil {
		return int64(len(s.encoded.Bytes(i)))
	}
	pix, _, _ := s.images.Image(i)
	return int64(len(pix))
}

// row is an image at its place in a source, and what became of it.
type row struct {
	src *source
	at  int
	err *batch.Reject
}

// worker is the scratch memory of one goroutine.
type worker struct {
	decoder imagecodec.Decoder
	image   imagecodec.Image
	scratch Scratch
}

func (st *stage) run(ctx context.Context, in batch.Reader, out batch.Writer) error {
	pool := par.NewPool(st.Workers)
	defer pool.Close()
	st.workers = make([]worker, pool.Workers())
	for i := range st.workers {
		st.workers[i].decoder = imagecodec.Decoder{Limits: st.Limits, Upright: st.ExifTranspose}
	}
	st.took = func() { batch.Advance(out) }
	st.views = batch.NewViewMemory(st.Mem)
	defer st.views.Close()
	defer st.releaseSources(nil)
	defer func() {
		if st.builder != nil {
			st.builder.Release()
		}
	}()

	for epoch := uint32(0); ; {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return st.endEpoch(ctx, pool, out, epoch)
		}
		if err != nil {
			return err
		}
		src, err := st.open(rec)
		if err != nil {
			rec.Release()
			return err
		}
		st.sources = append(st.sources, src)
		for i := range src.Len() {
			if e := src.Epoch(i); e != epoch {
				if err := st.endEpoch(ctx, pool, out, epoch); err != nil {
					return err
				}
				epoch = e
			}
			st.held += src.bytes(i)
			if st.rows = append(st.rows, row{src: src, at: i}); len(st.rows) == st.Rows {
				if err := st.flush(ctx, pool, out, epoch); err != nil {
					return err
				}
			}
		}
		if st.held > HeldBytes(st.Workers) {
			st.makeViews(pool, st.Rows)
		}
		st.releaseSources(st.rows[st.made:])
	}
}

// open views a record.
func (st *stage) open(rec arrow.Record) (*source, error) {
	src := &source{rec: rec}
	var err error
	if st.encoded {
		if src.encoded, err = batch.NewEncoded(rec); err == nil {
			src.Samples = &src.encoded.Samples
		}
	} else if src.images, err = batch.NewImages(rec); err == nil {
		src.Samples = &src.images.Samples
	}
	return src, err
}

// releaseSources lets go of the records that none of the given rows, the last ones
// gathered, lie in. Rows lie in sources in order, so these are the first ones.
func (st *stage) releaseSources(held []row) {
	keep := len(st.sources)
	if len(held) > 0 {
		for keep = 0; st.sources[keep] != held[0].src; keep++ {
		}
	}
	for _, src := range st.sources[:keep] {
		src.rec.Release()
	}
	st.sources = slices.Delete(st.sources, 0, keep)
}

// endEpoch sends what is left of an epoch and checks its rejects.
func (st *stage) endEpoch(ctx context.Context, pool *par.Pool, out batch.Writer, epoch uint32) error {
	if err := st.flush(ctx, pool, out, epoch); err != nil {
		return err
	}
	return st.Rejects.EndEpoch(epoch)
}

// makeViews makes the views of the gathered rows that have none, in a record of up to
// so many rows.
func (st *stage) makeViews(pool *par.Pool, room int) {
	if st.builder == nil {
		st.builder, st.room = st.views.NewPairsBuilder(st.schema, room), room
	}
	rows := st.rows[st.made:]
	if len(rows) == 0 {
		return
	}
	first := st.made
	pool.Run(par.Phase{Tasks: len(rows), Run: func(worker, i int) {
		st.view(worker, first+i)
		st.took()
	}})
	for i := range rows {
		rows[i].src = nil // it would keep the record's memory
	}
	st.made, st.held = len(st.rows), 0
}

// flush makes the views of the gathered rows, all of one epoch, and sends them
// as one record, without those that turned out unreadable.
func (st *stage) flush(ctx context.Context, pool *par.Pool, out batch.Writer, epoch uint32) error {
	if len(st.rows) == 0 {
		return nil
	}
	st.makeViews(pool, len(st.rows))
	st.Rejects.Tried(epoch, len(st.rows))
	keep := make([]bool, st.room)
	kept := 0
	for i, r := range st.rows {
		if r.err == nil {
			keep[i] = true
			kept++
			continue
		}
		if err := st.Rejects.Add(*r.err); err != nil {
			return err
		}
	}
	builder := st.builder
	st.rows, st.made, st.builder = st.rows[:0], 0, nil
	if kept == 0 {
		builder.Release()
		return nil
	}
	return out.Write(ctx, builder.NewRecord(keep))
}

// view makes the views of gathered row i, straight into the record being built.
func (st *stage) view(workerNumber, i int) {
	w, r := &st.workers[workerNumber], &st.rows[i]
	src := r.src
	index, _ := src.Index(r.at)
	label, hasLabel := src.Label(r.at)
	id := src.ID(r.at) // lies in the source
	if len(st.rows) < st.room {
		id = strings.Clone(id) // which is let go of before the record is full
	}
	out := batch.Row{ID: id, Epoch: src.Epoch(r.at), Index: index, Label: label, HasLabel: hasLabel}
	st.builder.SetRow(i, out)
	reject := func(what string, err error) {
		r.err = &batch.Reject{Key: strings.Clone(id), Epoch: out.Epoch, Index: out.Index, What: what, Why: err.Error(), Lost: 1}
		if st.encoded {
			r.err.Offset = src.encoded.Offset(r.at)
		}
	}
	key := SampleKey{Seed: st.seed, Epoch: out.Epoch, ID: out.ID}
	img := &w.image
	if st.encoded {
		if err := st.Policy.Decode(&w.decoder, src.encoded.Bytes(r.at), key, img); err != nil {
			reject("decode", err)
			return
		}
	} else {
		pix, h, wd := src.images.Image(r.at)
		img = &imagecodec.Image{W: wd, H: h, Pix: pix}
	}
	var positive []byte
	if st.Policy.Views() > 1 {
		positive = st.builder.View(1, i)
	}
	err := st.Policy.Apply(st.builder.View(0, i), positive, img, key, &w.scratch)
	if err == nil {
		err = st.Policy.ApplyLocal(st.builder.Local(i), img, key, &w.scratch)
	}
	if err != nil {
		reject("augment", err)
	}
}
