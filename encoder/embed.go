package encoder

import (
	"context"
	"errors"
	"fmt"
	"io"

	"clpipe/batch"
	"clpipe/internal/kernel"
	"clpipe/internal/par"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// EmbedConfig says what an Embedder computes.
type EmbedConfig struct {
	Graph  *Graph
	Params *Params
	// Output is the named output that is emitted, as "features" or "embedding"; of
	// a map all pixels one after the other.
	Output  string
	Batch   int // images at once; the last may be fewer
	Conv    kernel.Algorithm
	Workers int
	Mem     memory.Allocator
}

// Embedder runs a trained network over a stream: pairs/1 in, of which the
// anchors count, embeddings/1 out. Batch normalisation uses its running
// statistics and nothing of the network changes.
type Embedder struct {
	cfg  EmbedConfig
	plan *Plan
}

// NewEmbedder compiles the network for inference.
func NewEmbedder(cfg EmbedConfig) (*Embedder, error) {
	if _, ok := cfg.Graph.Find(cfg.Output); !ok {
		return nil, fmt.Errorf("encoder: embed: the network has no output %q", cfg.Output)
	}
	plan, err := Compile(cfg.Graph, Options{Batch: cfg.Batch, Mode: Eval, Conv: cfg.Conv, Workers: par.Count(cfg.Workers)})
	if err != nil {
		return nil, err
	}
	return &Embedder{cfg, plan}, nil
}

// MemoryBytes returns the memory of each Stage: of activations and packed weights.
func (e *Embedder) MemoryBytes() int64 {
	own, space := e.plan.ArenaBytes()
	return own + space + e.plan.PackedBytes()
}

// Stage is a batch.Stage.
func (e *Embedder) Stage(ctx context.Context, in batch.Reader, out batch.Writer) error {
	schema, err := in.Schema(ctx)
	if errors.Is(err, io.EOF) {
		return errors.New("encoder: embed: the stream ended before it said what it holds")
	}
	if err != nil {
		return err
	}
	if _, err := batch.Expect(schema, batch.PairsKind); err != nil {
		return err
	}
	pool := par.NewPool(e.cfg.Workers)
	defer pool.Close()
	arena := e.plan.Bind(e.cfg.Params, pool).NewArena()
	rows := arena.Output(e.cfg.Output)
	outSchema := batch.EmbeddingsSchema(batch.MetadataOf(schema), rows.D*rows.N/e.cfg.Batch)
	if err := out.Open(ctx, outSchema); err != nil {
		return err
	}
	input := e.cfg.Graph.Inputs[0].Shape
	pixels := make([]byte, e.cfg.Batch*input.H*input.W*3) // the last batch, filled up
	for {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := e.embed(ctx, rec, arena, rows, outSchema, pixels, out); err != nil {
			return err
		}
	}
}

// embed writes the embeddings of a record's anchors, a record for each batch.
func (e *Embedder) embed(ctx context.Context, rec arrow.Record, arena *Arena, rows Rows, schema *arrow.Schema, pixels []byte, out batch.Writer) error {
	defer rec.Release()
	pairs, err := batch.NewPairs(rec)
	if err != nil {
		return err
	}
	width := len(pixels) / e.cfg.Batch
	if err := checkViews(pairs, e.cfg.Graph.Inputs[0].Shape); err != nil {
		return err
	}
	for from := 0; from < pairs.Len(); from += e.cfg.Batch {
		n := min(e.cfg.Batch, pairs.Len()-from)
		anchors := pairs.Anchor[from*width : (from+n)*width]
		if n < e.cfg.Batch {
			copy(pixels, anchors)
			anchors = pixels
		}
		arena.Forward(anchors)
		if err := out.Write(ctx, e.record(pairs, from, n, rows, schema)); err != nil {
			return err
		}
	}
	return nil
}

func (e *Embedder) record(pairs *batch.Pairs, from, n int, rows Rows, schema *arrow.Schema) arrow.Record {
	b := array.NewRecordBuilder(e.cfg.Mem, schema)
	defer b.Release()
	ids, labels := b.Field(0).(*array.StringBuilder), b.Field(1).(*array.Int64Builder)
	vectors := b.Field(2).(*array.FixedSizeListBuilder)
	values := vectors.ValueBuilder().(*array.Float32Builder)
	for i := range n {
		ids.Append(pairs.ID(from + i))
		if label, ok := pairs.Label(from + i); ok {
			labels.Append(label)
		} else {
			labels.AppendNull()
		}
		vectors.Append(true)
		pixels := rows.N / e.cfg.Batch
		for p := i * pixels; p < (i+1)*pixels; p++ {
			values.AppendValues(rows.Row(p), nil)
		}
	}
	return b.NewRecord()
}
