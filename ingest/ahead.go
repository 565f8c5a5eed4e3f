package ingest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync/atomic"

	"clpipe/ingest/fragment"
	"clpipe/ingest/remote"
	"clpipe/ingest/shard"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// How images are read ahead. Samples wanted soon that lie close together in a
// shard are read at once, with what lies between them: of a remote shard a
// request takes as long as some hundred KB, of a local one as a few.
const (
	remoteReads = remote.MaxIdle // requests under way
	localReads  = 8
	remoteGap   = 128 << 10 // most bytes that are read to be dropped, in a row
	keptGap     = 8 << 10   // most of them that are held with the images about them
	longestSpan = 4 << 20   // unless a single image is longer
	passBytes   = 64 << 10  // read at a time where some are dropped
)

// readAhead reads the images of an indexed set before their turn: a planner goes
// through the order and cuts it into windows, readers bring what each window
// needs. What it holds is bounded by AheadBytes, or one image.
type readAhead struct {
	source  *Source
	windows chan window
	spans   chan *span
	room    *semaphore.Weighted // bytes
	files   openFiles
	current window // the dealer's
}

// window is a run of this rank's samples that stand side by side in the order of
// one epoch.
type window []entry

// span is a run of bytes of a shard that are read at once.
type span struct {
	of       *readAhead
	shard    int
	from, to int64
	pieces   []piece       // what is held of it, in order
	room     int64         // taken of the bytes that may be held
	left     atomic.Int32  // samples in it that are still to be used, and its reader
	done     chan struct{} // closed once bytes or err is there
	bytes    shard.Sample  // whose Image the pieces are, one after the other
	err      error
}

// piece is a run of bytes of a span: an image, or some that lie close together.
type piece struct {
	from, to int64
	at       int64 // of the first in the span's Image
}

func newReadAhead(s *Source) *readAhead {
	return &readAhead{
		source: s, windows: make(chan window, 1), spans: make(chan *span),
		room: semaphore.NewWeighted(s.cfg.AheadBytes), files: openFiles{source: s},
	}
}

// start runs the planner and the readers.
func (a *readAhead) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error {
		defer close(a.spans)
		defer close(a.windows)
		return a.plan(ctx)
	})
	readers := localReads
	for _, m := range a.source.shards {
		if _, local := m.obj.(shard.RandomAccess); !local {
			readers = remoteReads
			break
		}
	}
	for range readers {
		g.Go(func() error {
			var pass *bufio.Reader
			for sp := range a.spans {
				sp.bytes.NewImage(0)
				if len(sp.pieces) == 1 {
					sp.err = a.files.read(ctx, sp.shard, sp.bytes.Image, sp.from)
				} else {
					if pass == nil {
						pass = bufio.NewReaderSize(nil, passBytes)
					}
					sp.err = sp.pass(ctx, a.source.shards[sp.shard].obj, pass)
				}
				close(sp.done)
				sp.leave()
			}
			return nil
		})
	}
}

// pass reads the span from end to end and keeps its pieces.
func (sp *span) pass(ctx context.Context, obj shard.Object, through *bufio.Reader) error {
	src, err := shard.OpenRange(ctx, obj, sp.from, sp.to)
	if err != nil {
		return err
	}
	defer src.Close()
	through.Reset(src)
	at := sp.from
	for _, p := range sp.pieces {
		if _, err := through.Discard(int(p.from - at)); err != nil {
			return sp.short(err)
		}
		if _, err := io.ReadFull(through, sp.bytes.Image[p.at:][:p.to-p.from]); err != nil {
			return sp.short(err)
		}
		at = p.to
	}
	return nil
}

func (sp *span) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the %d bytes at %d are cut off: %w", sp.to-sp.from, sp.from, io.ErrUnexpectedEOF)
	}
	return err
}

// close lets go of the images that nobody waits for any more, and closes what the
// readers have opened. They have ended.
func (a *readAhead) close() {
	left := a.current
	for ok := true; ok; left, ok = <-a.windows {
		for i := range left {
			left[i].release()
		}
	}
	a.files.close()
}

// plan sends the windows of all epochs, and the spans of each after it. One
// window waits while the one before it is used: both, and what is read between
// their samples, fit into the room there is, so that whoever waits for room gets
// it in the end.
func (a *readAhead) plan(ctx context.Context) error {
	s := a.source
	for epoch := s.cfg.From.Epoch; s.hasEpoch(epoch) && s.epochRows(epoch) > 0; epoch++ {
		err := s.eachWindow(epoch, s.fromIndex(epoch), func(w window) error { return a.send(ctx, w) })
		if err != nil {
			return err
		}
	}
	return nil
}

// eachWindow cuts this rank's samples of an epoch, from a place in its order on,
// into windows.
func (s *Source) eachWindow(epoch uint32, from uint64, f func(window) error) error {
	most := s.cfg.AheadBytes / 4
	at := s.permutation(epoch)
	var w window
	bytes := int64(0)
	for n, rows := s.ownBefore(from), int(s.epochRows(epoch)); n < rows; n++ {
		e := s.index.entry(at(s.ownPlace(n)), s.cfg.MaxSampleBytes)
		if len(w) > 0 && (bytes+e.sample.StoredSize() > most || len(w) == maxWindow) {
			if err := f(w); err != nil {
				return err
			}
			w, bytes = nil, 0
		}
		w = append(w, e)
		bytes += e.sample.StoredSize()
	}
	if len(w) == 0 {
		return nil
	}
	return f(w)
}

// maxWindow bounds the samples of a window: of tiny images, what is kept of each
// beside its bytes counts.
const maxWindow = 1 << 14

// send hands out a window and has its spans read.
func (a *readAhead) send(ctx context.Context, w window) error {
	spans := a.source.cut(w)
	select {
	case a.windows <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, sp := range spans {
		sp.of = a
		sp.room = min(sp.bytes.Size, a.source.cfg.AheadBytes)
		if err := a.room.Acquire(ctx, sp.room); err != nil {
			return err
		}
		select {
		case a.spans <- sp:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// cut returns the spans that hold the entries' images, by the first entry that
// needs each.
func (s *Source) cut(entries []entry) []*span {
	places := make([]int, 0, len(entries))
	for i := range entries {
		if entries[i].sample.Damage == nil {
			places = append(places, i)
		}
	}
	slices.SortFunc(places, func(i, j int) int {
		x, y := &entries[i], &entries[j]
		return cmp.Or(cmp.Compare(x.shard, y.shard), cmp.Compare(x.sample.At, y.sample.At), cmp.Compare(i, j))
	})
	type ordered struct {
		*span
		first int
	}
	var spans []ordered
	spare := s.cfg.AheadBytes / 4 // bytes that may be held without being wanted
	for _, i := range places {
		e := &entries[i]
		from, to := e.sample.At, e.sample.At+e.sample.StoredSize()
		if last := len(spans) - 1; last >= 0 && spans[last].shard == e.shard {
			sp := &spans[last]
			gap := max(from-sp.to, 0)
			held := gap <= min(keptGap, spare)
			if (held || gap <= s.gap(e.shard)) && to-sp.from <= longestSpan {
				if held {
					spare -= gap
				}
				sp.add(e, held)
				sp.first = min(sp.first, i)
				continue
			}
		}
		sp := &span{shard: e.shard, from: from, to: from, done: make(chan struct{})}
		sp.left.Store(1)
		sp.add(e, false)
		spans = append(spans, ordered{sp, i})
	}
	slices.SortFunc(spans, func(x, y ordered) int { return cmp.Compare(x.first, y.first) })
	out := make([]*span, len(spans))
	for i := range spans {
		out[i] = spans[i].span
	}
	return out
}

// add makes the span bring an entry's image, which does not begin before those that
// it brings: in its last piece, up to which the bytes between are held then, or in
// one of its own.
func (sp *span) add(e *entry, held bool) {
	from, to := e.sample.At, e.sample.At+e.sample.StoredSize()
	if !held {
		sp.pieces = append(sp.pieces, piece{from: from, to: from, at: sp.bytes.Size})
	}
	p := &sp.pieces[len(sp.pieces)-1]
	e.ahead, e.at = sp, p.at+from-p.from
	p.to = max(p.to, to)
	sp.bytes.Size = p.at + p.to - p.from
	sp.to = max(sp.to, to)
	sp.left.Add(1)
}

// gap is how many bytes of a shard may be read to be dropped, in a row: none of a
// local one, which is read at any place as fast.
func (s *Source) gap(place int) int64 {
	if _, local := s.shards[place].obj.(shard.RandomAccess); local {
		return -1
	}
	return remoteGap
}

// image returns an entry's image, which is valid until the entry is released or, one
// that was packed, buf is used again.
func (sp *span) image(ctx context.Context, e *entry, buf *[]byte) ([]byte, error) {
	select {
	case <-sp.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if sp.err == nil {
		if file, err := e.checked(sp.bytes.Image[e.at:][:e.sample.StoredSize()], buf); err == nil {
			return file, nil
		}
	} else if errors.Is(sp.err, shard.ErrFinal) || ctx.Err() != nil {
		return nil, sp.err
	}
	// Not all of the span may be lost, and bytes may have changed on their way.
	stored := make([]byte, e.sample.StoredSize())
	if err := sp.of.files.read(ctx, e.shard, stored, e.sample.At); err != nil {
		return nil, err
	}
	return e.checked(stored, buf)
}

// checked returns the image of what is stored of an entry, if it is what the index
// says. One that was packed is in buf.
func (e *entry) checked(file []byte, buf *[]byte) ([]byte, error) {
	if e.sample.Packed > 0 {
		packed := file
		file = grown(buf, e.sample.Size)
		if err := fragment.Unpack(file, packed, int(e.sample.Lead)); err != nil {
			return nil, fmt.Errorf("%w, or was changed without a new index (clpipe shards index --overwrite)", err)
		}
	}
	if sum := crc32.Checksum(file, castagnoli); sum != e.crc32c {
		return nil, fmt.Errorf("its CRC-32C is %08x, the index has %08x: the file is damaged, or was changed without a new index (clpipe shards index --overwrite)", sum, e.crc32c)
	}
	return file, nil
}

// release lets go of the image.
func (e *entry) release() {
	e.sample.Recycle()
	if sp := e.ahead; sp != nil {
		e.ahead = nil
		sp.leave()
	}
}

// leave is called by the reader and for every sample. A span that is not read, as
// the run has ended, keeps its reader and holds nothing.
func (sp *span) leave() {
	if sp.left.Add(-1) > 0 {
		return
	}
	sp.bytes.Recycle()
	sp.of.room.Release(sp.room)
}

// epoch returns the samples of an epoch. Epochs are taken one after the other,
// each up to its last sample.
func (a *readAhead) epoch() epochSamples { return &aheadEpoch{a} }

// aheadEpoch are the samples of an epoch as their windows come.
type aheadEpoch struct{ *readAhead }

// skip implements epochSamples: the planner has begun behind them.
func (o *aheadEpoch) skip(_ context.Context, from uint64) (int, error) {
	return o.source.ownBefore(from), nil
}

// index implements epochSamples: it is the place in the order of all ranks.
func (o *aheadEpoch) index(n int) uint64 { return o.source.ownPlace(n) }

// next implements epochSamples. The last sample is that of the epoch's limit.
func (o *aheadEpoch) next(ctx context.Context) (entry, error) {
	if len(o.current) == 0 {
		var open bool
		select {
		case o.current, open = <-o.windows:
		case <-ctx.Done():
			return entry{}, ctx.Err()
		}
		if !open {
			return entry{}, io.EOF
		}
	}
	e := o.current[0]
	o.current = o.current[1:]
	return e, nil
}

// pauses implements epochSamples: a record that waited for the next window would
// hold the room that this one needs.
func (o *aheadEpoch) pauses() bool { return len(o.current) == 0 }

// close implements epochSamples.
func (o *aheadEpoch) close() {}
