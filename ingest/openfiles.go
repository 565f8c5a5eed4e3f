package ingest

import (
	"context"
	"errors"
	"io"
	"sync"

	"clpipe/ingest/shard"
)

// maxOpenFiles bounds the local shards that are held open: what systems allow a
// process is some hundreds at least.
const maxOpenFiles = 128

// openFiles reads ranges of shards and keeps the local ones open. It is safe for
// concurrent use; close comes last.
type openFiles struct {
	source *Source

	mu   sync.Mutex // guards open and uses
	open map[int]*openFile
}

type openFile struct {
	shard.ReaderAtCloser
	uses int // reads under way
}

// read fills dst with the bytes of a shard from an offset on.
func (o *openFiles) read(ctx context.Context, place int, dst []byte, from int64) error {
	obj := o.source.shards[place].obj
	random, ok := obj.(shard.RandomAccess)
	if !ok {
		return shard.ReadRange(ctx, obj, dst, from)
	}
	f, err := o.acquire(ctx, place, random)
	if err != nil {
		return err
	}
	err = shard.ReadFullAt(f, dst, from)
	o.release(f)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) || ctx.Err() != nil {
		return err
	}
	again, err := shard.OpenAt(ctx, random) // by itself: it may be the open file that has gone bad
	if err != nil {
		return err
	}
	defer again.Close()
	return shard.ReadFullAt(again, dst, from)
}

// acquire returns an open shard.
func (o *openFiles) acquire(ctx context.Context, place int, obj shard.RandomAccess) (*openFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.open[place]
	if f == nil {
		src, err := obj.OpenAt(ctx)
		if err != nil {
			return nil, err
		}
		f = &openFile{ReaderAtCloser: src}
		o.makeRoom()
		o.open[place] = f
	}
	f.uses++
	return f, nil
}

// makeRoom closes a file that nobody reads if there are too many. mu is held.
func (o *openFiles) makeRoom() {
	if o.open == nil {
		o.open = map[int]*openFile{}
	}
	if len(o.open) < maxOpenFiles {
		return
	}
	for place, f := range o.open {
		if f.uses == 0 {
			f.Close()
			delete(o.open, place)
			return
		}
	}
}

func (o *openFiles) release(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.uses--
}

// close closes all files.
func (o *openFiles) close() {
	for _, f := range o.open {
		f.Close()
	}
	clear(o.open)
}
