package contrast

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"clpipe/encoder"
	"clpipe/internal/kernel"
)

// Config is everything that decides a training run. Recipe returns it filled
// with a method's published values.
type Config struct {
	Method string // one of Methods

	Encoder encoder.ResNetConfig // its Size, Width and Normalize hold for every network
	// Augmentation is the name of the policy that makes the views; "": the
	// method's, see Policy.
	Augmentation string
	Depth        int // blocks of a stage, of CPC's and AMDIM's networks
	// Directions is how many ways CPC's predictions go: 1 down, 2 up too, 4 right
	// and left too.
	Directions int
	Head       encoder.HeadKind
	Hidden     int // of an MLP head; 0: the size of the features
	Dim        int // D, size of the embedding
	Batch      int // N, pairs per step
	Queue      int // K, rows of the queue
	QueueInit  QueueInit
	// MaskSameID leaves queue rows out that come from the query's own sample.
	MaskSameID  bool
	Temperature float64 // τ
	// LearnTemperature trains τ too, from Temperature on.
	LearnTemperature bool
	Momentum         float64 // m of the key encoder
	// MomentumSchedule is encoder.Constant, or encoder.Cosine: 1-m falls from
	// 1-Momentum to 0 as half a cosine over the run.
	MomentumSchedule encoder.ScheduleKind
	// EMA is the share of itself that an average of the encoder's weights keeps
	// at a step; 0: there is none.
	EMA       float64
	Symmetric bool // both directions of a pair
	// Local is V, the number of local views of a sample, and LocalSize their side in
	// pixels: further queries, see Locals. 0: there are none.
	Local, LocalSize int
	// Critic is the form of the scores.
	Critic Critic
	// Bound is the objective of InfoNCE within the batch, BoundAlpha α of I_α.
	Bound      Bound
	BoundAlpha float64
	// Of Deep InfoMax: how scores become a bound, which pairs are scored, and the
	// weight of prior matching.
	Estimator Estimator
	Pairing   Pairing
	Prior     float64
	// Also of Deep InfoMax: what coordinates it predicts, and the side of the
	// square that its global path does not see, as a share of the image's; 0: it
	// sees all.
	Coordinates Coordinates
	Occlude     float64

	// Of AMDIM: the components of the mixture that predicts the 7×7 map (0: the one
	// global vector), how sharp a cell's posterior over them is, and what its
	// entropy counts (Bachman et al. 2019, section 3.5). The paper's values are not
	// known to us: with both at 1 the posterior is the best one for its scores.
	Mixture                          int
	MixtureSharpness, MixtureEntropy float64

	// Chunk is the number of pairs that go through the network at once, a divisor
	// of Batch; 0: all. The step is that of the whole batch, but statistics of
	// batch normalisation are those of a chunk.
	Chunk int

	SplitBN int // groups of batch statistics, keys shuffled between them; 1: plain

	Optimizer   encoder.OptimizerKind
	SGDMomentum float64 // of the optimiser, SGD or LARS; Adam's beta 1
	Nesterov    bool    // of SGD
	AdamEps     float64 // of Adam and AdamW; 0: 1e-8
	LARS        kernel.LARSForm
	WeightDecay float64
	ClipNorm    float64          // largest norm of the gradients of each network, all its weights together; 0: any
	Schedule    encoder.Schedule // Schedule.Epochs and Steps: the length of the run

	Conv    kernel.Algorithm
	Seed    uint64
	Workers int // 0: one for each processor; changes no result

	LogEvery        int           // steps between entries of the metrics
	CheckpointEvery time.Duration // 0: only CheckpointSteps and the end
	CheckpointSteps int           // steps between checkpoints; 0: only CheckpointEvery and the end
}

// QueueInit says what the queue holds before the first step.
type QueueInit string

const (
	// QueueRandom starts with random unit vectors, as the reference does.
	QueueRandom QueueInit = "random"
	// QueueEmpty counts only real keys: the first step has no negatives and loss 0.
	QueueEmpty QueueInit = "empty"
)

// Preset is a choice of sizes for a method.
type Preset string

const (
	Small Preset = "small" // fits two cores
	Paper Preset = "paper" // published sizes
)

// largeView is the side up to which networks take the CIFAR stem and methods
// their small-image form.
const largeView = 96

// Recipe returns the configuration of a method for views of side size, with the
// values of its paper or reference code. An empty preset is
// small up to 96 px and paper above. What remains to be set is Seed, Workers
// and how often to log and to save.
func Recipe(method string, size int, preset Preset) (Config, error) {
	if preset == "" {
		preset = Paper
		if size <= largeView {
			preset = Small
		}
	}
	if preset != Small && preset != Paper {
		return Config{}, fmt.Errorf("contrast: preset %q is not known: want small or paper", preset)
	}
	if method == "moco" {
		method = "moco-v2"
		if size <= largeView {
			method = "moco-cifar"
		}
	}
	c := Config{
		Method: method, Dim: 128, QueueInit: QueueRandom, MaskSameID: true, SplitBN: 8, Critic: CosineCritic,
		Head: encoder.LinearHead, Batch: 256, Queue: 65536, Momentum: 0.999, MomentumSchedule: encoder.Constant,
		Optimizer: encoder.SGDOptimizer, SGDMomentum: 0.9, WeightDecay: 1e-4,
		Encoder:  encoder.ResNetConfig{Depth: 50, CIFAR: size <= largeView, Size: size, Width: 1, Normalize: NormalizeImageNet},
		Schedule: encoder.Schedule{Kind: encoder.Cosine, Base: 0.03, Epochs: 200},
		LogEvery: 10,
	}
	m := lookup(method)
	if m == nil {
		return Config{}, fmt.Errorf("contrast: method %q is not known: want one of %v", method, Methods())
	}
	m.recipe(&c, size)
	switch {
	case preset == Small && m.small != nil:
		m.small(&c)
	case preset == Small:
		c.Queue, c.Encoder.Depth = 4096, 18
		c.SetBatch(256)
	}
	return c, nil
}

// SetBatch changes the batch size. The learning rate goes with it, but not Adam's:
// CPC, Deep InfoMax and AMDIM give one for batches of every size.
func (c *Config) SetBatch(n int) {
	if c.Optimizer != encoder.AdamOptimizer {
		c.Schedule.Base *= float64(n) / float64(c.Batch)
	}
	c.Batch = n
}

// momentumAt is m of the key encoder in a step.
func (c Config) momentumAt(step, epoch int) float64 {
	if c.MomentumSchedule != encoder.Cosine {
		return c.Momentum
	}
	return 1 - (1-c.Momentum)*0.5*(1+math.Cos(math.Pi*c.Schedule.Done(step, epoch)))
}

// averageAt is the share that the average of the weights keeps after a step: EMA,
// less in the beginning, so that the initial weights fade (TensorFlow's
// ExponentialMovingAverage with num_updates).
func (c Config) averageAt(step int) float64 {
	return min(c.EMA, float64(1+step)/float64(10+step))
}

// Constants of input normalisation.
var (
	NormalizeImageNet = encoder.Normalize{Mean: [3]float32{.485, .456, .406}, Std: [3]float32{.229, .224, .225}}
	NormalizeCIFAR10  = encoder.Normalize{Mean: [3]float32{.4914, .4822, .4465}, Std: [3]float32{.2023, .1994, .2010}}
	NormalizeNone     = encoder.Normalize{Std: [3]float32{1, 1, 1}}
)

// Bounds against slips of the pen, far above anything published: what lies
// beyond would not fit any memory.
const (
	maxBatch = 1 << 17
	maxDim   = 1 << 16
	maxQueue = 1 << 24
	maxSize  = 1 << 13
	maxDepth = 64

	maxMixture = 64
)

// Validate reports all that is wrong, each with field, value and what is allowed.
func (c Config) Validate() error {
	var wrong []error
	check := func(ok bool, field string, got any, want string) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("contrast: %s is %v, want %s", field, got, want))
		}
	}
	m := lookup(c.Method)
	check(m != nil, "method", c.Method, fmt.Sprintf("one of %v", Methods()[1:]))
	check(c.Batch >= 1 && c.Batch <= maxBatch, "batch", c.Batch, fmt.Sprintf("1 to %d", maxBatch))
	check(c.Encoder.Size >= 8 && c.Encoder.Size <= maxSize, "size", c.Encoder.Size, fmt.Sprintf("8 to %d", maxSize))
	check(c.Encoder.Width > 0 && c.Encoder.Width <= 16, "width", c.Encoder.Width, "in (0,16]")
	check(c.Hidden >= 0 && c.Hidden <= maxDim, "hidden", c.Hidden, fmt.Sprintf("0 to %d", maxDim))
	check(c.Dim >= 1 && c.Dim <= maxDim, "dim", c.Dim, fmt.Sprintf("1 to %d", maxDim))
	check(c.SplitBN >= 1 && c.Batch >= 1 && c.Batch%c.SplitBN == 0, "split-bn", c.SplitBN, fmt.Sprintf("a divisor of the batch of %d", c.Batch))
	_, err := encoder.ParseOptimizer(string(c.Optimizer))
	check(err == nil, "optimizer", fmt.Sprintf("%q", c.Optimizer), "sgd, lars, adam or adamw")
	check(c.SGDMomentum >= 0 && c.SGDMomentum < 1, "sgd-momentum", c.SGDMomentum, "in [0,1)")
	_, err = encoder.ParseSchedule(string(c.Schedule.Kind))
	check(err == nil, "schedule", fmt.Sprintf("%q", c.Schedule.Kind), "cosine, step or constant")
	check(c.Schedule.Base >= 0 && !math.IsInf(c.Schedule.Base, 0), "lr", c.Schedule.Base, "at least 0")
	check(c.Schedule.Warmup >= 0, "warmup", c.Schedule.Warmup, "at least 0")
	check(c.Chunk == 0 || c.Chunk > 0 && c.Batch%c.Chunk == 0, "chunk", c.Chunk, fmt.Sprintf("0 or a divisor of the batch of %d", c.Batch))
	check(m == nil || !c.LearnTemperature || c.Uses("learn-temperature"), "learn-temperature", c.LearnTemperature, "false for this method")
	check(!c.LearnTemperature || math.Abs(math.Log(c.Temperature)) <= maxLogScale+1e-6, "temperature", c.Temperature, "0.01 to 100 where it is learned")
	check(c.EMA >= 0 && c.EMA < 1, "ema", c.EMA, "in [0,1)")
	check(c.Schedule.WarmupEpochs >= 0, "warmup-epochs", c.Schedule.WarmupEpochs, "at least 0")
	check(c.WeightDecay >= 0 && !math.IsInf(c.WeightDecay, 0), "weight-decay", c.WeightDecay, "at least 0")
	check(c.ClipNorm >= 0 && !math.IsInf(c.ClipNorm, 0), "clip-norm", c.ClipNorm, "at least 0")
	check(c.Schedule.Epochs >= 0, "epochs", c.Schedule.Epochs, "at least 0")
	check(c.Schedule.Steps > 0 || c.Schedule.Steps == 0 && c.Schedule.Epochs > 0, "steps", c.Schedule.Steps, "a length of the run, in --steps or --epochs")
	check(c.Local == 0 || m != nil && m.local, "local-crops", c.Local, fmt.Sprintf("0 for this method; %s take local views", strings.Join(Locals(), ", ")))
	check(c.Local == 0 || c.Local > 0 && c.LocalSize >= 8 && c.LocalSize <= maxSize, "local-size", c.LocalSize, fmt.Sprintf("8 to %d", maxSize))
	check(c.Local == 0 || !c.Symmetric, "local-crops", c.Local, "0 with both directions of a pair (symmetric)")
	if m != nil && m.check != nil {
		wrong = append(wrong, m.check(c)...)
	}
	if len(wrong) == 0 && m.encoder == "" && c.Head == encoder.NoHead && c.Graph().Features() != c.Dim {
		wrong = append(wrong, fmt.Errorf("contrast: dim is %d, want %d: without a head the embedding has the size of the features", c.Dim, c.Graph().Features()))
	}
	if len(wrong) == 0 {
		o := encoder.Options{Batch: c.Batch, Mode: encoder.Train, Groups: c.SplitBN, Conv: c.Conv}
		if _, err := encoder.Compile(c.Graph(), o); err != nil {
			wrong = append(wrong, err)
		}
		if c.Local > 0 {
			if _, err := encoder.Compile(c.localGraph(), o); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	return errors.Join(wrong...)
}

// PolicyFor returns the name of MoCo's augmentation policy for views of a size.
func PolicyFor(size int) string {
	if size <= largeView {
		return "moco-cifar"
	}
	return "moco-v2"
}
