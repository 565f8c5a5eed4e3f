package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrFinal marks an error of an Object that has itself tried what could be tried.
var ErrFinal = errors.New("final")

// An Object is a file somewhere. It is safe for concurrent use.
type Object interface {
	// Name is the path below the source's root, with slashes.
	Name() string
	// Size is the length in bytes, -1 if it is not known.
	Size() int64
	// Open reads from offset on. ctx lasts for the whole reading.
	Open(ctx context.Context, offset int64) (io.ReadCloser, error)
}

// A RandomAccess object can be read at any place as fast as in sequence.
type RandomAccess interface {
	Object
	// OpenAt opens the object for reads at any offset.
	OpenAt(ctx context.Context) (ReaderAtCloser, error)
}

// A Ranged object can be read at any place, by a request each. Its errors are
// ErrFinal.
type Ranged interface {
	Object
	// OpenRange reads the bytes from one offset up to another. ctx lasts for
	// the whole reading.
	OpenRange(ctx context.Context, from, to int64) (io.ReadCloser, error)
}

// ErrSequential says that an object can only be read from its beginning.
var ErrSequential = errors.New("it can only be read from its beginning")

// OpenRange reads the bytes of obj from one offset up to another. An object
// that is neither Ranged nor RandomAccess is an error, ErrSequential.
func OpenRange(ctx context.Context, obj Object, from, to int64) (io.ReadCloser, error) {
	switch obj := obj.(type) {
	case RandomAccess:
		src, err := OpenAt(ctx, obj)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(src, from, to-from), src}, nil
	case Ranged:
		return obj.OpenRange(ctx, from, to)
	}
	return nil, ErrSequential
}

// ReadRange fills dst with the bytes of obj from an offset on. An object that
// ends before is an error, io.ErrUnexpectedEOF.
func ReadRange(ctx context.Context, obj Object, dst []byte, from int64) error {
	src, err := OpenRange(ctx, obj, from, from+int64(len(dst)))
	if err != nil {
		return err
	}
	defer src.Close()
	n, err := io.ReadFull(src, dst)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("got %d of %d bytes at %d: %w", n, len(dst), from, io.ErrUnexpectedEOF)
	}
	return err
}

// ReaderAtCloser reads at any offset until it is closed.
type ReaderAtCloser interface {
	io.ReaderAt
	io.Closer
}

// retryWait is the pause before the one retry of a failed read: long enough
// for a file system that recovers, short enough not to be felt.
const retryWait = 20 * time.Millisecond

// OpenStream reads obj from its beginning. A read that fails is tried once
// more on a newly opened object, from the offset that was reached, unless the
// error is ErrFinal.
func OpenStream(ctx context.Context, obj Object) (io.ReadCloser, error) {
	return OpenStreamFrom(ctx, obj, 0)
}

// OpenStreamFrom is OpenStream from an offset on.
func OpenStreamFrom(ctx context.Context, obj Object, offset int64) (io.ReadCloser, error) {
	s := &stream{ctx: ctx, obj: obj, offset: offset}
	var err error
	s.src, err = obj.Open(ctx, offset)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// stream keeps the context of OpenStream: io.Reader has no place for it.
type stream struct {
	ctx    context.Context
	obj    Object
	src    io.ReadCloser
	offset int64
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	s.offset += int64(n)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrFinal) {
		return n, err
	}
	if n > 0 {
		return n, nil // the error comes again with the next read
	}
	if waitErr := wait(s.ctx); waitErr != nil {
		return 0, waitErr
	}
	again, openErr := s.obj.Open(s.ctx, s.offset)
	if openErr != nil {
		return 0, err
	}
	s.src.Close()
	s.src = again
	n, err = s.src.Read(p)
	s.offset += int64(n)
	return n, err
}

func (s *stream) Close() error { return s.src.Close() }

// OpenAt opens obj for reads at any offset. A read that fails is tried once
// more on a newly opened object.
func OpenAt(ctx context.Context, obj RandomAccess) (ReaderAtCloser, error) {
	src, err := obj.OpenAt(ctx)
	if err != nil {
		return nil, err
	}
	return &readerAt{ctx: ctx, obj: obj, src: src}, nil
}

// readerAt keeps the context of OpenAt: io.ReaderAt has no place for it.
type readerAt struct {
	ctx context.Context
	obj RandomAccess
	src ReaderAtCloser
}

func (r *readerAt) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.src.ReadAt(p, offset)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if waitErr := wait(r.ctx); waitErr != nil {
		return n, waitErr
	}
	again, openErr := r.obj.OpenAt(r.ctx)
	if openErr != nil {
		return n, err
	}
	r.src.Close()
	r.src = again
	return r.src.ReadAt(p, offset)
}

func (r *readerAt) Close() error { return r.src.Close() }

func wait(ctx context.Context) error {
	select {
	case <-time.After(retryWait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReadFullAt fills dst from offset on. An object that ends before is an error,
// io.ErrUnexpectedEOF.
func ReadFullAt(r io.ReaderAt, dst []byte, offset int64) error {
	n, err := r.ReadAt(dst, offset)
	if n == len(dst) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("got %d of %d bytes at %d: %w", n, len(dst), offset, err)
}
