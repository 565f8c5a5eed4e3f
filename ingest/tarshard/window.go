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
		n, err := w.src.ReadAt(w.buffer[:min(windowBytes, w.size-w.at)], w.at)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // shorter than when it was listed
			}
			return 0, err
		}
		w.from, w.buf = w.at, w.buffer[:n]
	}
	n := copy(p, w.buf[w.at-w.from:])
	w.at += int64(n)
	return n, nil
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

// counter counts what is read of an archive that can only be read in sequence.
type counter struct {
	src   io.Reader
	at    int64
	scrap [4 << 10]byte // bytes that are passed over
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.at += int64(n)
	return n, err
}

func (c *counter) offset() int64 { return c.at }

func (c *counter) skip(n int64) error {
	for n > 0 {
		got, err := c.Read(c.scrap[:min(n, int64(len(c.scrap)))])
		n -= int64(got)
		if errors.Is(err, io.EOF) && n > 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}
