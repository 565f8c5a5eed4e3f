package tarshard

import (
	"errors"
	"io"
)

// windowBytes is read at a time from an archive that allows seeking. Small,
// since of a photo only the header is wanted; large enough that a run of
// thumbnails takes one read for several.
const windowBytes = 8 << 10

// archive is the unpacked bytes, with the place reached in them.
type archive interface {
	io.Reader
	// block returns the next header, which is valid until something else is read;
	// io.EOF if there is nothing, io.ErrUnexpectedEOF if there is less.
	block() ([]byte, error)
	offset() int64
	skip(n int64) error
}

// window reads a file through a buffer, so that headers cost one read each and
// the bodies between them none.
type window struct {
	src    io.ReaderAt
	size   int64
	at     int64 // offset of the next byte to hand out
	from   int64 // offset of buf
	buf    []byte
	buffer [windowBytes]byte
}

func (w *window) Read(p []byte) (int, error) {
	if w.at >= w.size {
		return 0, io.EOF
	}
	if w.at < w.from || w.at >= w.from+int64(len(w.buf)) {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.at-w.from:])
	w.at += int64(n)
	return n, nil
}

// fill reads the window that begins at the place reached.
func (w *window) fill() error {
	n, err := w.src.ReadAt(w.buffer[:min(windowBytes, w.size-w.at)], w.at)
	if n == 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // shorter than when it was listed
		}
		return err
	}
	w.from, w.buf = w.at, w.buffer[:n]
	return nil
}

// block implements archive.
func (w *window) block() ([]byte, error) {
	switch left := w.size - w.at; {
	case left <= 0:
		return nil, io.EOF
	case left < tarBlock:
		w.at = w.size
		return nil, io.ErrUnexpectedEOF
	}
	if w.at < w.from || w.at+tarBlock > w.from+int64(len(w.buf)) {
		if err := w.fill(); err != nil {
			return nil, err
		}
		if len(w.buf) < tarBlock {
			return nil, io.ErrUnexpectedEOF // shorter than when it was listed
		}
	}
	b := w.buf[w.at-w.from:][:tarBlock]
	w.at += tarBlock
	return b, nil
}

func (w *window) skip(n int64) error {
	if n > w.size-w.at {
		w.at = w.size
		return io.ErrUnexpectedEOF
	}
	w.at += n
	return nil
}

func (w *window) offset() int64 { return w.at }
