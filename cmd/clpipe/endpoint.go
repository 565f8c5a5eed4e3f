package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"clpipe/augment"
	"clpipe/batch"
	"clpipe/sink"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
)

// The forms of a stream's other end, beside a path and "-". A socket carries
// one stream: its listener goes when somebody has connected.
const (
	connectPrefix = "unix:"
	listenPrefix  = "unix-listen:"
	endpointHelp  = "file, named pipe, unix:PATH or unix-listen:PATH (connects or listens), or -"
)

var errTwoInputs = usagef("--in and --src are both given: read a stream or shards")

// connectPatience is how long a socket is waited for that nobody listens on yet.
const connectPatience = 10 * time.Second

// inputStream is a stream that another process writes, or wrote.
type inputStream struct {
	*batch.IPCReader
	src io.Closer // nil: standard input
}

// openInput opens a stream for reading. It waits for whoever is to write it;
// cancelling ends that.
func openInput(ctx context.Context, std stdio, path string) (*inputStream, error) {
	if path == "-" {
		in, err := stdinReader(std)
		if err != nil {
			return nil, err
		}
		return &inputStream{IPCReader: in}, nil
	}
	src, err := openEnd(ctx, path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	in := batch.NewIPCReader(path, src, memory.DefaultAllocator)
	in.Recycle()
	return &inputStream{IPCReader: in, src: src}, nil
}

// Close ends reading, also where a read is under way.
func (s *inputStream) Close() {
	s.IPCReader.Close()
	if s.src != nil {
		s.src.Close()
	}
}

// outputStream is a stream for another process.
type outputStream struct {
	*batch.IPCWriter
	dst io.Closer // nil: standard output

	path  string   // of a file, written beside and renamed at the end; "": nothing to rename
	count *counter // of the rows of a file; nil: none, whoever reads shows how it goes on
	std   stdio
}

// Write counts a file's rows.
func (s *outputStream) Write(ctx context.Context, rec arrow.Record) error {
	rows := rec.NumRows()
	err := s.IPCWriter.Write(ctx, rec)
	if err == nil && s.count != nil {
		s.count.add(rows)
	}
	return err
}

// openOutput opens a stream of what for writing, with its records compressed as
// compress says. Like openInput it waits for the other process; how a file grows is
// shown unless quiet.
func openOutput(ctx context.Context, std stdio, path, compress, what string, quiet bool) (*outputStream, error) {
	opts, err := compression(compress)
	if err != nil {
		return nil, err
	}
	if path == "-" {
		if err := noTerminal(std, "the stream"); err != nil {
			return nil, err
		}
		if f, ok := std.out.(*os.File); ok {
			enlargePipe(f)
		}
		return &outputStream{IPCWriter: batch.NewIPCWriter("standard output", std.out, memory.DefaultAllocator, opts...)}, nil
	}
	out := &outputStream{std: std}
	at := path
	if !isSocket(path) {
		place, isFile, err := sink.Destination(path)
		if err != nil {
			return nil, fmt.Errorf("-o %s: %w", path, err)
		}
		if isFile { // what it holds stays until the stream is whole
			out.path, at = place, place+".tmp"
		}
	}
	dst, err := openEnd(ctx, at, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	out.IPCWriter, out.dst = batch.NewIPCWriter(path, dst, memory.DefaultAllocator, opts...), dst
	if out.path != "" {
		out.count = newCounter(std.err, quiet, what, 0)
	}
	return out, nil
}

// isSocket tells whether an end of a stream is a socket.
func isSocket(path string) bool {
	return strings.HasPrefix(path, listenPrefix) || strings.HasPrefix(path, connectPrefix)
}

// noTerminal refuses a terminal as the output of what is binary.
func noTerminal(std stdio, what string) error {
	if f, ok := std.out.(*os.File); ok && isTerminal(f) {
		return usagef("standard output is a terminal and %s is binary: pipe it on or name a file with -o", what)
	}
	return nil
}

// close ends the stream: with its end marker if what was written is all, and
// otherwise as a reader takes for a producer that died; a file is then as it was
// before. It returns err, or why the end could not be written, and says what a file
// holds.
func (s *outputStream) close(err error) error {
	if err == nil {
		err = s.Finish()
	}
	if s.dst != nil {
		err = errors.Join(err, s.dst.Close())
	}
	if s.path == "" {
		return err
	}
	s.count.finish()
	if err != nil {
		os.Remove(s.path + ".tmp") // err says more than this one could
		return err
	}
	if err := os.Rename(s.path+".tmp", s.path); err != nil {
		return err
	}
	return s.count.result(s.std.out, s.path)
}

// addStreamInput adds the flag of a command that reads a stream.
func addStreamInput(fs *pflag.FlagSet, input *string, of string) {
	fs.StringVar(input, "in", "-", "stream of "+of+" to read: "+endpointHelp)
}

// addStreamOutput adds the flags of a command that writes a stream.
func addStreamOutput(fs *pflag.FlagSet, output, compress *string) {
	fs.StringVarP(output, "output", "o", "-", "where to write: "+endpointHelp)
	fs.StringVar(compress, "compress", "none", "compression of the records: none, lz4 or zstd")
}

// maxRecordBytes is the most that a record for another process holds, unless a
// single row is larger: readers refuse one of 2 GiB.
const maxRecordBytes = 1 << 30

// pairsInRecord returns how many pairs a record holds: as many as asked for, within
// so many bytes.
func pairsInRecord(policy *augment.Policy, rows int, bytes int64) int {
	return max(1, min(rows, int(bytes)/policy.RowBytes()))
}

// byteSize reads a size such as 16MiB; "" is 0.
func byteSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n < 1 || n > maxRecordBytes {
		return 0, usagef("--%s is %q, want a size as 16MiB, at most 1GiB: a record stays below 2 GiB", flag, text)
	}
	return int64(n), nil
}

// compression returns the writer's options for --compress.
func compression(name string) ([]ipc.Option, error) {
	switch name {
	case "none":
		return nil, nil
	case "lz4":
		return []ipc.Option{ipc.WithLZ4()}, nil
	case "zstd":
		return []ipc.Option{ipc.WithZstd()}, nil
	}
	return nil, usagef("--compress is %q, want none, lz4 or zstd", name)
}

// openEnd opens one end of a stream: a socket, or a file with flag.
func openEnd(ctx context.Context, path string, flag int) (io.ReadWriteCloser, error) {
	if socket, ok := strings.CutPrefix(path, listenPrefix); ok {
		return acceptOne(ctx, socket)
	}
	if socket, ok := strings.CutPrefix(path, connectPrefix); ok {
		return connect(ctx, socket, connectPatience)
	}
	f, err := openFile(ctx, path, flag)
	if err != nil {
		return nil, err
	}
	enlargePipe(f)
	return f, nil
}

// openFile is os.OpenFile, except that the wait for the other end of a named
// pipe can be cancelled: whoever opens such a pipe both ways is that other end.
func openFile(ctx context.Context, path string, flag int) (*os.File, error) {
	opened := make(chan struct{})
	defer close(opened)
	stop := context.AfterFunc(ctx, func() {
		if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			<-opened
			f.Close()
		}
	})
	f, err := os.OpenFile(path, flag, 0o666)
	if !stop() && err == nil {
		f.Close()
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// connect connects to a socket, and waits a while for one to be listened on: who
// starts two processes need not start the listener first.
func connect(ctx context.Context, path string, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nobody listens there: start the other process on %s%s", listenPrefix, path))
	defer cancel()
	again := time.NewTicker(max(patience/500, time.Microsecond))
	defer again.Stop()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		nobody := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if patient := nobody || errors.Is(err, context.DeadlineExceeded); !patient {
			return conn, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %s%s: %w", connectPrefix, path, context.Cause(ctx))
		}
	}
}

// acceptOne listens on a socket until somebody connects.
func acceptOne(ctx context.Context, path string) (net.Conn, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s%s: the file exists: remove it, unless a process listens there", listenPrefix, path)
	}
	if err != nil {
		return nil, err
	}
	defer l.Close() // removes the socket's file too
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	conn, err := l.Accept()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return conn, err
}
