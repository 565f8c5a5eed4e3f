package ingest

import (
	"context"

	"clpipe/ingest/shard"
)

// maxFetchers bounds the files a worker holds open: more than shards are read
// side by side, so that only images in files of their own come and go.
const maxFetchers = 32

// fetchers read the images of samples that came without theirs. Shards stay
// open until close. The zero value needs its source only.
type fetchers struct {
	source *Source
	open   map[int]shard.Fetcher
	buf    []byte
}

// image returns the sample's file, valid until the next call, or the operation
// that failed and why.
func (f *fetchers) image(ctx context.Context, e *entry) (file []byte, what string, err error) {
	if d := e.sample.Damage; d != nil {
		return nil, d.What, d.Why
	}
	if e.sample.Image != nil {
		return e.sample.Image, "", nil
	}
	if e.ahead != nil {
		file, err := e.ahead.image(ctx, e, &f.buf)
		return file, "read", err
	}
	src := f.open[e.shard]
	if src == nil {
		if len(f.open) == maxFetchers {
			f.close()
		}
		if src, err = f.source.shards[e.shard].OpenAt(ctx); err != nil {
			return nil, "open", err
		}
		if f.open == nil {
			f.open = map[int]shard.Fetcher{}
		}
		f.open[e.shard] = src
	}
	file = grown(&f.buf, e.sample.Size)
	if err := src.Fetch(&e.sample, file); err != nil {
		return nil, "read", err
	}
	return file, "", nil
}

// grown returns so many bytes of a buffer, which is made longer if need be.
func grown(buf *[]byte, size int64) []byte {
	if int64(cap(*buf)) < size {
		*buf = make([]byte, size)
	}
	return (*buf)[:size]
}

// close closes the shards.
func (f *fetchers) close() {
	for place, src := range f.open {
		src.Close()
		delete(f.open, place)
	}
}
