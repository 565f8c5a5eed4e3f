package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

const (
	// streamRecords are written in turn, so that what is written lies no better
	// in the caches than what a stage has just made.
	streamRecords = 4
	// streamRun is about how many bytes go through the pipe between two
	// acknowledgements, of which the last pipeful is not hidden.
	streamRun = 128 << 20
)

// stream measures records of pairs on their way through a pipe of the operating
// system: this process writes them, a second one of the same program reads them.
func (b *bench) stream(ctx context.Context) ([]timing, error) {
	if b.acknowledge > 0 {
		return nil, b.readStream(ctx)
	}
	cases := []struct{ size, rows int }{{32, 256}, {224, 64}}
	if b.views.size != 0 || changed(b.fs, "batch") {
		if b.views.size < 1 || b.method.batch < 1 {
			return nil, usagef("--size is %d and --batch %d, want both, at least 1", b.views.size, b.method.batch)
		}
		cases = cases[:1]
		cases[0].size, cases[0].rows = b.views.size, b.method.batch
	}
	b.kernel = "none"
	b.setup = "stream: records of pairs through one pipe, from a process to another"
	var out []timing
	for _, c := range cases {
		t, err := b.streamPairs(ctx, c.size, c.rows)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// streamPairs measures records of so many pairs of views of a size.
func (b *bench) streamPairs(ctx context.Context, size, rows int) (t timing, err error) {
	records := noisePairs(size, rows)
	defer records.release()
	pairBytes := 2 * 3 * size * size
	n := min(max(streamRun/(rows*pairBytes), 1), 256)

	consumer, err := b.startReader(ctx, n)
	if err != nil {
		return timing{}, err
	}
	defer func() { err = errors.Join(err, consumer.close()) }()
	w := batch.NewIPCWriter("the pipe", consumer.pipe, memory.DefaultAllocator)
	if err := w.Open(ctx, records.schema); err != nil {
		return timing{}, err
	}
	next := 0
	seconds, err := b.measure(ctx, func() error {
		for range n {
			rec := records.records[next%streamRecords]
			next++
			rec.Retain()
			if err := w.Write(ctx, rec); err != nil {
				return err
			}
		}
		_, err := io.ReadFull(consumer.answers, make([]byte, 1))
		return err
	})
	if err != nil {
		return timing{}, err
	}
	t = timing{name: fmt.Sprintf("%d px, %d pairs a record", size, rows), work: float64(n * rows), unitBytes: pairBytes, count: 1, seconds: seconds}
	return t, w.Finish()
}

// noisePairs returns records of pairs that no compression or page of zeros helps.
func noisePairs(size, rows int) *shelf {
	s := &shelf{schema: batch.PairsSchema(nil, 2, size, size, 3)}
	random := rand.NewChaCha8([32]byte{})
	for range streamRecords {
		builder := batch.NewPairsBuilder(memory.DefaultAllocator, s.schema, rows)
		for i := range rows {
			builder.SetRow(i, batch.Row{ID: fmt.Sprintf("noise/%06d", i), Index: uint64(i)})
			for v := range builder.Views() {
				random.Read(builder.View(v, i))
			}
		}
		s.records = append(s.records, builder.NewRecord(nil))
	}
	return s
}

// A streamReader is the process at the other end of the pipe.
type streamReader struct {
	*exec.Cmd
	pipe    *os.File  // its standard input, to write to
	answers io.Reader // a byte for every so many records
}

// startReader starts this program as the reader of a stream, who answers after
// every n records.
func (b *bench) startReader(ctx context.Context, n int) (*streamReader, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	enlargePipe(pipe)
	pipe.Fd() // makes it block, as a standard output does
	r := &streamReader{Cmd: exec.CommandContext(ctx, program, "bench", b.kind.name, "--acknowledge", strconv.Itoa(n)), pipe: pipe}
	r.Args[0] = os.Args[0]
	r.Stdin, r.Stderr = in, b.std.err
	if r.answers, err = r.StdoutPipe(); err == nil {
		err = r.Start()
	}
	if err != nil {
		pipe.Close()
		return nil, err
	}
	return r, nil
}

// close waits for the reader's end.
func (r *streamReader) close() error {
	r.pipe.Close()
	return r.Wait()
}

// readStream is the reader's part: it looks at every record as a stage does.
func (b *bench) readStream(ctx context.Context) error {
	in, err := stdinReader(b.std)
	if err != nil {
		return err
	}
	defer in.Close()
	for n := 1; ; n++ {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := lookAtPairs(rec); err != nil {
			return err
		}
		if n%b.acknowledge == 0 {
			if _, err := b.std.out.Write([]byte{'.'}); err != nil {
				return err
			}
		}
	}
}

func lookAtPairs(rec arrow.Record) error {
	defer rec.Release()
	_, err := batch.NewPairs(rec)
	return err
}
