package contrast_test

import (
	"context"
	"fmt"
	"log"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/internal/rng"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Training reads pairs from any stream: here from a stage that makes them up,
// in the command from the stages that read, decode and augment images.
func ExampleTrainer_Train() {
	cfg, err := contrast.Recipe("moco", 8, contrast.Small)
	if err != nil {
		log.Fatal(err)
	}
	cfg.Encoder.Width, cfg.Dim, cfg.Queue, cfg.SplitBN = 1./16, 16, 64, 1 // a network for an example
	cfg.SetBatch(16)
	cfg.Schedule.Base, cfg.Schedule.Steps, cfg.LogEvery = 0.05, 80, 80

	trainer, err := contrast.New(cfg, contrast.Hooks{})
	if err != nil {
		log.Fatal(err)
	}
	defer trainer.Close()
	var summary contrast.Summary
	err = batch.Run(context.Background(), 2, nil, nil, colours(cfg.Batch, cfg.Encoder.Size),
		func(ctx context.Context, pairs batch.Reader, _ batch.Writer) error {
			var err error
			summary, err = trainer.Train(ctx, pairs, console{})
			return err
		})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(summary.Steps, "steps on", summary.Samples, "pairs, finished:", summary.Finished)
	// Output:
	// step 80: against 64 keys, views share more than 1 nat: true
	// checkpoint after step 80
	// 80 steps on 1280 pairs, finished: true
}

// colours is a source of pairs without end: a sample is a colour, its views are
// noisy surfaces of it.
func colours(rows, side int) batch.Stage {
	return func(ctx context.Context, _ batch.Reader, out batch.Writer) error {
		schema := batch.PairsSchema(nil, 2, side, side, 3)
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		for index := uint64(0); ; {
			b := batch.NewPairsBuilder(memory.DefaultAllocator, schema, rows)
			for i := range rows {
				draw := rng.New(1, rng.Synth, index)
				colour := [3]float64{draw.Uniform(30, 220), draw.Uniform(30, 220), draw.Uniform(30, 220)}
				for view := range 2 {
					for p := range b.View(view, i) {
						b.View(view, i)[p] = byte(colour[p%3] + draw.Uniform(-20, 20))
					}
				}
				b.SetRow(i, batch.Row{ID: fmt.Sprint("colour-", index), Index: index})
				index++
			}
			if err := out.Write(ctx, b.NewRecord(nil)); err != nil {
				return err
			}
		}
	}
}

// console is a Recorder that prints. That of the command is a run directory.
type console struct{}

func (console) Log(entry any) error {
	if m, ok := entry.(contrast.Metrics); ok {
		fmt.Printf("step %d: against %d keys, views share more than 1 nat: %v\n", m.Step, m.QueueFilled, m.MIBound > 1)
	}
	return nil
}

func (console) Checkpoint(step int, _ batch.State) error {
	fmt.Println("checkpoint after step", step)
	return nil
}
