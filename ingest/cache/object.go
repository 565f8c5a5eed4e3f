package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"clpipe/ingest/remote"
	"clpipe/ingest/shard"
)

// object is a remote file whose blocks are kept.
type object struct {
	*remote.Object
	cache *Cache
	key   string
}

// Wrap returns the file with its blocks kept. A file without a version or of
// unknown length could not be told from another in its place: it is returned as it
// is, and the first such is warned of.
func (c *Cache) Wrap(o *remote.Object) shard.Object {
	if o.Bytes == 0 {
		return o
	}
	if o.Version == "" || o.Bytes < 0 {
		c.unknown.Do(func() {
			c.log.Warn(fmt.Sprintf("cache: the server tells no version (ETag) or no length of %s: it, and others like it, are not kept", o.Where))
		})
		return o
	}
	return &object{o, c, key(cmp.Or(o.Identity, o.Where), o.Version, o.Bytes)}
}

// Open implements shard.Object.
func (o *object) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	return &reader{ctx: ctx, obj: o, at: offset, end: o.Bytes}, nil
}

// OpenRange implements shard.Ranged. As long as there is room, all of a block is
// fetched for a part of it.
func (o *object) OpenRange(ctx context.Context, from, to int64) (io.ReadCloser, error) {
	return &reader{ctx: ctx, obj: o, at: from, end: to, whole: o.Ranges && !o.cache.off.Load()}, nil
}

// length is that of a block.
func (o *object) length(block int64) int { return int(min(blockBytes, o.Bytes-block*blockBytes)) }

// open opens a block that is kept; nil if it is not.
func (o *object) open(number int64) *block {
	path := o.cache.path(o.key, number)
	b, err := o.cache.openBlock(path, o.length(number))
	if err != nil {
		o.bad(path, err)
		return nil
	}
	return b
}

// bad removes a damaged block. It will be fetched again, as is one that the
// system does not let us read.
func (o *object) bad(path string, err error) {
	if !errors.Is(err, errDamaged) {
		return
	}
	o.cache.damaged.Do(func() {
		o.cache.log.Warn(fmt.Sprintf("cache: block %s of %s: %v; it is fetched again, as are others like it", path, o.Where, err))
	})
	o.cache.discard(path)
}

// reader reads a file from a byte up to another: blocks that are kept from there,
// others from the server, by one request as long as they follow each other. It
// keeps the context of Open: io.Reader has no place for it.
type reader struct {
	ctx     context.Context
	obj     *object
	at, end int64
	whole   bool // blocks are fetched whole

	kept   *block        // the block at, if it is kept
	number int64         // of kept
	body   io.ReadCloser // from the server, nil: none
	bodyAt int64         // the byte it has reached
	fresh  []byte        // of the block at, as far as it has come from the server; nil: it is not gathered
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.at >= r.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.end-r.at)]
	number := r.at / blockBytes
	if r.kept != nil && r.number != number {
		r.kept.close()
		r.kept = nil
	}
	if r.kept == nil && len(r.fresh) == 0 && (r.body == nil || r.at%blockBytes == 0) {
		if r.kept, r.number = r.obj.open(number), number; r.kept == nil && r.whole {
			r.kept = r.obj.fetch(r.ctx, number)
		}
	}
	for range 2 {
		if r.kept == nil {
			break
		}
		r.drop() // a connection that nobody reads from would time out
		n, err := r.kept.read(p, int(r.at-number*blockBytes))
		if err == nil {
			r.at += int64(n)
			return n, nil
		}
		r.kept.close()
		r.obj.bad(r.obj.cache.path(r.obj.key, number), err)
		r.kept = r.obj.fetch(r.ctx, number) // from its beginning, to be kept again
	}
	if r.kept != nil {
		r.kept.close()
		r.kept = nil
	}
	return r.receive(p)
}

// receive reads from the server up to the end of the block and gathers the
// block, if it has come from its beginning.
func (r *reader) receive(p []byte) (int, error) {
	number := r.at / blockBytes
	from, length := number*blockBytes, r.obj.length(number)
	if r.body != nil && r.bodyAt != r.at { // blocks between were kept
		r.drop()
	}
	if r.body == nil {
		body, err := r.request()
		if err != nil {
			return 0, err
		}
		r.body, r.bodyAt = body, r.at
	}
	p = p[:min(int64(len(p)), from+int64(length)-r.at)]
	n, err := r.body.Read(p)
	if r.fresh == nil && r.at == from && from+int64(length) <= r.end && !r.obj.cache.off.Load() {
		r.fresh = newBlock()
	}
	if r.fresh != nil && r.at == from+int64(len(r.fresh)) {
		r.fresh = append(r.fresh, p[:n]...)
	}
	r.at += int64(n)
	r.bodyAt = r.at
	if r.fresh != nil && len(r.fresh) == length {
		r.obj.cache.keep(r.obj.key, number, r.fresh)
		r.forget()
	}
	if errors.Is(err, io.EOF) && r.at < r.end {
		err = nil // of a body that ends with its block's; the next read asks for more
		r.drop()
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (r *reader) request() (io.ReadCloser, error) {
	if r.end == r.obj.Bytes {
		return r.obj.Object.Open(r.ctx, r.at)
	}
	return r.obj.Object.OpenRange(r.ctx, r.at, r.end)
}

// drop closes the body.
func (r *reader) drop() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

// forget lets go of the block being gathered.
func (r *reader) forget() {
	if r.fresh != nil {
		freeBlock(r.fresh)
		r.fresh = nil
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.kept != nil {
		r.kept.close()
		r.kept = nil
	}
	r.forget()
	r.drop()
	return nil
}

// fetching are the blocks that are fetched whole, so that of those who want
// parts of one at the same time only one asks for it.
type fetching struct {
	mu  sync.Mutex
	now map[string]chan struct{} // by path, closed once the block is there or not to be had
}

// fetch gets a whole block and returns it, nil if it cannot be had or kept: then
// the caller asks for its part alone, and meets what is wrong.
func (o *object) fetch(ctx context.Context, number int64) *block {
	path := o.cache.path(o.key, number)
	f := &o.cache.fetching
	f.mu.Lock()
	if done, under := f.now[path]; under {
		f.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		return o.open(number)
	}
	if f.now == nil {
		f.now = map[string]chan struct{}{}
	}
	done := make(chan struct{})
	f.now[path] = done
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.now, path)
		f.mu.Unlock()
		close(done)
	}()
	if b := o.open(number); b != nil { // another has fetched it since we looked
		return b
	}
	if o.cache.off.Load() {
		return nil
	}
	data := newBlock()
	defer func() { freeBlock(data) }()
	data = data[:o.length(number)]
	if err := shard.ReadRange(ctx, o.Object, data, number*blockBytes); err != nil {
		return nil
	}
	o.cache.keep(o.key, number, data)
	return o.open(number)
}

// blocks are buffers of blockBytes.
var blocks = sync.Pool{New: func() any { return new([blockBytes]byte) }}

func newBlock() []byte { return blocks.Get().(*[blockBytes]byte)[:0] }

func freeBlock(b []byte) { blocks.Put((*[blockBytes]byte)(b[:blockBytes])) }
