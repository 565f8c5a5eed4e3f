package contrast

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"clpipe/batch"
	"clpipe/internal/rng"

	"github.com/apache/arrow/go/v15/arrow"
)

// Batch is what a step trains on.
type Batch struct {
	Anchor, Positive []byte         // uint8 [N,S,S,3], or as the method has its views; Positive nil where it has one
	Local            []byte         // uint8 [N,V,s,s,3], the local views; nil where the method takes none
	IDs              []uint64       // [N]: hashes of the samples' ids, 0 for none
	Labels           []int32        // [N], in [0,Config.Dim); nil where the method takes none
	Epoch            uint32         // of all rows
	Next             batch.Position // behind the last row
}

// batcher cuts a stream of pairs into batches of n rows of one epoch. Where a
// record is just one batch, as it is inside the process, its columns are used
// in place; other records are copied together.
type batcher struct {
	in      batch.Reader
	n       int
	shape   []int          // of a view
	width   int            // bytes of a view
	one     bool           // the method takes one view
	local   []int          // shape of a sample's local views; nil: the method takes none
	classes int            // of the labels; 0: the method takes none
	from    batch.Position // rows before it are dropped
	stated  bool           // the stream says itself where it begins
	order   orderHash

	rec    arrow.Record // being read, with its view
	pairs  *batch.Pairs
	row    int            // next row of rec
	seen   batch.Position // of the row last seen
	begun  bool           // a row has been seen
	last   int64          // epoch of the batch last given, -1 before the first
	out    Batch
	copies [3][]byte // the batch being copied together: anchors, positives, local views
	ids    [][]byte  // copies: a record may be gone before the batch is trained
}

func newBatcher(in batch.Reader, cfg Config, from batch.Position, order orderHash) *batcher {
	b := &batcher{in: in, n: cfg.Batch, shape: cfg.ViewShape(), width: 1, one: cfg.OneView(), local: cfg.LocalShape(), from: from, order: order, last: -1}
	for _, d := range b.shape {
		b.width *= d
	}
	b.out.IDs, b.ids = make([]uint64, b.n), make([][]byte, b.n)
	if cfg.method().labelled {
		b.classes, b.out.Labels = cfg.Dim, make([]int32, b.n)
	}
	return b
}

// release frees the record that the last batch may still lie in.
func (b *batcher) release() {
	if b.rec != nil {
		b.rec.Release()
		b.rec = nil
	}
}

// next returns the next batch, valid until the call after, or io.EOF. Rows left
// over at the end of an epoch are dropped.
func (b *batcher) next(ctx context.Context) (*Batch, error) {
	filled := 0
	for {
		if b.rec == nil || b.row == b.pairs.Len() {
			err := b.read(ctx)
			if errors.Is(err, io.EOF) && b.last < 0 && b.from == (batch.Position{}) {
				return nil, &EpochError{Samples: filled, Batch: b.n}
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		at, err := b.position(b.row)
		if err != nil {
			return nil, err
		}
		if at.Before(b.from) {
			b.row++
			continue
		}
		if filled > 0 && at.Epoch != b.out.Epoch {
			if b.isFirst(b.out.Epoch) {
				return nil, &EpochError{Samples: filled, Batch: b.n}
			}
			filled = 0 // the tail of the epoch before
		}
		if filled == 0 && b.isBatch() {
			b.out.Anchor, b.out.Positive, b.out.Local = b.pairs.Anchor, b.pairs.Positive, b.pairs.Local
			if err := b.take(0, 0); err != nil {
				return nil, err
			}
			for b.row = 1; b.row < b.n; b.row++ {
				if at, err = b.position(b.row); err != nil {
					return nil, err
				}
				if err := b.take(b.row, b.row); err != nil {
					return nil, err
				}
			}
			return b.finish(at), nil
		}
		if filled == 0 {
			b.copyAnew()
		}
		copy(b.out.Anchor[filled*b.width:], b.pairs.Anchor[b.row*b.width:(b.row+1)*b.width])
		if !b.one {
			copy(b.out.Positive[filled*b.width:], b.pairs.Positive[b.row*b.width:(b.row+1)*b.width])
		}
		if b.local != nil {
			width := b.localWidth()
			copy(b.out.Local[filled*width:], b.pairs.Local[b.row*width:(b.row+1)*width])
		}
		if err := b.take(filled, b.row); err != nil {
			return nil, err
		}
		b.out.Epoch = at.Epoch
		filled++
		b.row++
		if filled == b.n {
			return b.finish(at), nil
		}
	}
}

// copyAnew begins a batch that is copied together.
func (b *batcher) copyAnew() {
	if b.copies[0] == nil {
		b.copies[0] = make([]byte, b.n*b.width)
		if !b.one {
			b.copies[1] = make([]byte, b.n*b.width)
		}
		if b.local != nil {
			b.copies[2] = make([]byte, b.n*b.localWidth())
		}
	}
	b.out.Anchor, b.out.Positive, b.out.Local = b.copies[0], b.copies[1], b.copies[2]
}

// localWidth is the bytes of a sample's local views.
func (b *batcher) localWidth() int {
	width := 1
	for _, d := range b.local {
		width *= d
	}
	return width
}

// isFirst reports whether a batch of the epoch would be its first one.
func (b *batcher) isFirst(epoch uint32) bool {
	return int64(epoch) != b.last && (epoch > b.from.Epoch || b.from.Index == 0)
}

// An EpochError says that an epoch has fewer readable samples than a batch: no
// step can be made of it.
type EpochError struct{ Samples, Batch int }

// Error names both numbers.
func (e *EpochError) Error() string {
	return fmt.Sprintf("contrast: train: an epoch has %d readable samples, a batch %d: lower --batch", e.Samples, e.Batch)
}

// take notes whose the batch's row i is: that of a row of the record.
func (b *batcher) take(i, row int) error {
	id := b.pairs.ID(row)
	b.ids[i], b.out.IDs[i] = append(b.ids[i][:0], id...), 0
	if id != "" {
		b.out.IDs[i] = rng.HashID(id)
	}
	if b.classes > 0 {
		label, ok := b.pairs.Label(row)
		if !ok || label < 0 || label >= int64(b.classes) {
			return &LabelError{ID: string(b.ids[i]), Label: label, None: !ok, Classes: b.classes}
		}
		b.out.Labels[i] = int32(label)
	}
	return nil
}

func (b *batcher) finish(last batch.Position) *Batch {
	b.out.Epoch, b.last = last.Epoch, int64(last.Epoch)
	b.out.Next = batch.Position{Epoch: last.Epoch, Index: last.Index + 1}
	return &b.out
}

// trained extends the order's hash by the batch: it counts once it is trained.
func (b *batcher) trained() {
	for _, id := range b.ids {
		b.order.add(id)
	}
}

// isBatch reports whether the record is one batch, of which row 0 comes next.
// Epochs only rise: if the first and the last row are of one, all are.
func (b *batcher) isBatch() bool {
	return b.row == 0 && b.pairs.Len() == b.n && b.pairs.Epoch(0) == b.pairs.Epoch(b.n-1)
}

// position returns the place of a row, asked once for each in turn. It checks
// that the stream goes forward and, at the first row, that nothing is missing
// before it.
func (b *batcher) position(row int) (batch.Position, error) {
	at := batch.Position{Epoch: b.pairs.Epoch(row)}
	if index, numbered := b.pairs.Index(row); numbered {
		at.Index = index
	} else if b.begun && at.Epoch == b.seen.Epoch {
		at.Index = b.seen.Index + 1
	}
	if b.begun && !b.seen.Before(at) {
		return at, fmt.Errorf("contrast: row %v of the stream comes after %v: rows must rise by epoch and, in it, by index", at, b.seen)
	}
	if !b.begun && !b.stated {
		// The first samples may have been rejected, but not whole epochs, and
		// none of those that a run has trained on before.
		if late := b.from.Before(at); late && (at.Epoch > b.from.Epoch || b.from.Index > 0) {
			return at, b.beginsLate(at)
		}
	}
	b.begun, b.seen = true, at
	return at, nil
}

// read moves on to the next record.
func (b *batcher) read(ctx context.Context) error {
	b.release()
	rec, err := b.in.Read(ctx)
	if err != nil {
		return err
	}
	b.rec, b.row = rec, 0
	if b.pairs, err = batch.NewPairs(rec); err != nil {
		return err
	}
	if !slices.Equal(b.pairs.Shape, b.shape) {
		return fmt.Errorf("contrast: the stream holds views of %v, the method takes %v: give both the same --size, and augment the --policy of the method", b.pairs.Shape, b.shape)
	}
	if b.local != nil && !slices.Equal(b.pairs.LocalShape, b.local) {
		return fmt.Errorf("contrast: the stream holds local views of %v, the method takes %v: give both the same --local-crops and --local-size", b.pairs.LocalShape, b.local)
	}
	if !b.one && b.pairs.Positive == nil && b.pairs.Len() > 0 {
		return errors.New("contrast: the stream has no column \"positive\", which this method needs: augment with a policy of two views")
	}
	return nil
}

// open waits for the stream and checks what it holds.
func (b *batcher) open(ctx context.Context) error {
	schema, err := b.in.Schema(ctx)
	if errors.Is(err, io.EOF) {
		return errors.New("contrast: the stream ended before it said what it holds")
	}
	if err != nil {
		return err
	}
	if _, err = batch.Expect(schema, batch.PairsKind); err != nil {
		return err
	}
	start, stated := batch.FromOf(schema)
	if b.stated = stated; stated && b.from.Before(start) {
		return b.beginsLate(start)
	}
	return nil
}

func (b *batcher) beginsLate(at batch.Position) error {
	return fmt.Errorf("contrast: the stream begins at %v, the run goes on at %v: start the producer with `clpipe ingest --from %v --epochs 0`", at, b.from, b.from)
}

// orderHash is a chained SHA-256 of the trained ids: h ← SHA-256(h, id, 0).
type orderHash [sha256.Size]byte

func (h *orderHash) add(id []byte) {
	var buf [sha256.Size + 256]byte
	text := append(buf[:0], h[:]...)
	text = append(text, id...)
	*h = sha256.Sum256(append(text, 0))
}
