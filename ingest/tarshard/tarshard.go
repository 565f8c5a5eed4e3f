package tarshard

import (
	"context"
	"errors"
	"fmt"
	"io"

	"clpipe/ingest/shard"
)

// Shard is a tar archive as a set of samples. It is a shard.Shard.
type Shard struct {
	obj            shard.Object
	random         shard.RandomAccess // obj, nil if it is read in sequence
	maxSampleBytes int64
	packing        packing // as told by the name if random is nil
}

// New looks at the first bytes of obj if it allows random access; of others the
// packing is told as they are opened, since each request may take long. Images
// over maxSampleBytes are not read. The error is that of opening or reading obj;
// what the bytes mean is told by reading the samples.
func New(ctx context.Context, obj shard.Object, maxSampleBytes int64) (*Shard, error) {
	s := &Shard{obj: obj, maxSampleBytes: maxSampleBytes}
	var ok bool
	if s.random, ok = obj.(shard.RandomAccess); !ok {
		s.packing = packingByName(obj.Name())
		return s, nil
	}
	src, err := shard.OpenStream(ctx, obj)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	magic := make([]byte, magicBytes)
	n, err := io.ReadFull(src, magic)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	s.packing = packingOf(magic[:n])
	return s, nil
}

// Name returns the path below the source's root.
func (s *Shard) Name() string { return s.obj.Name() }

// Size returns the length in bytes, as stored, -1 if it is not known.
func (s *Shard) Size() int64 { return s.obj.Size() }

// Format returns "tar", "tar.gz" or "tar.zst", or the name of a packing that
// cannot be read.
func (s *Shard) Format() string { return s.packing.format() }

// CheapToScan tells whether the images can be passed over without reading them.
func (s *Shard) CheapToScan() bool { return s.random != nil && s.packing == plain }

// Open begins to read at the first sample.
func (s *Shard) Open(ctx context.Context) (shard.Reader, error) {
	if s.Size() == 0 {
		return nil, errEmpty()
	}
	r := &reader{maxSampleBytes: s.maxSampleBytes}
	if s.CheapToScan() {
		src, err := shard.OpenAt(ctx, s.random)
		if err != nil {
			return nil, err
		}
		r.in = &window{src: src, size: s.Size()}
		r.size = s.Size()
		r.close = src.Close
		return r, nil
	}
	src, err := shard.OpenStream(ctx, s.obj)
	if err != nil {
		return nil, err
	}
	in := newFeed(src)
	magic, err := in.peek(magicBytes)
	if len(magic) == 0 && errors.Is(err, io.EOF) {
		err = errEmpty()
	}
	if err != nil {
		src.Close()
		return nil, err
	}
	unpacked, free, err := packingOf(magic).unpack(in)
	if err != nil {
		src.Close()
		return nil, &shard.Damage{What: "unpack", Why: err}
	}
	r.in = in
	if unpacked != io.Reader(in) {
		r.in = newFeed(unpacked)
	}
	r.size = -1
	r.close = func() error { free(); return src.Close() }
	return r, nil
}

func errEmpty() error { return &shard.Damage{What: "open", Why: errors.New("the file is empty")} }

// OpenAt gives access to the images of samples that came without theirs.
func (s *Shard) OpenAt(ctx context.Context) (shard.Fetcher, error) {
	if !s.CheapToScan() {
		return nil, fmt.Errorf("%s: %s is read in sequence only", s.Name(), s.Format())
	}
	src, err := shard.OpenAt(ctx, s.random)
	if err != nil {
		return nil, err
	}
	return fetcher{src}, nil
}

type fetcher struct{ shard.ReaderAtCloser }

func (f fetcher) Fetch(s *shard.Sample, dst []byte) error {
	return shard.ReadFullAt(f, dst, s.At)
}
