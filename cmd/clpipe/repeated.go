package main

import (
	"context"
	"fmt"
	"log/slog"

	"clpipe/batch"
	"clpipe/internal/rng"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// repeated is a source of files that are at hand, for training on few of them.
type repeated struct {
	meta   batch.Metadata
	size   int
	row    func(i int) batch.Row // its epoch is filled in
	file   func(i int) ([]byte, error)
	order  func(epoch uint32) rng.Stream // draws the order of an epoch; nil: as they are
	epochs uint32                        // 0: without an end
}

// Files of a record, at most.
const (
	repeatedRows  = 64
	repeatedBytes = 1 << 26
)

// stage is a batch.Stage that writes encoded/1.
func (r repeated) stage(ctx context.Context, _ batch.Reader, out batch.Writer) error {
	schema := batch.EncodedSchema(r.meta)
	if err := out.Open(ctx, schema); err != nil {
		return err
	}
	b := batch.NewEncodedBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	perm := make([]int, r.size)
	for i := range perm {
		perm[i] = i
	}
	for epoch := uint32(0); r.epochs == 0 || epoch < r.epochs; epoch++ {
		if r.order != nil {
			draw := r.order(epoch)
			draw.Perm(perm)
		}
		for _, i := range perm {
			row := r.row(i)
			row.Epoch = epoch
			file, err := r.file(i)
			if err != nil {
				return err
			}
			b.Append(row, file)
			if b.Len() == repeatedRows || b.Bytes() > repeatedBytes {
				if err := out.Write(ctx, b.NewRecord()); err != nil {
					return err
				}
			}
		}
		if b.Len() > 0 {
			if err := out.Write(ctx, b.NewRecord()); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachOnce tells of every one of n images of a repeated source that is damaged, in its
// first epoch. Where all are that is an error: epochs without a view would follow each
// other forever.
func eachOnce(log *slog.Logger, n int, source, images string) func(batch.Reject) error {
	damaged := 0
	return func(r batch.Reject) error {
		if r.Epoch > 0 { // the same images again
			return nil
		}
		log.Warn("rejected " + r.Error())
		if damaged++; damaged == n {
			return fmt.Errorf("%s: none of the %d %s can be read, the last: %w", source, n, images, r)
		}
		return nil
	}
}
