package ingest

import (
	"context"
	"unsafe"

	"clpipe/batch"
	"clpipe/internal/imagecodec"

	"github.com/apache/arrow/go/v15/arrow"
)

// worker reads and decodes the samples of one job at a time.
type worker struct {
	source  *Source
	fetch   fetchers
	build   builder
	id      []byte // of the sample that is added
	pending result // what was done since the last record
}

func newWorker(s *Source, schema *arrow.Schema) *worker {
	w := &worker{source: s, fetch: fetchers{source: s}}
	if s.cfg.Encoded {
		w.build = encodedRecords{batch.NewEncodedBuilder(s.cfg.Mem, schema)}
	} else {
		w.build = &imageRecords{
			ImagesBuilder: batch.NewImagesBuilder(s.cfg.Mem, schema),
			dec:           imagecodec.Decoder{Limits: imagecodec.Limits{MaxPixels: s.cfg.MaxPixels}, Upright: s.cfg.ExifTranspose},
		}
	}
	return w
}

func (w *worker) close() { w.build.Release() }

// do sends the job's results. Its only error is the context's.
func (w *worker) do(ctx context.Context, j *job) error {
	defer w.fetch.close()
	w.build.reserve(j.bytes)
	for i := range j.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.sample(ctx, j, i); err != nil {
			return err
		}
	}
	if w.pending.seen == 0 {
		return nil
	}
	return w.flush(ctx, j)
}

// sample adds the job's i-th sample to the record or to the rejects.
func (w *worker) sample(ctx context.Context, j *job, i int) error {
	e, index := &j.entries[i], j.index(i)
	defer e.release()
	file, what, err := w.fetch.image(ctx, e)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		e.givenUp = e.givenUp || e.sample.Damage == nil
	default:
		what = "decode"
		var size int64
		if size, err = w.build.decode(file); err != nil {
			break
		}
		if w.build.Len() > 0 && int64(w.build.Bytes())+size > w.source.cfg.RecordBytes {
			if err := w.flush(ctx, j); err != nil {
				return err
			}
		}
		w.id = w.source.appendID(w.id[:0], e)
		w.build.append(batch.Row{
			ID: unsafe.String(unsafe.SliceData(w.id), len(w.id)), Epoch: j.epoch, Index: index,
			Label: e.sample.Label, HasLabel: e.sample.HasLabel, Offset: e.sample.Offset,
		}, file)
		e.readable = true
	}
	if err != nil {
		w.pending.rejects = append(w.pending.rejects, w.source.reject(e, j.epoch, index, what, err))
	}
	w.pending.seen += e.lost
	return nil
}

// flush sends what is pending.
func (w *worker) flush(ctx context.Context, j *job) error {
	r := w.pending
	w.pending = result{}
	if w.build.Len() > 0 {
		r.rec = w.build.NewRecord()
	}
	select {
	case j.results <- r:
		return nil
	case <-ctx.Done():
		if r.rec != nil {
			r.rec.Release()
		}
		return ctx.Err()
	}
}

// builder makes records of files.
type builder interface {
	// reserve makes room for files of so many bytes together.
	reserve(bytes int64)
	// decode prepares a file and returns the bytes its image takes.
	decode(file []byte) (int64, error)
	// append adds the file that was decoded last. It keeps nothing of the row's id.
	append(row batch.Row, file []byte)
	Len() int
	Bytes() int
	NewRecord() arrow.Record
	Release()
}

// encodedRecords takes files as they are.
type encodedRecords struct{ *batch.EncodedBuilder }

func (b encodedRecords) reserve(bytes int64) { b.Reserve(int(bytes)) }

func (b encodedRecords) decode(file []byte) (int64, error) { return int64(len(file)), nil }

func (b encodedRecords) append(row batch.Row, file []byte) { b.Append(row, file) }

// imageRecords decodes files to RGB.
type imageRecords struct {
	*batch.ImagesBuilder
	dec imagecodec.Decoder
	img imagecodec.Image
}

func (b *imageRecords) reserve(int64) {} // pixels are no matter of the files' sizes

func (b *imageRecords) decode(file []byte) (int64, error) {
	err := b.dec.Decode(file, &b.img)
	return int64(len(b.img.Pix)), err
}

func (b *imageRecords) append(row batch.Row, _ []byte) { b.Append(row, b.img.Pix, b.img.H, b.img.W) }
