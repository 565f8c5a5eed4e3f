package main

import (
	"runtime/debug"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"

	"clpipe/augment"
	"clpipe/contrast"
	"clpipe/ingest"
)

// memoryCeiling returns --mem in bytes; by default half of what the machine, or
// the control group, has. 0 means that nobody knows.
func (c *commonFlags) memoryCeiling() (int64, error) {
	if c.mem != "" {
		n, err := humanize.ParseBytes(strings.ReplaceAll(c.mem, " ", ""))
		if err != nil || n < 1<<20 || n > 1<<60 {
			return 0, usagef("--mem is %q, want a size from 1MiB to 1EiB, as 2GiB", c.mem)
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

func (b buffers) total() int64 { return b.shuffle + b.reading + b.records + b.pairs }

// buffersOf estimates the buffers of a source alone.
func buffersOf(src *ingest.Source) buffers {
	return buffers{shuffle: src.HeldBytes(), reading: src.ReadingBytes()}
}

// pairsOf estimates the buffers of a source and of a stage that makes records of
// rows pairs of it. Between two stages wait streamDepth records, and each of the
// two holds one; beside it images wait for their record of pairs.
func pairsOf(src *ingest.Source, rows int, policy *augment.Policy) buffers {
	b := buffersOf(src)
	b.records = (streamDepth+2)*src.Config().RecordBytes + augment.HeldBytes(src.Config().Workers)
	b.pairs = (streamDepth + 2) * int64(rows) * int64(policy.RowBytes())
	return b
}

// pairsOfStream estimates the buffers of a stage that makes records of rows pairs of a
// stream for another process: a record is made while one is written. The records that
// come are as large as their producer makes them.
func pairsOfStream(workers, rows int, policy *augment.Policy) buffers {
	return buffers{records: augment.HeldBytes(workers), pairs: 2 * int64(rows) * int64(policy.RowBytes())}
}

// keepWithin checks the buffers against --mem and holds Go's collector to it,
// weights and activations, fixed in bytes, coming on top.
func (c *commonFlags) keepWithin(b buffers, fixed int64) error {
	ceiling, err := c.fit(b)
	if ceiling > 0 {
		debug.SetMemoryLimit(ceiling + fixed)
	}
	return err
}

// fit checks the buffers against --mem, which it returns, 0 if it is not known.
func (c *commonFlags) fit(b buffers) (ceiling int64, err error) {
	ceiling, err = c.memoryCeiling()
	if err != nil || ceiling == 0 {
		return 0, err
	}
	size := func(n int64) string { return humanize.IBytes(uint64(n)) }
	if b.total() > ceiling {
		return 0, usagef("--mem is %s, but the shuffle buffer may take %s, reading %s, records of images %s and of pairs %s: raise --mem, or lower --shuffle-bytes, --workers, --interleave, --batch or --size",
			size(ceiling), size(b.shuffle), size(b.reading), size(b.records), size(b.pairs))
	}
	return ceiling, nil
}
