package contrast

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"strings"
	"time"

	"clpipe/batch"
	"clpipe/encoder"

	"gorgonia.org/tensor"
)

// Trainer trains one encoder by one method.
type Trainer struct {
	cfg    Config
	hooks  Hooks
	x      *cpu
	method Method
	watch  *stopwatch // nil: not measured
	cursor cursor
}

// Hooks are what a training run calls. Any may be nil.
type Hooks struct {
	// Progress is called after every step.
	Progress func(Progress)
	// Warn is told, in plain words, what looks wrong about the training.
	Warn func(string)
	// Epoch is called at the end of every epoch and of the run; its entries go
	// into the metrics. It must not change the weights.
	Epoch func(ctx context.Context, epoch int) (map[string]any, error)
	// Stages returns each stage's shares of time for the metrics.
	Stages func() any
	// Stop ends the run after the step under way when it is closed; a
	// checkpoint is written and Train returns ErrStopped.
	Stop <-chan struct{}
}

// Progress is how far a run has come.
type Progress struct {
	Step, Steps int // Steps is 0 if the length is not known
	Epoch       int
	Samples     int64
	PairsPerS   float64
	Loss        float64
	Acc1        float64
	// Waiting is the share of the time that the trainer waited for pairs.
	Waiting float64
}

// cursor is the part of a run's state that is no tensor.
type cursor struct {
	Step     int            `json:"step"`
	Samples  int64          `json:"samples"`
	Position batch.Position `json:"position"`
	Order    string         `json:"order"` // the order's hash, hexadecimal
	Seconds  float64        `json:"seconds"`
	// EpochLoss and EpochSteps are the sum of the losses of the epoch under
	// way and their number.
	EpochLoss  float64 `json:"epoch_loss"`
	EpochSteps int     `json:"epoch_steps"`
}

// Summary is the outcome of a run.
type Summary struct {
	Steps    int
	Epochs   int
	Samples  int64
	Order    string // digest of the trained ids in their order
	Weights  string // digest of all state tensors
	Seconds  float64
	Finished bool // the run came to its planned end
	LastLoss float64
}

// ErrStopped says that a run was stopped from outside, after a checkpoint.
var ErrStopped = errors.New("contrast: the run was stopped; it goes on with --resume")

// New returns a trainer at step 0. Close frees its workers.
func New(cfg Config, hooks Hooks) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := cfg.Graph()
	plan, err := cfg.blueprint(g)
	if err != nil {
		return nil, err
	}
	t := &Trainer{cfg: cfg, hooks: hooks, x: newCPU(plan)}
	t.method = cfg.method().build(t.x, g, cfg)
	t.cursor.Order = hex.EncodeToString(make([]byte, len(orderHash{})))
	return t, nil
}

// Close ends the trainer's workers.
func (t *Trainer) Close() { t.x.close() }

// Params returns the parameters of the trained encoder, under torchvision's names.
func (t *Trainer) Params() *encoder.Params { return t.x.nets[0].params }

// heads begin the names of layers that a backbone trained elsewhere lacks.
var heads = []string{"fc.", predictor, critic + ".", baseline + "."}

// Init sets the weights of the encoder and its momentum copies before the first step,
// from tensors under torchvision's names. Its heads may be missing from s, as they are
// from a backbone trained elsewhere: they then keep the values they were made with.
// Predictors, critics and baselines of s that the network does not have are left out.
func (t *Trainer) Init(s batch.State) error {
	for i, n := range t.x.nets {
		if i > 0 && n.optimizer != nil {
			continue // trained beside the encoder
		}
		own := n.params.State()
		part := batch.State{Tensors: maps.Clone(s.Tensors)}
		for _, head := range heads {
			switch own := own.Under(head); {
			case len(own.Tensors) == 0 && head != "fc.": // of another method, or of the network that this one copies
				maps.DeleteFunc(part.Tensors, func(name string, _ *tensor.Dense) bool { return strings.HasPrefix(name, head) })
			case len(s.Under(head).Tensors) == 0:
				part.Add(head, own)
			}
		}
		if err := n.params.Load(part); err != nil {
			return err
		}
	}
	return nil
}

// Step returns the number of steps done.
func (t *Trainer) Step() int { return t.cursor.Step }

// Position returns the place in the stream of the first row not yet trained on.
func (t *Trainer) Position() batch.Position { return t.cursor.Position }

// State returns all that the run needs to go on, Load takes it back.
func (t *Trainer) State() (batch.State, error) { return t.withCursor(t.x.State()) }

func (t *Trainer) withCursor(s batch.State) (batch.State, error) {
	var err error
	s.Cursor, err = json.Marshal(t.cursor)
	return s, err
}

// Load takes over the state of a run with the same configuration.
func (t *Trainer) Load(s batch.State) error {
	var c cursor
	if err := json.Unmarshal(s.Cursor, &c); err != nil {
		return fmt.Errorf("contrast: load: cursor: %w", err)
	}
	if h, err := hex.DecodeString(c.Order); err != nil || len(h) != len(orderHash{}) {
		return fmt.Errorf("contrast: load: cursor: order %.80q is no hash", c.Order)
	}
	if err := t.x.Load(s); err != nil {
		return err
	}
	t.cursor = c
	return nil
}

// Train reads pairs until the run has its length or the stream ends, and
// reports to rec. It returns the summary also with an error. What was trained
// is saved too when the run is stopped and when the stream or Hooks.Epoch fails; not
// when ctx is cancelled without a cause.
//
// Errors: ErrStopped, an *EpochError, a *DivergedError, and those of the stream,
// of Hooks.Epoch and of rec.
func (t *Trainer) Train(ctx context.Context, in batch.Reader, rec Recorder) (Summary, error) {
	run := &trainRun{Trainer: t, rec: rec, started: time.Now(), saved: time.Now(), before: t.cursor.Seconds}
	err := run.loop(ctx, in)
	var outside outsideError
	failed := errors.As(err, &outside) && t.cursor.Step > 0 && context.Cause(ctx) != context.Canceled
	state := t.x.State()
	if err == nil || failed || errors.Is(err, ErrStopped) {
		if saveErr := run.checkpoint(state); saveErr != nil {
			err = errors.Join(saveErr, err)
		}
	}
	s := t.summary(state.Digest())
	s.Finished = err == nil && (run.finished() || run.pastEnd)
	return s, err
}

func (t *Trainer) summary(weights string) Summary {
	return Summary{
		Steps: t.cursor.Step, Epochs: int(t.cursor.Position.Epoch) + 1, Samples: t.cursor.Samples,
		Order: t.cursor.Order, Weights: weights, Seconds: t.cursor.Seconds,
		LastLoss: t.x.meanLoss(),
	}
}

// outsideError is a failure of what is not the training itself, to read the next
// batch or to measure at an epoch's end: the steps before it count.
type outsideError struct{ error }

func (e outsideError) Unwrap() error { return e.error }

// A DivergedError says that training left the numbers a float can hold. Neither
// metrics nor a checkpoint have seen the step.
type DivergedError struct {
	Step int
	What string // as "the loss is NaN"
	LR   float64
}

// Error says what to do about it.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("contrast: train: step %d: %s: the run has diverged: lower --lr (it is %.4g); the last checkpoint is intact", e.Step, e.What, e.LR)
}

// trainRun is one call of Train.
type trainRun struct {
	*Trainer
	rec     Recorder
	batches *batcher
	started time.Time
	before  float64 // seconds of the run before this call
	saved   time.Time
	savedAt int // step of the last checkpoint
	waited  time.Duration
	guard   collapseGuard
	pastEnd bool // the stream goes on after the run's last epoch

	logged        time.Time // time, samples and wait at the last entry of the metrics
	loggedSamples int64
}

func (r *trainRun) loop(ctx context.Context, in batch.Reader) error {
	var order orderHash
	h, _ := hex.DecodeString(r.cursor.Order) // Load and New see to its form
	copy(order[:], h)
	r.batches = newBatcher(in, r.cfg, r.cursor.Position, order)
	defer r.batches.release()

	ctx, cancel := r.stoppable(ctx)
	defer cancel()
	r.savedAt, r.logged, r.loggedSamples = r.cursor.Step, time.Now(), r.cursor.Samples
	if r.finished() { // but for what a stop in its last step, or a failure at its end, has left out
		return r.endEpoch(ctx, int(r.cursor.Position.Epoch))
	}
	if err := r.batches.open(ctx); err != nil {
		return outsideError{r.cause(err)}
	}
	for !r.finished() {
		wait := time.Now()
		b, err := r.batches.next(ctx)
		r.waited += time.Since(wait)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return outsideError{r.cause(err)}
		}
		if last := r.cfg.Schedule.Epochs; last > 0 && int(b.Epoch) >= last {
			r.pastEnd = true
			break
		}
		if r.cursor.EpochSteps > 0 && b.Epoch != r.cursor.Position.Epoch {
			if err := r.endEpoch(ctx, int(r.cursor.Position.Epoch)); err != nil {
				return err
			}
		}
		// Only now: a checkpoint of an epoch's last step holds that its end is
		// in the metrics, which a resumed run therefore does not write again.
		if r.due() {
			if err := r.checkpoint(r.x.State()); err != nil {
				return err
			}
			// The copy goes before the next is made: left to itself, the collector
			// waits for as much again as all that training holds.
			runtime.GC()
		}
		if err := r.step(b); err != nil {
			return err
		}
		if r.stopped() {
			return ErrStopped
		}
	}
	return r.endEpoch(ctx, int(r.cursor.Position.Epoch))
}

func (r *trainRun) finished() bool {
	s := r.cfg.Schedule
	return s.Steps > 0 && r.cursor.Step >= s.Steps
}

// stoppable returns a context that also ends when Stop is closed, to free a
// wait for pairs.
func (r *trainRun) stoppable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if r.hooks.Stop == nil {
		return ctx, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-r.hooks.Stop:
			cancel(ErrStopped)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

func (r *trainRun) stopped() bool {
	select {
	case <-r.hooks.Stop:
		return true
	default:
		return false
	}
}

// cause returns ErrStopped for an error that stopping brought about.
func (r *trainRun) cause(err error) error {
	if r.stopped() && errors.Is(err, context.Canceled) {
		return ErrStopped
	}
	return err
}

func (r *trainRun) step(b *Batch) error {
	lr := r.cfg.Schedule.LR(r.cursor.Step, int(b.Epoch))
	r.x.begin(b, r.cursor.Step, lr)
	r.method.Step(r.executor())
	loss := r.x.meanLoss()
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return &DivergedError{r.cursor.Step + 1, fmt.Sprintf("the loss is %v", loss), lr}
	}
	r.batches.trained()

	c := &r.cursor
	c.Step++
	c.Samples += int64(r.cfg.Batch)
	c.Position = b.Next
	c.Order = hex.EncodeToString(r.batches.order[:])
	c.EpochLoss += loss
	c.EpochSteps++
	c.Seconds = r.before + time.Since(r.started).Seconds()

	if r.hooks.Progress != nil {
		elapsed := time.Since(r.started)
		r.hooks.Progress(Progress{
			Step: c.Step, Steps: r.cfg.Schedule.Steps, Epoch: int(b.Epoch), Samples: c.Samples, Loss: loss, Acc1: r.x.accuracy(),
			PairsPerS: r.rate(), Waiting: r.waited.Seconds() / elapsed.Seconds(),
		})
	}
	if c.Step%max(r.cfg.LogEvery, 1) == 0 || r.finished() {
		return r.log(b, lr, loss)
	}
	return nil
}

// due reports whether it is time for a checkpoint of the steps done.
func (r *trainRun) due() bool {
	return r.cfg.CheckpointSteps > 0 && r.cursor.Step > 0 && r.cursor.Step%r.cfg.CheckpointSteps == 0 ||
		r.cfg.CheckpointEvery > 0 && time.Since(r.saved) >= r.cfg.CheckpointEvery
}

// rate returns pairs per second since the last entry of the metrics.
func (r *trainRun) rate() float64 {
	return float64(r.cursor.Samples-r.loggedSamples) / max(time.Since(r.logged).Seconds(), 1e-9)
}

func (r *trainRun) log(b *Batch, lr, loss float64) error {
	m := r.x.measure()
	m.Step, m.Epoch, m.Samples, m.LR, m.Loss, m.PairsPerS = r.cursor.Step, int(b.Epoch), r.cursor.Samples, lr, loss, r.rate()
	if r.cfg.Uses("momentum") {
		m.Momentum = r.cfg.momentumAt(r.cursor.Step-1, int(b.Epoch))
	}
	if r.hooks.Stages != nil {
		m.Stages = r.hooks.Stages()
	}
	r.logged, r.loggedSamples = time.Now(), r.cursor.Samples
	if r.hooks.Warn != nil {
		for _, w := range r.guard.look(m, r.cfg) {
			r.hooks.Warn(w)
		}
	}
	return r.rec.Log(m)
}

// endEpoch logs the epoch's mean loss and what the hook measures.
func (r *trainRun) endEpoch(ctx context.Context, epoch int) error {
	if r.cursor.EpochSteps == 0 {
		return nil
	}
	entry := map[string]any{
		"step": r.cursor.Step, "epoch": epoch, "samples": r.cursor.Samples,
		"epoch_loss": r.cursor.EpochLoss / float64(r.cursor.EpochSteps), "epoch_steps": r.cursor.EpochSteps,
	}
	if r.hooks.Epoch != nil {
		more, err := r.hooks.Epoch(ctx, epoch)
		if err != nil {
			return outsideError{r.cause(err)}
		}
		maps.Copy(entry, more)
	}
	r.cursor.EpochLoss, r.cursor.EpochSteps = 0, 0
	return r.rec.Log(entry)
}

// checkpoint saves the tensors with the cursor unless this step is saved already.
func (r *trainRun) checkpoint(tensors batch.State) error {
	if r.cursor.Step == r.savedAt && r.cursor.Step > 0 {
		return nil
	}
	if !r.x.finite() {
		return &DivergedError{r.cursor.Step, "a weight is no finite number", r.cfg.Schedule.Base}
	}
	s, err := r.withCursor(tensors)
	if err != nil {
		return err
	}
	if err := r.rec.Checkpoint(r.cursor.Step, s); err != nil {
		return err
	}
	r.saved, r.savedAt = time.Now(), r.cursor.Step
	return nil
}
