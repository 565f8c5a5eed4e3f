package tarshard

import (
	"errors"
	"io"
)

// Bytes that a feed asks for at a time: few where large members follow each
// other, so that their bytes are read straight to their place and not through
// the buffer, together with the headers behind them; many for small ones.
const (
	leastFeed  = 4 << 10
	mostFeed   = 256 << 10
	straightAt = 16 << 10 // a read of as much is no business of the buffer
)

// feed is the buffer of an archive that is read in sequence. It is an archive.
type feed struct {
	src    io.Reader
	buf    []byte
	unread []byte // of buf
	ask    int    // bytes to ask for next
	at     int64  // of the next byte to hand out
}

func newFeed(src io.Reader) *feed { return &feed{src: src, ask: leastFeed} }

// Read implements io.Reader.
func (f *feed) Read(p []byte) (int, error) {
	if len(f.unread) == 0 {
		if len(p) >= straightAt {
			f.ask = leastFeed
			n, err := f.src.Read(p)
			f.at += int64(n)
			return n, err
		}
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.unread)
	f.take(n)
	return n, nil
}

// roomBehind is how many bytes more than those of a member its place should have.
func (f *feed) roomBehind(size int64) int {
	if size < straightAt {
		return 0
	}
	return leastFeed
}

// readFull fills p. What is read beyond it, into the room up to its capacity, is
// handed out next. Errors are those of io.ReadFull.
func (f *feed) readFull(p []byte) error {
	n := copy(p, f.unread)
	f.take(n)
	if len(p)-n < straightAt {
		_, err := io.ReadFull(f, p[n:])
		if n > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	f.ask = leastFeed
	reach := min(cap(p), len(p)+leastFeed)
	for n < len(p) {
		got, err := f.src.Read(p[n:reach])
		f.at += int64(min(got, len(p)-n))
		n += got
		if err != nil && n < len(p) {
			if n > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	if len(f.buf) < leastFeed {
		f.buf = make([]byte, leastFeed)
	}
	f.unread = f.buf[:copy(f.buf, p[len(p):n])]
	return nil
}

func (f *feed) take(n int) {
	f.unread = f.unread[n:]
	f.at += int64(n)
}

// fill puts what is asked for next, or less, behind what is unread. An error that
// comes with bytes is left to the next call.
func (f *feed) fill() error {
	if need := len(f.unread) + f.ask; len(f.buf) < need {
		grown := make([]byte, max(need, 2*len(f.buf)))
		copy(grown, f.unread)
		f.buf = grown
	} else {
		copy(f.buf, f.unread)
	}
	held := len(f.unread)
	n, err := f.src.Read(f.buf[held:][:f.ask])
	f.unread = f.buf[:held+n]
	if n == 0 {
		return err
	}
	f.ask = min(2*f.ask, mostFeed)
	return nil
}

// block implements archive.
func (f *feed) block() ([]byte, error) {
	for len(f.unread) < tarBlock {
		err := f.fill()
		if errors.Is(err, io.EOF) && len(f.unread) > 0 {
			f.take(len(f.unread))
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	b := f.unread[:tarBlock]
	f.take(tarBlock)
	return b, nil
}

func (f *feed) skip(n int64) error {
	for {
		have := min(n, int64(len(f.unread)))
		f.take(int(have))
		if n -= have; n == 0 {
			return nil
		}
		if err := f.fill(); errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
}

func (f *feed) offset() int64 { return f.at }

// peek returns the first bytes without taking them, fewer where there are no
// more, and the error if there is none. It comes before the first Read.
func (f *feed) peek(n int) ([]byte, error) {
	f.buf = make([]byte, leastFeed)
	got, err := io.ReadAtLeast(f.src, f.buf, n)
	f.unread = f.buf[:got]
	if got > 0 && (err == io.EOF || err == io.ErrUnexpectedEOF) {
		err = nil
	}
	return f.unread[:min(n, got)], err
}
