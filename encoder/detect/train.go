package detect

import (
	"context"
	"fmt"
	"math"
	"strings"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// Config are the settings of a detector and of its training.
type Config struct {
	Seed    uint64 // draws the head's initial weights
	Workers int
	Conv    kernel.Algorithm

	Classes int
	Size    int  // side of the square views
	Stride  int  // of the trunk's map, at most; see encoder.Graph.Trunk
	Frozen  bool // the trunk stays as it is, its statistics too; else all weights learn

	Batch int     // views per step
	Steps int     // length of the run
	LR    float64 // of Adam, after a warm-up over a twentieth of the steps; a cosine takes it to 0

	// Truths returns the objects of a view, by the image's id and the epoch.
	Truths func(id string, epoch uint32) ([]Truth, error)
	// Progress, if set, is told of every step.
	Progress func(Progress)
}

// Progress is a step of training: its number from 1 on, and its loss in parts, each
// divided by the objects of the batch.
type Progress struct {
	Step, Steps              int
	Loss, Heat, Size, Offset float64
}

// A Trainer trains a detector on a network's trunk, and finds objects with it. Its
// result depends on the stream and the configuration, not on the number of workers.
type Trainer struct {
	// Trunk and Head are the parameters. With a trunk that learns, Head holds both.
	Trunk, Head *encoder.Params
	// Stride is that of the map, in pixels.
	Stride int

	cfg   Config
	grid  grid
	trunk *encoder.Plan // frozen; nil: part of head
	head  *encoder.Plan // in training
	graph *encoder.Graph

	pool *par.Pool
	run  *training // while Train runs
	step int
}

// New puts a detector on the trunk of g and starts from the weights start, which it
// leaves alone. Nothing is run and little is allocated before Train.
func New(g *encoder.Graph, start *encoder.Params, cfg Config) (*Trainer, error) {
	if cfg.Classes < 1 || cfg.Batch < 1 || cfg.Steps < 1 || !(cfg.LR > 0) {
		return nil, fmt.Errorf("detect: %d classes, batch %d, %d steps and a rate of %g, want at least one of each and a rate above 0", cfg.Classes, cfg.Batch, cfg.Steps, cfg.LR)
	}
	trunk, err := g.Trunk(cfg.Size, cfg.Size, cfg.Stride)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	cells, _ := trunk.Graph.Find(encoder.Map)
	shape := trunk.Graph.Shape(cells)
	t := &Trainer{cfg: cfg, Stride: trunk.Stride, grid: gridOf(shape, cfg.Size, trunk.Stride)}
	t.graph = trunk.Graph
	if cfg.Frozen {
		t.Trunk = encoder.NewParams(trunk.Graph, cfg.Seed)
		if err := takeOver(t.Trunk, start); err != nil {
			return nil, err
		}
		if t.trunk, err = t.compile(trunk.Graph, encoder.Eval); err != nil {
			return nil, err
		}
		t.graph, cells = encoder.NewMapGraph(shape.H, shape.W, shape.C), 0
	}
	addHead(t.graph, cells, cfg.Classes)
	if t.head, err = t.compile(t.graph, encoder.Train); err != nil {
		return nil, err
	}
	t.Head = encoder.NewParams(t.graph, cfg.Seed)
	initialBias(t.Head)
	if !cfg.Frozen {
		if err := takeOver(t.Head, start); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// takeOver gives params the values of those tensors that start has too.
func takeOver(params, start *encoder.Params) error {
	state, from := params.State(), start.State()
	for name := range state.Tensors {
		if value, ok := from.Tensors[name]; ok {
			state.Tensors[name] = value
		} else if !strings.HasPrefix(name, headPrefix) {
			return fmt.Errorf("detect: the weights to start from lack %s", name)
		}
	}
	if err := params.Load(state); err != nil {
		return fmt.Errorf("detect: %w", err)
	}
	return nil
}

func (t *Trainer) compile(g *encoder.Graph, mode encoder.Mode) (*encoder.Plan, error) {
	o := encoder.Options{Batch: t.cfg.Batch, Mode: mode, Conv: t.cfg.Conv, Workers: par.Count(t.cfg.Workers)}
	if mode == encoder.Train {
		o.Grads, o.Repack = []string{heatmap, sizes, offsets}, true
	}
	return encoder.Compile(g, o)
}

// MemoryBytes returns the memory of training: parameters with their gradients and
// moments, activations, and packed weights.
func (t *Trainer) MemoryBytes() int64 {
	total := 2 * t.Head.MemoryBytes()
	if t.Trunk != nil {
		total += t.Trunk.MemoryBytes()
	}
	for _, plan := range []*encoder.Plan{t.trunk, t.head} {
		if plan != nil {
			own, space := plan.ArenaBytes()
			total += own + space + plan.PackedBytes()
		}
	}
	return total
}

// Close frees the workers.
func (t *Trainer) Close() {
	if t.pool != nil {
		t.pool.Close()
		t.pool = nil
	}
}

// start makes what runs: it allocates.
func (t *Trainer) start() {
	if t.pool == nil {
		t.pool = par.NewPool(t.cfg.Workers)
	}
}

// A network is a detector that runs: a frozen trunk and its head, or both as one.
type network struct {
	trunk, head *encoder.Arena // trunk is nil where head holds it
	out         *outputs
}

func (t *Trainer) bind(head *encoder.Plan) *network {
	n := &network{head: head.Bind(t.Head, t.pool).NewArena()}
	if t.trunk != nil {
		n.trunk = t.trunk.Bind(t.Trunk, t.pool).NewArena()
	}
	n.out = outputsOf(n.head.Output)
	return n
}

// forward runs on the pixels of a batch.
func (n *network) forward(pixels []byte) {
	if n.trunk == nil {
		n.head.Forward(pixels)
		return
	}
	n.trunk.Forward(pixels)
	from, to := n.trunk.Output(encoder.Map), n.head.Input()
	for i := range from.N {
		copy(to.Row(i), from.Row(i))
	}
	n.head.Forward(nil)
}

// training is what a run needs, made once.
type training struct {
	net       *network
	grad      *outputs
	optimizer encoder.Optimizer

	pixels []byte // of the batch under way
	truths [][]Truth
	filled int

	scratch []scratch // by worker
	losses  []parts   // by view
	scale   float64   // one divided by the objects of the batch
	loss    par.Phase // of all views
}

// scratch is a worker's memory for one view.
type scratch struct {
	targets []target
	heat    []float64
}

// Train is the sink of a stream of views, pairs/1 of which the anchors count, and
// takes as many as its steps do. A stream that ends before is an error, and so is a
// loss that is no number.
func (t *Trainer) Train(ctx context.Context, in batch.Reader, _ batch.Writer) error {
	t.begin()
	defer func() { t.run = nil }()
	r := t.run
	err := encoder.EachView(ctx, in, t.view(), func(view []byte, of *batch.Pairs, row int) (bool, error) {
		truths, err := t.cfg.Truths(of.ID(row), of.Epoch(row))
		if err != nil {
			return false, err
		}
		copy(r.pixels[r.filled*len(view):], view)
		r.truths[r.filled] = truths
		if r.filled++; r.filled == t.cfg.Batch {
			if err := t.learn(); err != nil {
				return false, err
			}
		}
		return t.step < t.cfg.Steps, nil
	})
	if err == nil && t.step < t.cfg.Steps {
		err = fmt.Errorf("detect: the stream ended after %d steps of %d views, want %d", t.step, t.cfg.Batch, t.cfg.Steps)
	}
	return err
}

// begin makes what training needs.
func (t *Trainer) begin() {
	t.start()
	r := &training{net: t.bind(t.head), losses: make([]parts, t.cfg.Batch), scratch: make([]scratch, t.pool.Workers())}
	r.grad = outputsOf(r.net.head.OutputGrad)
	r.optimizer = encoder.NewAdam(t.Head, encoder.AdamConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}, t.pool)
	r.pixels, r.truths = make([]byte, t.cfg.Batch*t.viewBytes()), make([][]Truth, t.cfg.Batch)
	for i := range r.scratch {
		r.scratch[i].heat = make([]float64, t.grid.w*t.grid.h*t.cfg.Classes)
	}
	r.loss = par.Phase{Tasks: t.cfg.Batch, Run: func(worker, n int) {
		s := &r.scratch[worker]
		s.targets = t.grid.targets(s.targets[:0], r.truths[n])
		t.grid.heat(s.heat, s.targets, t.cfg.Classes)
		r.losses[n] = t.grid.loss(r.net.out, r.grad, n, t.cfg.Classes, s.heat, s.targets, r.scale)
	}}
	t.run = r
}

func (t *Trainer) view() encoder.Shape {
	return encoder.Shape{Per: 1, H: t.cfg.Size, W: t.cfg.Size, C: 3}
}

func (t *Trainer) viewBytes() int { return 3 * t.cfg.Size * t.cfg.Size }

// learn steps by the loss of the batch.
func (t *Trainer) learn() error {
	r := t.run
	r.net.forward(r.pixels)
	p := r.backward(t.pool)
	if loss := p.total(); math.IsNaN(loss) || math.IsInf(loss, 0) {
		return fmt.Errorf("detect: step %d: the loss is %v: training has diverged: a smaller rate than %g may help", t.step+1, loss, t.cfg.LR)
	}
	schedule := encoder.Schedule{Kind: encoder.Cosine, Base: t.cfg.LR, Warmup: t.cfg.Steps / 20, Steps: t.cfg.Steps}
	r.optimizer.Step(schedule.LR(t.step, 0))
	t.step, r.filled = t.step+1, 0
	if t.cfg.Progress != nil {
		t.cfg.Progress(Progress{t.step, t.cfg.Steps, p.total(), p.heat, p.size, p.offset})
	}
	return nil
}

// backward computes the gradients of the batch's loss. Views are added up in order.
func (r *training) backward(pool *par.Pool) (sum parts) {
	objects := 0
	for _, truths := range r.truths {
		objects += len(truths)
	}
	r.scale = 1 / float64(max(objects, 1))
	pool.Run(r.loss)
	for _, p := range r.losses {
		sum.heat, sum.size, sum.offset = sum.heat+p.heat, sum.size+p.size, sum.offset+p.offset
	}
	r.net.head.Backward()
	return sum
}

// Find returns the sink of a stream of views that finds objects in each, by the
// detector as it has been trained, and hands them to found in the stream's order.
func (t *Trainer) Find(found func(id string, objects []Detection) error) batch.Stage {
	return func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		t.start()
		plan, err := t.compile(t.graph, encoder.Eval)
		if err != nil {
			return err
		}
		net := t.bind(plan)
		pixels := make([]byte, t.cfg.Batch*t.viewBytes())
		var ids []string
		objects := make([][]Detection, t.cfg.Batch)
		flush := func() error {
			net.forward(pixels)
			t.pool.Run(par.Phase{Tasks: len(ids), Run: func(_, n int) { objects[n] = t.grid.decode(net.out, n, t.cfg.Classes) }})
			for n, id := range ids {
				if err := found(id, objects[n]); err != nil {
					return err
				}
			}
			ids = ids[:0]
			return nil
		}
		err = encoder.EachView(ctx, in, t.view(), func(view []byte, of *batch.Pairs, row int) (bool, error) {
			copy(pixels[len(ids)*len(view):], view)
			if ids = append(ids, strings.Clone(of.ID(row))); len(ids) == t.cfg.Batch { // the record goes, the id stays
				return true, flush()
			}
			return true, nil
		})
		if err == nil && len(ids) > 0 {
			err = flush()
		}
		return err
	}
}
