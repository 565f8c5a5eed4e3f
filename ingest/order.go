package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"clpipe/ingest/shard"
	"clpipe/internal/rng"
)

// entry is a sample on its way, or the loss of the rest of a shard.
type entry struct {
	shard   int // place among the sorted shards
	nth     int // in its shard, counted from 0
	lost    int // samples the entry stands for: 1, more where a shard was given up, then an estimate unless it was counted
	sample  shard.Sample
	givenUp bool   // the image, or the shard from here on, was given up: it may be readable the next time
	ahead   *span  // that brings the image, nil: none
	at      int64  // of the image among the bytes that ahead brings
	crc32c  uint32 // of the image, where it is known by an index
	// readable is set by the worker once the image is in a record.
	readable bool
}

// epochOrder hands out the samples of one epoch in their order. close frees it.
type epochOrder struct {
	epoch  uint32
	mixed  interleave
	buffer []entry
	bytes  int64 // of the images in buffer
	taken  tally // all samples that were taken in
	draws  rng.Stream
	took   func() // is told of every sample that is taken in

	maxSamples int
	maxBytes   int64
}

// order returns the order of an epoch; took is called for every sample taken in.
func (s *Source) order(epoch uint32, took func()) *epochOrder {
	places := s.permutedShards(epoch)
	own := places[:0]
	for i, p := range places {
		if i%s.cfg.World == s.cfg.Rank {
			own = append(own, p)
		}
	}
	return &epochOrder{
		epoch:      epoch,
		mixed:      interleave{source: s, waiting: own, early: true, slots: make([]*cursor, 0, min(s.cfg.Interleave, len(own)))},
		draws:      rng.New(s.cfg.Seed, rng.Shuffle, uint64(epoch)),
		took:       took,
		maxSamples: s.cfg.ShuffleBuffer,
		maxBytes:   s.cfg.ShuffleBytes,
	}
}

// skip implements epochSamples: it goes through the order without reading images
// where the shards allow it.
func (o *epochOrder) skip(ctx context.Context, from uint64) (int, error) {
	limit := o.mixed.source.epochLimit(o.epoch)
	for n := 0; ; n++ {
		if uint64(n) >= from || limit >= 0 && int64(n) >= limit {
			return n, nil
		}
		e, err := o.next(ctx)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		e.release()
	}
}

// index implements epochSamples: ranks number their own samples.
func (o *epochOrder) index(n int) uint64 { return uint64(n) }

// pauses implements epochSamples.
func (o *epochOrder) pauses() bool { return false }

// next implements epochSamples.
func (o *epochOrder) next(ctx context.Context) (entry, error) {
	for len(o.buffer) < o.maxSamples && o.bytes < o.maxBytes {
		e, err := o.mixed.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return entry{}, err
		}
		o.took()
		if !e.givenUp {
			o.taken.samples++
			o.taken.bytes += o.stored(&e)
		}
		o.buffer = append(o.buffer, e)
		o.bytes += e.sample.Size
	}
	n := len(o.buffer)
	if n == 0 {
		return entry{}, io.EOF
	}
	at := 0
	if o.maxSamples > 1 {
		at = o.draws.IntN(n)
	}
	e := o.buffer[at]
	o.buffer[at] = o.buffer[n-1]
	o.buffer[n-1] = entry{} // lets go of the image
	o.buffer = o.buffer[:n-1]
	o.bytes -= e.sample.Size
	if s := o.mixed.source; e.givenUp {
		about := ""
		if !s.isCounted(e.shard) {
			e.lost = o.lost(&e)
		}
		if e.lost > 1 {
			about = fmt.Sprintf(", with about %d samples", e.lost)
		}
		s.cfg.Log.Warn(fmt.Sprintf("ingest: shard %s is given up%s: %v; digests of this run cannot be compared with others", s.shards[e.shard].Name(), about, e.sample.Damage))
	}
	return e, nil
}

// lost estimates how many samples the rest of a shard has, from its size: by those
// of the shards that were read to their end, else by all read so far. Of one whose
// size is not known, as of standard input, as much is taken to be lost as has come.
func (o *epochOrder) lost(e *entry) int {
	by := o.mixed.finished
	if by.samples == 0 {
		by = o.taken
	}
	m := o.mixed.source.shards[e.shard]
	switch {
	case m.Format() == "image":
		return 1
	case m.Size() < 0:
		return max(e.nth, 1)
	case by.bytes == 0:
		return 1
	}
	return max(int(float64(m.Size())/float64(by.bytes)*float64(by.samples))-e.nth, 1)
}

// stored is about how many bytes a sample takes in its shard: those of its image, in
// a plain archive with two headers, a label and what fills blocks up.
func (o *epochOrder) stored(e *entry) int64 {
	const block = 512
	if o.mixed.source.shards[e.shard].Format() != "tar" {
		return e.sample.Size
	}
	return (e.sample.Size+block-1)/block*block + 3*block
}

// tally is samples and the bytes they take.
type tally struct{ samples, bytes int64 }

func (o *epochOrder) close() {
	o.mixed.close()
	for i := range o.buffer {
		o.buffer[i].sample.Recycle()
	}
}

// interleave takes a sample from each of several open shards in turn.
type interleave struct {
	source  *Source
	waiting []int     // shards not yet begun
	slots   []*cursor // open shards, at most cap
	turn    int       // slot to read next
	early   bool      // the next waiting shard is opened before its turn
	begun   *cursor   // that one, nil: none

	finished tally // shards read to their end, their bytes as stored
}

func (v *interleave) next(ctx context.Context) (entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return entry{}, err
		}
		for len(v.slots) < cap(v.slots) && v.more() {
			v.slots = append(v.slots, v.take(ctx))
		}
		if len(v.slots) == 0 {
			return entry{}, io.EOF
		}
		v.turn %= len(v.slots)
		c := v.slots[v.turn]
		sample, err := c.read(ctx)
		if err == nil {
			c.taken++
			v.turn++
			return entry{shard: c.shard, nth: c.taken - 1, lost: 1, sample: sample}, nil
		}
		c.close()
		if size := v.source.shards[c.shard].Size(); errors.Is(err, io.EOF) && size > 0 {
			v.finished.samples += int64(c.taken)
			v.finished.bytes += size
		}
		if v.more() {
			v.slots[v.turn] = v.take(ctx)
		} else {
			v.slots = append(v.slots[:v.turn], v.slots[v.turn+1:]...)
		}
		if errors.Is(err, io.EOF) {
			continue // the shard that took its place has the turn
		}
		if ctx.Err() != nil {
			return entry{}, ctx.Err()
		}
		return v.source.giveUp(c, err), nil
	}
}

// take returns the next waiting shard, begun, and begins the one after it.
func (v *interleave) take(ctx context.Context) *cursor {
	c := v.begun
	if c == nil {
		c = v.begin(ctx)
	}
	if v.begun = nil; v.early && len(v.waiting) > 0 {
		v.begun = v.begin(ctx)
	}
	return c
}

func (v *interleave) begin(ctx context.Context) *cursor {
	c := newCursor(ctx, v.source, v.waiting[0])
	v.waiting = v.waiting[1:]
	return c
}

// more tells whether there is a shard to take.
func (v *interleave) more() bool { return v.begun != nil || len(v.waiting) > 0 }

func (v *interleave) close() {
	for _, c := range v.slots {
		c.close()
	}
	if v.begun != nil {
		v.begun.close()
	}
}

// giveUp is the entry that stands for the rest of a shard that cannot be read.
func (s *Source) giveUp(c *cursor, err error) entry {
	e := entry{shard: c.shard, nth: c.taken, lost: 1, givenUp: true}
	damage := (*shard.Damage)(nil)
	if !errors.As(err, &damage) {
		damage = &shard.Damage{What: "open", Why: err}
	}
	if s.isCounted(c.shard) {
		e.lost = max((*s.counted.Load())[c.shard]-c.taken, 1)
	}
	e.sample = shard.Sample{Key: damage.Key, Offset: damage.Offset, Damage: damage}
	return e
}

// isCounted tells whether it is known how many samples a shard has.
func (s *Source) isCounted(place int) bool {
	counted := s.counted.Load()
	return counted != nil && (*counted)[place] > 0
}
