package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// A source of pairs and a sink that looks at them, joined in one process.
func ExampleRun() {
	mem := memory.DefaultAllocator
	source := func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		schema := batch.PairsSchema(batch.Metadata{batch.KeySeed: "1"}, 2, 2, 2, 3) // two views of 2x2 pixels
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		b := batch.NewPairsBuilder(mem, schema, 2)
		for i, id := range []string{"cats/tom", "dogs/rex"} {
			b.SetRow(i, batch.Row{ID: id, Index: uint64(i), Label: int64(i), HasLabel: true})
			for v := range b.Views() {
				b.View(v, i)[0] = byte(100*i + v) // the red of the first pixel
			}
		}
		return out.Write(ctx, b.NewRecord(nil))
	}
	sink := func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		schema, err := in.Schema(ctx)
		if err != nil {
			return err
		}
		if _, err := batch.Expect(schema, batch.PairsKind); err != nil {
			return err
		}
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			pairs, err := batch.NewPairs(rec)
			if err != nil {
				rec.Release()
				return err
			}
			fmt.Println(pairs.AnchorTensor().Shape())
			width := len(pairs.Anchor) / pairs.Len()
			for i := range pairs.Len() {
				fmt.Println(pairs.ID(i), pairs.Anchor[i*width], pairs.Positive[i*width])
			}
			rec.Release()
		}
	}
	if err := batch.Run(context.Background(), 2, nil, nil, source, sink); err != nil {
		fmt.Println(err)
	}
	// Output:
	// (2, 2, 2, 3)
	// cats/tom 0 1
	// dogs/rex 100 101
}
