package tarshard

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestFeedHandsOutEveryByteOnce reads members of many sizes by turns in blocks, to
// places with and without room behind them, and by passing them over, from sources
// that give as much as they are asked for, half of it, or a byte.
func TestFeedHandsOutEveryByteOnce(t *testing.T) {
	body := make([]byte, 3<<20)
	for i := range body {
		body[i] = byte(i * i >> 7)
	}
	sources := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "bytes": iotest.OneByteReader, "end with bytes": iotest.DataErrReader,
	}
	for name, of := range sources {
		f := newFeed(of(bytes.NewReader(body)))
		sizes := []int64{1, 600, 3000, straightAt - 1, straightAt, straightAt + tarBlock, 100_000, 400_000}
		for n, at := 0, int64(0); ; n++ {
			if f.offset() != at {
				t.Fatalf("%s: at %d, want %d", name, f.offset(), at)
			}
			b, err := f.block()
			if err != nil {
				t.Fatalf("%s: at %d: %v", name, at, err)
			}
			if !bytes.Equal(b, body[at:at+tarBlock]) {
				t.Fatalf("%s: the block at %d is another", name, at)
			}
			at += tarBlock
			size := sizes[n%len(sizes)]
			if at+size+tarBlock > int64(len(body)) {
				break
			}
			if n%5 == 4 {
				if err := f.skip(size); err != nil {
					t.Fatalf("%s: at %d: %v", name, at, err)
				}
				at += size
				continue
			}
			place := make([]byte, int(size)+n%3*f.roomBehind(size))[:size]
			if err := f.readFull(place); err != nil || !bytes.Equal(place, body[at:at+size]) {
				t.Fatalf("%s: the %d bytes at %d are others, %v", name, size, at, err)
			}
			at += size
		}
		if err := f.readFull(make([]byte, len(body))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: read beyond the end: got %v, want %v", name, err, io.ErrUnexpectedEOF)
		}
	}
}
