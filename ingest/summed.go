package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"clpipe/ingest/shard"
)

// summed is an object that is read once, in sequence, and whose SHA-256 is added
// up on the way.
type summed struct {
	shard.Object
	hash  hash.Hash
	head  []byte // the first bytes, which tell the format
	read  int64  // bytes added up
	ended bool   // there are no more
}

func newSummed(obj shard.Object) *summed { return &summed{Object: obj, hash: sha256.New()} }

// object returns the object to read. Where ranges of it can be read, they are past
// the sum: of a file that turns out to be Parquet, which is read from its end, finish
// adds up all of it.
func (o *summed) object() shard.Object {
	if ranged, ok := o.Object.(shard.Ranged); ok && addressable(o.Object) {
		return summedRanged{o, ranged}
	}
	return o
}

// summedRanged is a summed of which ranges can be read.
type summedRanged struct {
	*summed
	ranged shard.Ranged
}

// OpenRange implements shard.Ranged.
func (o summedRanged) OpenRange(ctx context.Context, from, to int64) (io.ReadCloser, error) {
	return o.ranged.OpenRange(ctx, from, to)
}

// Open implements shard.Object. It goes on where the sum is.
func (o *summed) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if offset != o.read {
		return nil, fmt.Errorf("read from %d on after %d bytes: it is read in one pass", offset, o.read)
	}
	src, err := o.Object.Open(ctx, offset)
	if err != nil {
		return nil, err
	}
	return &summedBody{src, o}, nil
}

type summedBody struct {
	io.ReadCloser
	of *summed
}

func (b *summedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.hash.Write(p[:n])
	b.of.head = append(b.of.head, p[:min(n, formatBytes-len(b.of.head))]...)
	b.of.read += int64(n)
	b.of.ended = errors.Is(err, io.EOF)
	return n, err
}

// finish adds what was not read.
func (o *summed) finish(ctx context.Context) error {
	if o.read == o.Size() || o.ended && o.Size() < 0 {
		return nil
	}
	src, err := shard.OpenStreamFrom(ctx, o, o.read)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := io.Copy(io.Discard, src); err != nil {
		return err
	}
	if size := o.Size(); size >= 0 && o.read != size {
		return fmt.Errorf("it has %d bytes, %d when it was listed", o.read, size)
	}
	return nil
}

// hex returns the sum of what was read.
func (o *summed) hex() string { return hex.EncodeToString(o.hash.Sum(nil)) }
