// Package stdin reads one shard from standard input, which can be read only
// once: the beginning is kept, so that a look at the first image leaves the
// whole shard to whoever reads it afterwards.
package stdin

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
)

// keptBytes is how much of the beginning is kept: more than the first image of
// most shards and what is read ahead of it, little enough to hold in memory.
const keptBytes = 16 << 20

// chunkBytes is read at a time: as much as a pipe holds on most systems.
const chunkBytes = 64 << 10

// Object is standard input. It is a shard.Object.
type Object struct {
	src io.Reader

	mu      sync.Mutex // guards what follows
	base    int64      // offset of kept
	kept    []byte     // the beginning, later the last chunk only
	err     error      // what comes after kept, nil: more
	pending chan chunk // a read under way, nil: none
}

// chunk is the result of a read.
type chunk struct {
	bytes []byte
	err   error
}

// New returns the object that reads src.
func New(src io.Reader) *Object { return &Object{src: src} }

// Process returns the object that reads this process's standard input: always
// the same, since what one has read is gone for any other.
var Process = sync.OnceValue(func() *Object { return New(os.Stdin) })

// Name returns "-".
func (o *Object) Name() string { return "-" }

// Size returns -1: the length is not known.
func (o *Object) Size() int64 { return -1 }

// Open reads from offset on, which must not lie before what is kept.
func (o *Object) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	return &reader{ctx, o, offset}, nil
}

// reader keeps the context of Open: io.Reader has no place for it.
type reader struct {
	ctx    context.Context
	obj    *Object
	offset int64
}

func (r *reader) Read(p []byte) (int, error) {
	o := r.obj
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		at := r.offset - o.base
		switch {
		case at < 0:
			return 0, fmt.Errorf("standard input can be read only once: its first %d bytes have gone by", o.base)
		case at < int64(len(o.kept)):
			n := copy(p, o.kept[at:])
			r.offset += int64(n)
			return n, nil
		case o.err != nil:
			return 0, o.err
		}
		if err := o.receive(r.ctx); err != nil {
			return 0, err
		}
	}
}

func (r *reader) Close() error { return nil }

// receive waits for the next chunk. A read of standard input cannot be
// cancelled: one that is given up brings its chunk to whoever reads next.
func (o *Object) receive(ctx context.Context) error {
	if o.pending == nil {
		pending := make(chan chunk, 1) // so that the read ends though nobody waits for it
		o.pending = pending
		go func() {
			buf := make([]byte, chunkBytes)
			n, err := o.src.Read(buf)
			pending <- chunk{buf[:n], err}
		}()
	}
	select {
	case c := <-o.pending:
		o.pending = nil
		o.err = c.err
		if o.base == 0 && len(o.kept)+len(c.bytes) <= keptBytes {
			o.kept = append(o.kept, c.bytes...)
			return nil
		}
		o.base += int64(len(o.kept))
		o.kept = c.bytes
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
