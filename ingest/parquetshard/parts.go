package parquetshard

import (
	"bytes"
	"cmp"
	"io"
	"slices"

	"clpipe/ingest/shard"
)

// wholeBytes is up to which length columns are read by one request, together if they
// lie beside each other.
const wholeBytes = 1 << 20

// AheadBytes is what a reader of a remote table holds of three columns of the open
// row group and the next, at most.
const AheadBytes = 2 * 3 * wholeBytes

// part is bytes of a file that are fetched by a goroutine: columns of a row group
// that are small. Over a network it is the requests that take the time, so those of
// the next row group are made while the one before is gone through.
type part struct {
	span
	done  chan struct{} // closed once the rest is there
	bytes []byte
	err   error
}

// span is a place in a file.
type span struct{ from, to int64 }

// fetch begins to read the small columns of a row group. Where it is wrong about
// them, whoever opens the columns finds out.
func (r *reader) fetch(group int) (parts []*part) {
	if !r.remote || group >= len(r.footer.meta.RowGroups) {
		return nil
	}
	var spans []span
	for _, leaf := range []int{r.footer.bytes, r.footer.path, r.footer.label} {
		if leaf < 0 {
			continue
		}
		if c, err := r.locate(r.footer.meta.RowGroup(group), leaf); err == nil && c.to-c.from <= wholeBytes {
			spans = append(spans, c.span)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, s := range spans {
		if n := len(parts); n > 0 && s.to-parts[n-1].from <= wholeBytes {
			parts[n-1].to = max(parts[n-1].to, s.to)
			continue
		}
		parts = append(parts, &part{span: s, done: make(chan struct{})})
	}
	for _, p := range parts {
		r.fetching.Go(func() {
			defer close(p.done)
			p.bytes = make([]byte, p.to-p.from)
			p.err = shard.ReadRange(r.ctx, r.obj, p.bytes, p.from)
		})
	}
	return parts
}

// open reads a column, from what is fetched if it is there.
func (r *reader) open(s span) (io.ReadCloser, error) {
	for _, p := range r.parts {
		if p.from <= s.from && s.to <= p.to {
			return &fetched{part: p, span: s}, nil
		}
	}
	return shard.OpenRange(r.ctx, r.obj, s.from, s.to)
}

// fetched reads a column that lies in a part.
type fetched struct {
	part *part
	span
	rest *bytes.Reader // nil before the first read
}

// Read implements io.Reader.
func (f *fetched) Read(p []byte) (int, error) {
	if f.rest == nil {
		<-f.part.done
		if f.part.err != nil {
			return 0, f.part.err
		}
		f.rest = bytes.NewReader(f.part.bytes[f.from-f.part.from : f.to-f.part.from])
	}
	return f.rest.Read(p)
}

// Close implements io.Closer.
func (f *fetched) Close() error { return nil }
