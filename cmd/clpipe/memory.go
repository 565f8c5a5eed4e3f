package main

import (
	"runtime/debug"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"

	"clpipe/contrast"
	"clpipe/ingest"
)

// memoryCeiling returns --mem in bytes; by default half of what the machine, or
// the control group, has. 0 means that nobody knows.
func (c *commonFlags) memoryCeiling() (int64, error) {
	if c.mem != "" {
		n, err := humanize.ParseBytes(strings.ReplaceAll(c.mem, " ", ""))
		if err != nil || n < 1<<20 {
			return 0, usagef("--mem is %q, want a size of at least 1MiB, as 2GiB", c.mem)
		}
		return int64(n), nil
	}
	return machineMemory() / 2, nil
}

// machineMemory returns the bytes that the machine, or the control group, has; 0
// means that nobody knows.
func machineMemory() int64 {
	total, err := memlimit.FromCgroup()
	if err != nil || total == 0 {
		if total, err = memlimit.FromSystem(); err != nil {
			return 0
		}
	}
	return int64(total)
}

// checkMemory refuses a run whose activations and weights alone are more than the
// machine has, before they are asked for: without memory Go ends the program.
func checkMemory(cfg contrast.Config) error {
	need, err := cfg.Memory()
	if err != nil {
		return err
	}
	have := machineMemory()
	if have == 0 || need.Activations+need.Weights <= have {
		return nil
	}
	less := "lower --batch or --size, or take --preset small"
	if cfg.Uses("chunk") {
		less += ", or --chunk for a part of the batch at a time"
	}
	size := func(n int64) string { return humanize.IBytes(uint64(n)) }
	return usagef("the run needs %s for activations and %s for weights, the machine has %s: %s", size(need.Activations), size(need.Weights), size(have), less)
}

// buffers is what streams, shuffle and decoding may hold at once.
type buffers struct {
	shuffle int64 // the shuffle buffer's ceiling, or what is read ahead by an index, and the index
	reading int64 // of shards, ahead of their turn, and of images and records in work
	records int64 // of images, between the stages
	pairs   int64 // likewise
}

// buffersOf estimates the buffers of a pipeline that makes records of rows pairs
// of views*side*side*3 bytes. Between two stages wait streamDepth records, and
// each of the two holds one.
func buffersOf(src *ingest.Source, rows, side, views int) buffers {
	return buffers{
		shuffle: src.HeldBytes(),
		reading: src.ReadingBytes(),
		records: (streamDepth + 2) * src.Config().RecordBytes,
		pairs:   (streamDepth + 2) * int64(rows) * int64(side*side*3*views),
	}
}

// keepWithin checks the buffers against --mem and holds Go's collector to it,
// weights and activations, fixed in bytes, coming on top.
func (c *commonFlags) keepWithin(b buffers, fixed int64) error {
	ceiling, err := c.memoryCeiling()
	if err != nil || ceiling == 0 {
		return err
	}
	size := func(n int64) string { return humanize.IBytes(uint64(n)) }
	if need := b.shuffle + b.reading + b.records + b.pairs; need > ceiling {
		return usagef("--mem is %s, but the shuffle buffer may take %s, reading %s, records of images %s and of pairs %s: raise --mem, or lower --shuffle-bytes, --workers, --interleave, --batch or --size",
			size(ceiling), size(b.shuffle), size(b.reading), size(b.records), size(b.pairs))
	}
	debug.SetMemoryLimit(ceiling + fixed)
	return nil
}
