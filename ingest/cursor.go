package ingest

import (
	"context"
	"sync"

	"clpipe/ingest/shard"
)

// What a shard that is read in sequence is read ahead, a few of these for each
// open shard: so much that a goroutine reads on for a while before it waits for
// another, and that a server's or decoder's time is not waited for.
const (
	stretchBytes   = 1 << 20
	stretchSamples = 256
)

// cursor is a place in an open shard. One that is fetched or unpacked is read by
// a goroutine of its own, others as they are asked.
type cursor struct {
	source *Source
	shard  int
	taken  int          // samples so far
	reader shard.Reader // nil: not opened, or read ahead

	end       context.CancelFunc // of the goroutine; nil: there is none
	ended     sync.WaitGroup
	stretches chan stretch
	now       stretch             // being handed out
	used      chan []shard.Sample // memory of stretches that were handed out
}

// stretch is samples that follow each other, and why there are no more, if so.
type stretch struct {
	samples []shard.Sample
	next    int // the first that was not handed out
	err     error
}

// newCursor begins a shard. Opening it takes place later; ctx lasts for all the
// reading.
func newCursor(ctx context.Context, s *Source, place int) *cursor {
	c := &cursor{source: s, shard: place}
	if !readEarly(s.shards[place]) {
		return c
	}
	c.stretches = make(chan stretch, 1)
	c.used = make(chan []shard.Sample, 1)
	ctx, c.end = context.WithCancel(ctx)
	c.ended.Go(func() { c.run(ctx) })
	return c
}

// readEarly tells whether a shard is read by a goroutine: not if its samples
// come without their images, nor from standard input, a read of which cannot be
// cancelled.
func readEarly(m member) bool {
	_, random := m.obj.(shard.RandomAccess)
	_, ranged := m.obj.(shard.Ranged)
	return (random || ranged) && !m.CheapToScan()
}

// run reads the shard to its end, a stretch at a time.
func (c *cursor) run(ctx context.Context) {
	reader, err := c.source.shards[c.shard].Open(ctx)
	if err == nil {
		defer reader.Close()
	}
	for err == nil {
		var part stretch
		select {
		case part.samples = <-c.used:
		default:
			part.samples = make([]shard.Sample, 0, stretchSamples)
		}
		var sample shard.Sample
		for bytes := int64(0); bytes < stretchBytes && len(part.samples) < stretchSamples; bytes += sample.Size {
			if sample, err = reader.Next(); err != nil {
				break
			}
			part.samples = append(part.samples, sample)
		}
		part.err = err
		if !c.send(ctx, part) {
			return
		}
		if err != nil {
			return
		}
	}
	c.send(ctx, stretch{err: err})
}

func (c *cursor) send(ctx context.Context, part stretch) bool {
	select {
	case c.stretches <- part:
		return true
	case <-ctx.Done():
		part.drop()
		return false
	}
}

func (s *stretch) drop() {
	for i := range s.samples[s.next:] {
		s.samples[s.next+i].Recycle()
	}
	s.samples = nil
}

// read returns the next sample, io.EOF after the last.
func (c *cursor) read(ctx context.Context) (shard.Sample, error) {
	if c.end == nil {
		return c.readNow(ctx)
	}
	for c.now.next == len(c.now.samples) {
		if c.now.err != nil {
			return shard.Sample{}, c.now.err
		}
		select {
		case c.used <- c.now.samples[:0]:
		default:
		}
		select {
		case c.now = <-c.stretches:
		case <-ctx.Done():
			return shard.Sample{}, ctx.Err()
		}
	}
	sample := c.now.samples[c.now.next]
	c.now.next++
	return sample, nil
}

func (c *cursor) readNow(ctx context.Context) (shard.Sample, error) {
	if c.reader == nil {
		var err error
		if c.reader, err = c.source.shards[c.shard].Open(ctx); err != nil {
			return shard.Sample{}, err
		}
	}
	return c.reader.Next()
}

// close ends the reading.
func (c *cursor) close() {
	if c.reader != nil {
		c.reader.Close()
	}
	if c.end == nil {
		return
	}
	c.end()
	c.ended.Wait()
	c.now.drop()
	select {
	case left := <-c.stretches:
		left.drop()
	default:
	}
}
