package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// blockBytes is the length of a short request: long enough that asking does
// not count, short enough to hold in memory for each file that is read.
const blockBytes = 4 << 20

// stream reads an object from a byte on, to its end or another. It keeps the
// context of Open: io.Reader has no place for it.
type stream struct {
	ctx      context.Context
	obj      *Object
	offset   int64  // of the next byte to hand out
	size     int64  // of the whole object, -1 until known
	end      int64  // byte to stop before, -1: the object's last
	version  string // "" until known
	failures int    // requests that failed since the last byte

	body  io.ReadCloser // held open, nil: none
	block []byte        // bytes of a short request not handed out yet
	room  []byte        // for blocks
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for s.offset != s.size && s.offset != s.end {
		n, err := s.read(p)
		if n > 0 {
			s.offset += int64(n)
			s.failures = 0
			if moved := s.obj.Link.Moved; moved != nil {
				moved()
			}
			return n, nil // an error comes again with the next read
		}
		if err == nil {
			continue
		}
		s.Close()
		if err := s.obj.Link.again(s.ctx, "read", s.obj.Where, s.offset, &s.failures, err); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

// Close drops the body. Reading may go on: it asks for a new one.
func (s *stream) Close() error {
	if s.body == nil {
		return nil
	}
	s.obj.Link.gate.leave()
	body := s.body
	s.body = nil
	return body.Close()
}

// read returns bytes at offset, if there are any at hand or to be had from the
// body. Any error means that the body has to go.
func (s *stream) read(p []byte) (int, error) {
	gate := &s.obj.Link.gate
	if len(s.block) > 0 {
		n := copy(p, s.block)
		s.block = s.block[n:]
		return n, nil
	}
	if s.body != nil && s.obj.Ranges && gate.crowded() {
		s.Close()
	}
	if s.body == nil {
		if !gate.keep(!s.obj.Ranges) {
			return 0, s.fill()
		}
		var err error
		if s.body, err = s.ask(max(s.end, 0) - 1); err != nil {
			gate.leave()
			return 0, err
		}
	}
	// The body of a server that sends no parts goes on, and one may be longer
	// than its server says.
	if stop := s.stop(); stop >= 0 {
		p = p[:min(int64(len(p)), stop-s.offset)]
	}
	n, err := s.body.Read(p)
	if errors.Is(err, io.EOF) && n == 0 && s.size < 0 {
		s.size, err = s.offset, nil
	}
	return n, err
}

// stop is the byte to stop before, -1 if it is not known.
func (s *stream) stop() int64 {
	if s.end >= 0 {
		return s.end
	}
	return s.size
}

// fill reads the next block by a short request.
func (s *stream) fill() error {
	leave, err := s.obj.Link.gate.enter(s.ctx)
	if err != nil {
		return err
	}
	defer leave()
	length := int64(blockBytes)
	if stop := s.stop(); stop >= 0 {
		length = min(length, stop-s.offset)
	}
	if int64(len(s.room)) < length {
		s.room = make([]byte, length)
	}
	room := s.room[:length]
	body, err := s.ask(s.offset + length - 1)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.ReadFull(body, room)
	s.block = room[:n]
	if n > 0 {
		return nil // what is missing is asked for by the next block
	}
	return err
}

// ask requests the bytes from offset to the given one, -1 for all, and returns
// a body that begins at offset.
func (s *stream) ask(to int64) (io.ReadCloser, error) {
	w := s.obj.Link.watch(s.ctx)
	w.arm()
	got, err := s.obj.Get(w.ctx, Request{From: s.offset, To: to, Version: s.version})
	w.disarm()
	if err != nil {
		err = w.explain(err)
		w.close()
		return nil, err
	}
	body := &watched{got.Body, w}
	err = s.check(got)
	if err == nil && got.From < s.offset {
		_, err = io.CopyN(io.Discard, body, s.offset)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	s.obj.Link.gate.answered()
	return body, nil
}

// check compares an answer with what was asked for and with those before it. One
// of the same version that does not fit is itself wrong, and the next may not be.
func (s *stream) check(got *Response) error {
	kind := Final
	if s.version != "" && got.Version == s.version {
		kind = Passing
	}
	wrong := func(format string, args ...any) error {
		return &Failure{Kind: kind, Why: fmt.Errorf(format, args...)}
	}
	switch {
	case s.version != "" && got.Version == "":
		return wrong("the server does not say which version of the file it sends, want %.100q as it was listed", s.version)
	case s.version != "" && got.Version != s.version:
		return wrong("the file has changed since it was listed: got version %.100q, want %.100q", got.Version, s.version)
	case s.size >= 0 && got.Size >= 0 && got.Size != s.size && kind == Final:
		return wrong("the file has changed since it was listed: got %d bytes, want %d", got.Size, s.size)
	case s.size >= 0 && got.Size >= 0 && got.Size != s.size:
		return wrong("the server says that this version has %d bytes, want %d", got.Size, s.size)
	case got.From == s.offset:
	case got.From != 0:
		return wrong("the server sent bytes from %d on, want %d", got.From, s.offset)
	case s.obj.Ranges:
		return wrong("the server sent the whole file, want the part from byte %d on", s.offset)
	case s.version == "":
		return final("the connection was cut, and the server neither sends parts of files nor names their version (ETag, Last-Modified)")
	}
	s.size, s.version = max(s.size, got.Size), got.Version
	return nil
}
