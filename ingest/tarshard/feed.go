package tarshard

import "io"

// Bytes that a feed asks for at a time: few where large members follow each
// other, so that their bytes are read straight to their place and not through
// the buffer; many for small ones.
const (
	leastFeed  = 4 << 10
	mostFeed   = 256 << 10
	straightAt = 16 << 10 // a read of as much is no business of the buffer
)

// feed is a buffer before an archive that is read in sequence.
type feed struct {
	src    io.Reader
	buf    []byte
	unread []byte // of buf
	ask    int    // bytes to ask for next
}

func newFeed(src io.Reader) *feed { return &feed{src: src, ask: leastFeed} }

// Read implements io.Reader.
func (f *feed) Read(p []byte) (int, error) {
	if len(f.unread) == 0 {
		if len(p) >= straightAt {
			f.ask = leastFeed
			return f.src.Read(p)
		}
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.unread)
	f.unread = f.unread[n:]
	return n, nil
}

// fill reads what is asked for next, or less. An error that comes with bytes is
// left to the next call.
func (f *feed) fill() error {
	if len(f.buf) < f.ask {
		f.buf = make([]byte, f.ask)
	}
	n, err := f.src.Read(f.buf[:f.ask])
	f.unread = f.buf[:n]
	if n == 0 {
		return err
	}
	f.ask = min(2*f.ask, mostFeed)
	return nil
}

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
