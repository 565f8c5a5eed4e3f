package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"clpipe/batch"
	"clpipe/ingest/cache"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Defaults of Config. They decide the order and may not change.
const (
	DefaultShuffleBuffer = 4096
	DefaultShuffleBytes  = 512 << 20
	DefaultInterleave    = 8
)

// DefaultCacheBytes is the default of Config.CacheBytes.
const DefaultCacheBytes = 50e9

// Config says what to read and in which order. The zero value of every field
// but Sources is its default.
type Config struct {
	// Sources are what --src names: a directory of shards or of folders of
	// images, a file, a brace pattern as train-{000000..000009}.tar, a glob;
	// the same below s3://bucket/; files or a brace pattern below http:// or
	// https://; "-", an archive on standard input, which is good for one epoch.
	Sources []string
	// NoSignRequest sends no credentials to S3, for public buckets.
	NoSignRequest bool
	// StallTimeout is how long a remote file may go without a byte before the
	// connection is given up for a new one; default 30 s.
	StallTimeout time.Duration
	// CacheDir is a folder that keeps blocks of remote files for the next epoch
	// and run, "" for none; see package cache.
	CacheDir string
	// CacheBytes bounds what it keeps; default 50 GB.
	CacheBytes int64
	// Stdin is what "-" reads; nil is the process's, whose beginning is kept for
	// the next Source.
	Stdin io.Reader
	// Encoded emits the files' bytes as encoded/1; otherwise they are decoded
	// to images/1.
	Encoded bool
	// Offsets adds to encoded records the samples' offsets in their shards, for
	// a stage of the same process that names them in rejects.
	Offsets bool

	// Seed decides the order.
	Seed uint64
	// Epochs is how many epochs there are in all; 0 goes on until the reader
	// leaves.
	Epochs int
	// From is the first sample to emit; of Epochs those before are left out.
	From batch.Position
	// Shuffle permutes shards and samples; off, the shards are read as sorted,
	// one after the other.
	Shuffle bool
	// ShuffleBuffer is how many samples are shuffled among each other;
	// default 4096.
	ShuffleBuffer int
	// ShuffleBytes bounds the images in the buffer; default 512 MiB. It takes
	// part in the order, so it should not follow the machine's memory.
	ShuffleBytes int64
	// Interleave is how many shards are read at once; default 8. Of those that
	// are fetched or unpacked each is read some 2 MiB ahead.
	Interleave int
	// Limit is the most samples of an epoch, rejected ones included; 0 is all. Of
	// ranks that divide whole shards it holds for each.
	Limit int
	// Rank and World select this process's part: of an indexed set every
	// World-th sample of the order, else whole shards. World 0 is 1.
	Rank, World int
	// KeepTail gives each of several ranks all of its part; otherwise the ranks
	// have equally many samples, as far as they can be counted beforehand, and
	// what is over is left out at the end of the epoch.
	KeepTail bool

	// Index is a file that clpipe shards index has written, wherever it lies,
	// AutoIndex for the one beside each of the sources, or NoIndex, as "". Where
	// every image can be read by itself, the order is then a full permutation.
	Index string
	// AheadBytes bounds what is read ahead of an indexed set; default 64 MiB.
	AheadBytes int64

	// Workers read and decode; 0 is one for every processor.
	Workers int
	// RecordRows is the most rows of a record; default 256.
	RecordRows int
	// RecordBytes is the most bytes of images in a record, unless a single
	// one is larger; default 16 MiB.
	RecordBytes int64
	// MaxPixels is the largest image decoded, width times height; default
	// 128 Mi.
	MaxPixels int64
	// ExifTranspose turns decoded images upright, as their EXIF data say. Encoded
	// ones go on as they are.
	ExifTranspose bool
	// MaxSampleBytes is the largest image file read; default 64 MiB.
	MaxSampleBytes int64

	// Rejects counts samples and says when too many are damaged; default 1 %.
	// In encoded mode the stage that decodes the records calls its EndEpoch.
	Rejects *batch.Rejects
	// Mem is where records come from; default Go's memory.
	Mem memory.Allocator
	// Log receives warnings; nil drops them.
	Log *slog.Logger
	// Progress is told of every sample that Verify has checked, by its workers;
	// nil drops it.
	Progress func()

	// wait replaces the clock of repeated requests in tests.
	wait func(ctx context.Context, d time.Duration) error
	// moved is told of bytes that have come from a server.
	moved func()
}

func (c Config) withDefaults() Config {
	setDefault(&c.World, 1)
	setDefault(&c.ShuffleBuffer, DefaultShuffleBuffer)
	setDefault(&c.ShuffleBytes, DefaultShuffleBytes)
	setDefault(&c.Interleave, DefaultInterleave)
	setDefault(&c.Workers, runtime.GOMAXPROCS(0))
	setDefault(&c.RecordRows, 256)
	setDefault(&c.RecordBytes, 16<<20)
	setDefault(&c.MaxPixels, 128<<20)
	setDefault(&c.MaxSampleBytes, 64<<20)
	setDefault(&c.StallTimeout, 30*time.Second)
	setDefault(&c.AheadBytes, 64<<20)
	setDefault(&c.CacheBytes, DefaultCacheBytes)
	if !c.Shuffle {
		c.ShuffleBuffer, c.Interleave = 1, 1
	}
	if c.Rejects == nil {
		c.Rejects = &batch.Rejects{Max: 0.01}
	}
	if c.Mem == nil {
		c.Mem = memory.DefaultAllocator
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func() {}
	}
	return c
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// maxColumnBytes is what a column of a record can hold: its offsets are int32.
const maxColumnBytes = 1<<31 - 1

// Validate returns everything that is wrong with c, joined, as a *UsageError.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, field string, got any, want string) {
		if !ok {
			problems = append(problems, fmt.Errorf("ingest: config: %s: got %v, want %s", field, got, want))
		}
	}
	d := c.withDefaults()
	check(len(c.Sources) > 0, "Sources", c.Sources, "at least one")
	check(d.Epochs >= 0, "Epochs", d.Epochs, "0 or more")
	check(d.ShuffleBuffer > 0, "ShuffleBuffer", d.ShuffleBuffer, "1 or more, or 0 for the default")
	check(d.ShuffleBytes > 0, "ShuffleBytes", d.ShuffleBytes, "1 or more, or 0 for the default")
	check(d.Interleave > 0, "Interleave", d.Interleave, "1 or more, or 0 for the default")
	check(d.Limit >= 0, "Limit", d.Limit, "0 or more")
	check(d.World > 0, "World", d.World, "1 or more")
	check(d.Rank >= 0 && d.Rank < max(d.World, 1), "Rank", d.Rank, fmt.Sprintf("0 to World-1 = %d", d.World-1))
	check(d.Workers > 0, "Workers", d.Workers, "1 or more, or 0 for one a processor")
	check(d.RecordRows > 0, "RecordRows", d.RecordRows, "1 or more, or 0 for the default")
	check(d.RecordBytes > 0 && d.RecordBytes <= 1<<30, "RecordBytes", d.RecordBytes, "1 to 1 GiB, or 0 for the default")
	check(d.MaxPixels > 0 && d.MaxPixels <= maxColumnBytes/3, "MaxPixels", d.MaxPixels, fmt.Sprintf("1 to %d, or 0 for the default", maxColumnBytes/3))
	check(d.MaxSampleBytes > 0 && d.MaxSampleBytes <= 1<<30, "MaxSampleBytes", d.MaxSampleBytes, "1 to 1 GiB, or 0 for the default")
	check(d.AheadBytes > 0, "AheadBytes", d.AheadBytes, "1 or more, or 0 for the default")
	check(d.StallTimeout > 0, "StallTimeout", d.StallTimeout, "a time, or 0 for the default")
	check(d.CacheBytes >= cache.MinBytes, "CacheBytes", d.CacheBytes, fmt.Sprintf("at least %d, one block, or 0 for the default", cache.MinBytes))
	if len(problems) > 0 {
		return &UsageError{errors.Join(problems...)}
	}
	return nil
}
