package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// FineTuneConfig are the settings of fine-tuning.
type FineTuneConfig struct {
	Seed    uint64 // draws the classifier's initial weights
	Workers int
	Conv    kernel.Algorithm

	Labels []int   // of the images, in any order: each that occurs is a class
	Batch  int     // images per step; default 64
	Steps  int     // length of the run, at least 1
	LR     float64 // at the start of a cosine to 0; default 0.05·Batch/256
}

// FineTuneBatch is the default of FineTuneConfig.Batch.
const FineTuneBatch = 64

// FineTuneEpochs returns the published number of epochs for a share of the
// labels (Chen et al. 2020, appendix B.5): 60 up to 1 %, else 30.
func FineTuneEpochs(share float64) int {
	if share <= 0.01 {
		return 60
	}
	return 30
}

// Logits is the output of a fine-tuned network, a column for each of its classes.
const Logits = "logits"

// A FineTuner trains a network with a linear classifier on its features, all
// weights together, as SimCLR is fine-tuned with few labels (Chen et al. 2020,
// appendix B.5): SGD with Nesterov momentum 0.9, no weight decay, no warm-up. The
// cosine is ours. Batch statistics are those of the batch.
type FineTuner struct {
	// Graph and Params are the network with its classifier, Classes the labels
	// that its logits stand for.
	Graph   *encoder.Graph
	Params  *encoder.Params
	Classes []int

	cfg       FineTuneConfig
	pool      *par.Pool
	arena     *encoder.Arena
	optimizer encoder.Optimizer
	out, grad encoder.Rows

	pixels []byte // of the batch under way
	labels []int  // likewise, as places in Classes
	filled int
	step   int
}

// NewFineTuner adds a classifier to g, whose output "features" it takes and which
// it changes, and starts from the weights start, which it leaves alone. Close
// frees its workers.
func NewFineTuner(g *encoder.Graph, start *encoder.Params, cfg FineTuneConfig) (*FineTuner, error) {
	if cfg.Batch == 0 {
		cfg.Batch = FineTuneBatch
	}
	if cfg.LR == 0 {
		cfg.LR = 0.05 * float64(cfg.Batch) / 256
	}
	classes := slices.Compact(slices.Sorted(slices.Values(cfg.Labels)))
	if len(classes) < 2 || cfg.Steps < 1 {
		return nil, fmt.Errorf("probe: finetune: %d classes and %d steps, want at least two and one", len(classes), cfg.Steps)
	}
	features, ok := g.Find("features")
	if !ok {
		return nil, errors.New("probe: finetune: the network has no features")
	}
	g.Output(Logits, g.Add(classifier, encoder.Linear{Out: len(classes), Bias: true}, features))
	plan, err := encoder.Compile(g, encoder.Options{
		Batch: cfg.Batch, Mode: encoder.Train, Conv: cfg.Conv, Workers: par.Count(cfg.Workers), Grads: []string{Logits}, Repack: true,
	})
	if err != nil {
		return nil, err
	}
	t := &FineTuner{Graph: g, Params: encoder.NewParams(g, cfg.Seed), Classes: classes, cfg: cfg, labels: make([]int, cfg.Batch)}
	state := start.State()
	state.Add(classifier+".", t.Params.State().Under(classifier+"."))
	if err := t.Params.Load(state); err != nil {
		return nil, fmt.Errorf("probe: finetune: %w", err)
	}
	t.pool = par.NewPool(cfg.Workers)
	t.arena = plan.Bind(t.Params, t.pool).NewArena()
	t.optimizer = encoder.NewSGD(t.Params, encoder.SGDConfig{Momentum: 0.9, Nesterov: true}, t.pool)
	t.out, t.grad = t.arena.Output(Logits), t.arena.OutputGrad(Logits)
	in := g.Inputs[0].Shape
	t.pixels = make([]byte, cfg.Batch*in.H*in.W*3)
	return t, nil
}

// classifier is the name of the layer on the features.
const classifier = "classifier"

// Close frees the workers.
func (t *FineTuner) Close() { t.pool.Close() }

// Train is the sink of a stream of labelled views, pairs/1 of which the anchors
// count, and takes as many as its steps do. A stream that ends before is an error, and
// so is a loss that is no number.
func (t *FineTuner) Train(ctx context.Context, in batch.Reader, _ batch.Writer) error {
	err := encoder.EachView(ctx, in, t.Graph.Inputs[0].Shape, func(view []byte, of *batch.Pairs, row int) (bool, error) {
		label, ok := of.Label(row)
		if !ok {
			return true, nil
		}
		class, known := slices.BinarySearch(t.Classes, int(label))
		if !known {
			return false, fmt.Errorf("probe: finetune: an image has label %d, which is none of the %d classes", label, len(t.Classes))
		}
		copy(t.pixels[t.filled*len(view):], view)
		t.labels[t.filled] = class
		if t.filled++; t.filled == t.cfg.Batch {
			if err := t.learn(); err != nil {
				return false, err
			}
		}
		return t.step < t.cfg.Steps, nil
	})
	if err == nil && t.step < t.cfg.Steps {
		err = fmt.Errorf("probe: finetune: the stream ended after %d steps of %d images, want %d", t.step, t.cfg.Batch, t.cfg.Steps)
	}
	return err
}

// learn steps by the cross-entropy of the batch, mean over its images.
func (t *FineTuner) learn() error {
	t.arena.Forward(t.pixels)
	loss := 0.0
	for i, label := range t.labels {
		row := t.grad.Row(i)[:len(t.Classes)]
		copy(row, t.out.Row(i))
		loss += softmax(row, label) / float64(t.cfg.Batch)
		for c := range row {
			row[c] /= float32(t.cfg.Batch)
		}
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return fmt.Errorf("probe: finetune: step %d: the loss is %v: training these weights has diverged", t.step+1, loss)
	}
	t.arena.Backward()
	schedule := encoder.Schedule{Kind: encoder.Cosine, Base: t.cfg.LR, Steps: t.cfg.Steps}
	t.optimizer.Step(schedule.LR(t.step, 0))
	t.step, t.filled = t.step+1, 0
	return nil
}

// Classified returns the score of logits, whose columns stand for classes: a row is
// of the class of its largest, and of none if it holds what is no number.
func Classified(logits *Features, classes []int) Score {
	var predicted []int
	for row := range slices.Chunk(logits.Data, logits.D) {
		class := -1
		if at := slices.Index(row, slices.Max(row)); at >= 0 {
			class = classes[at]
		}
		predicted = append(predicted, class)
	}
	return judge(predicted, logits.Labels)
}
