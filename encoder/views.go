package encoder

import (
	"context"
	"errors"
	"fmt"
	"io"

	"clpipe/batch"
)

// EachView calls f with the anchors of a stream of pairs/1, in order: uint8 [H,W,3] as
// the network's input wants, and the row they are in. It stops where f has enough, fails
// or the stream ends; what f is given lives no longer than its call.
func EachView(ctx context.Context, in batch.Reader, input Shape, f func(view []byte, of *batch.Pairs, row int) (more bool, err error)) error {
	schema, err := in.Schema(ctx)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := batch.Expect(schema, batch.PairsKind); err != nil {
		return err
	}
	for more := true; more; {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		pairs, err := batch.NewPairs(rec)
		if err == nil {
			err = checkViews(pairs, input)
		}
		width := input.H * input.W * 3
		for row := 0; err == nil && more && row < pairs.Len(); row++ {
			more, err = f(pairs.Anchor[row*width:][:width], pairs, row)
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// checkViews refuses views of another size than the network's input.
func checkViews(pairs *batch.Pairs, input Shape) error {
	if s := pairs.Shape; len(s) != 3 || s[0] != input.H || s[1] != input.W {
		return fmt.Errorf("encoder: the stream holds views of %v, the network takes [%d %d 3]", s, input.H, input.W)
	}
	return nil
}
