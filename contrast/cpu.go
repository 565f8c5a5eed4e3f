package contrast

import (
	"fmt"
	"strings"

	"clpipe/batch"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// embedding is the output of a network that is contrasted: rows of unit length.
const embedding = "embedding"

// cpu is the Executor that runs on the processor.
type cpu struct {
	cfg    Config
	pool   *par.Pool
	nets   []*cpuNet
	passes []*cpuPass
	rings  []*cpuRing
	losses []*cpuLoss

	batch    *Batch
	step     int
	lr       float64
	momentum float32 // read by the bound updates
	place    []int   // the step's permutation for Shuffled passes
	draws    int     // permutations drawn in this step
	scratch  []float32
}

type cpuNet struct {
	name      string
	graph     *encoder.Graph
	params    *encoder.Params
	optimizer encoder.Optimizer // nil: a momentum copy
	follow    []par.Phase       // the update of a momentum copy
	models    map[encoder.Mode]cpuModel
}

type cpuModel struct {
	plan  *encoder.Plan
	bound *encoder.Model
}

type cpuPass struct {
	net   *cpuNet
	plan  *encoder.Plan
	arena *encoder.Arena
}

type cpuRing struct {
	name  string
	queue *Queue
}

type cpuLoss struct {
	query, key *cpuPass
	ring       *cpuRing
	args       kernel.InfoNCEArgs
	phases     []par.Phase
}

func newCPU(cfg Config) *cpu {
	return &cpu{cfg: cfg, pool: par.NewPool(cfg.Workers), momentum: float32(cfg.Momentum), place: make([]int, cfg.Batch)}
}

// close ends the workers.
func (c *cpu) close() { c.pool.Close() }

// begin makes b the current batch of a step at a learning rate.
func (c *cpu) begin(b *Batch, step int, lr float64) {
	c.batch, c.step, c.lr, c.draws = b, step, lr, 0
}

func (c *cpu) Network(name string, g *encoder.Graph) Net {
	n := &cpuNet{name: name, graph: g, params: encoder.NewParams(g, c.cfg.Seed), models: map[encoder.Mode]cpuModel{}}
	n.optimizer = c.cfg.newOptimizer(n.params, c.pool)
	c.nets = append(c.nets, n)
	return Net(len(c.nets) - 1)
}

func (c *cpu) MomentumCopy(name string, of Net) Net {
	source := c.nets[of]
	n := &cpuNet{name: name, graph: source.graph, params: source.params.Clone(), models: map[encoder.Mode]cpuModel{}}
	n.follow = kernel.EMA(n.params.Data, source.params.Data, &c.momentum)
	c.nets = append(c.nets, n)
	return Net(len(c.nets) - 1)
}

// model returns the network compiled for a mode, at the first call.
func (c *cpu) model(n *cpuNet, mode encoder.Mode) cpuModel {
	if n.models[mode].plan == nil {
		o := encoder.Options{Batch: c.cfg.Batch, Mode: mode, Groups: c.cfg.SplitBN, Conv: c.cfg.Conv, Workers: c.pool.Workers()}
		if mode == encoder.Train {
			o.Grads = []string{embedding}
		}
		plan, err := encoder.Compile(n.graph, o)
		if err != nil {
			panic(err) // Config.Validate has compiled the same graph
		}
		n.models[mode] = cpuModel{plan, plan.Bind(n.params, c.pool)}
	}
	return n.models[mode]
}

func (c *cpu) Pass(n Net, grad bool) Pass {
	mode := encoder.TrainNoGrad
	if grad {
		mode = encoder.Train
	}
	net := c.nets[n]
	m := c.model(net, mode)
	c.passes = append(c.passes, &cpuPass{net, m.plan, m.bound.NewArena()})
	return Pass(len(c.passes) - 1)
}

func (c *cpu) Queue(name string) Ring {
	q := NewQueue(c.cfg.Queue, c.cfg.Dim)
	if c.cfg.QueueInit == QueueRandom {
		q.FillRandom(c.cfg.Seed)
	}
	c.rings = append(c.rings, &cpuRing{name, q})
	return Ring(len(c.rings) - 1)
}

func (c *cpu) InfoNCE(query, key Pass, queue Ring) Loss {
	n, k := c.cfg.Batch, c.cfg.Queue
	l := &cpuLoss{query: c.passes[query], key: c.passes[key], ring: c.rings[queue]}
	l.args = kernel.InfoNCEArgs{
		Query: l.query.arena.Output(embedding).Data, Positive: l.key.arena.Output(embedding).Data, Keys: l.ring.queue.keys,
		Temperature: float32(c.cfg.Temperature), GradScale: 1 / float32(n),
		Loss: make([]float32, n), Entropy: make([]float32, n), Above: make([]int32, n), Masked: make([]int32, n),
		DQuery: l.query.arena.OutputGrad(embedding).Data,
	}
	if c.cfg.MaskSameID {
		l.args.QueryIDs, l.args.KeyIDs = make([]uint64, n), l.ring.queue.ids
	}
	plan := kernel.NewInfoNCE(kernel.InfoNCEShape{N: n, D: c.cfg.Dim, K: k}, c.pool.Workers())
	if need := plan.ScratchLen(); need > len(c.scratch) {
		c.scratch = kernel.Alloc(need)
	}
	l.phases = plan.Bind(&l.args, c.scratch)
	c.losses = append(c.losses, l)
	return Loss(len(c.losses) - 1)
}

func (c *cpu) Momentum(key Net) {
	n := c.nets[key]
	for _, ph := range n.follow {
		c.pool.Run(ph)
	}
	n.params.Changed()
}

func (c *cpu) Forward(p Pass, v View, g Grouping) {
	pass := c.passes[p]
	if c.cfg.SplitBN > 1 && g == Shuffled {
		draw := rng.New(c.cfg.Seed, rng.KeyPerm, uint64(c.step), uint64(c.draws))
		draw.Perm(c.place)
		c.draws++
		pass.arena.SetGroups(c.place)
	}
	pixels := c.batch.Anchor
	if v == Positive {
		pixels = c.batch.Positive
	}
	pass.arena.Forward(pixels)
}

func (c *cpu) Contrast(l Loss) {
	loss := c.losses[l]
	loss.args.Valid = loss.ring.queue.Len()
	if c.cfg.MaskSameID {
		copy(loss.args.QueryIDs, c.batch.IDs)
	}
	for _, ph := range loss.phases {
		c.pool.Run(ph)
	}
}

func (c *cpu) Enqueue(r Ring, key Pass) {
	c.rings[r].queue.Enqueue(c.passes[key].arena.Output(embedding).Data, c.batch.IDs)
}

func (c *cpu) Backward(p Pass) { c.passes[p].arena.Backward() }

func (c *cpu) Optimise(n Net) { c.nets[n].optimizer.Step(c.lr) }

// finite reports whether all weights are numbers: not infinite, not NaN.
func (c *cpu) finite() bool {
	for _, n := range c.nets {
		for _, v := range n.params.Data {
			if v-v != 0 {
				return false
			}
		}
	}
	return true
}

// State returns the tensors of everything that goes on from step to step.
func (c *cpu) State() batch.State {
	var s batch.State
	for _, n := range c.nets {
		s.Add(n.name+".", n.params.State())
		if n.optimizer != nil {
			s.Add("optimizer.", n.optimizer.State())
		}
	}
	for _, r := range c.rings {
		s.Add(r.name+".", r.queue.State())
	}
	return s
}

// Load takes over what State returned.
func (c *cpu) Load(s batch.State) error {
	known := []string{"optimizer."}
	for _, n := range c.nets {
		known = append(known, n.name+".")
		if err := n.params.Load(s.Under(n.name + ".")); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		if n.optimizer != nil {
			if err := n.optimizer.Load(s.Under("optimizer.")); err != nil {
				return fmt.Errorf("optimizer: %w", err)
			}
		}
	}
	for _, r := range c.rings {
		known = append(known, r.name+".")
		if err := r.queue.Load(s.Under(r.name + ".")); err != nil {
			return err
		}
	}
	for name := range s.Tensors {
		if !hasAnyPrefix(name, known) {
			return fmt.Errorf("contrast: load: %s is not part of this method's state", name)
		}
	}
	return nil
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
