package contrast

import (
	"fmt"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/contrast/bounds"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"

	"gorgonia.org/tensor"
)

// embedding is the output of a network that is contrasted: rows of unit length.
const embedding = "embedding"

// dvAverage begins the name of the moving average of a trained DV.
const dvAverage = "dv_average."

// averageName is that of the average of the encoder's weights.
const averageName = "encoder_ema"

// cpu is the Executor that runs on the processor.
type cpu struct {
	cfg    Config
	plan   *blueprint
	pool   *par.Pool
	nets   []*cpuNet        // whatever is saved, in the order in which it was made
	byNet  []*cpuNet        // those of them that passes run through
	models []*encoder.Model // by kind of pass; nil before the first
	passes []*cpuPass
	rings  []*cpuRing
	losses []boundLoss

	batch    *Batch
	step     int
	lr       float64
	momentum float32 // read by the bound updates
	keep     float32 // likewise, of the average
	// temperature is nil unless it is learned.
	temperature *temperature
	averages    []*bounds.DVAverage
	place       []int // the step's permutation for Shuffled passes
	draws       int   // permutations drawn in this step
	partners    []int // the last permutation of cells
	scratch     []float32

	// space is where passes without gradients run, and in which the first with
	// gradients lives from Forward to Backward: live is then that pass.
	space []float32
	host  *cpuPass // the first pass with gradients
	live  *cpuPass
}

type cpuNet struct {
	name      string
	graph     *encoder.Graph
	params    *encoder.Params
	optimizer encoder.Optimizer // nil: a momentum copy
	follow    []par.Phase       // the update of a momentum copy
	average   []par.Phase       // the update of the average of its weights
}

type cpuPass struct {
	spec  PassSpec
	net   *cpuNet
	arena *encoder.Arena
	bytes int64 // of its memory beside the executor's space
	// cache is that of a pass in chunks; then arena, which runs forward again for
	// the backward pass, leaves running statistics alone.
	cache *gradCache
	// occlusion is that of a pass over Occluded.
	occlusion *occlusion
	// pixels gathers the local views that the pass reads, [N,s,s,3].
	pixels []byte
}

type cpuRing struct {
	name  string
	queue *Queue
}

// A boundLoss is an objective at work on the outputs of bound passes.
type boundLoss struct {
	before func()           // sets what changes from step to step; may be nil
	phases []par.Phase      // compute the loss and add its gradients
	value  func() float64   // what it adds to the step's loss
	acc1   func() float64   // share of positives above all negatives; nil: it has none
	places func(m *Metrics) // sets how often coordinates are predicted right; nil: none are
	report func(m *Metrics)
	// spread measures how rows lie on the sphere.
	spread func(m *Metrics)
}

// newCPU returns an executor for the method of the blueprint.
func newCPU(plan *blueprint) *cpu {
	cfg := plan.cfg
	return &cpu{
		cfg: cfg, plan: plan, pool: par.NewPool(cfg.Workers), place: make([]int, cfg.Batch),
		models: make([]*encoder.Model, len(plan.kinds)), space: kernel.Alloc(plan.spaceLen()),
	}
}

// close ends the workers.
func (c *cpu) close() { c.pool.Close() }

// begin makes b the current batch of a step at a learning rate.
func (c *cpu) begin(b *Batch, step int, lr float64) {
	c.batch, c.step, c.lr, c.draws = b, step, lr, 0
	c.momentum = float32(c.cfg.momentumAt(step, int(b.Epoch)))
	c.keep = float32(c.cfg.averageAt(step))
}

func (c *cpu) Network(name string, g *encoder.Graph) Net {
	n := &cpuNet{name: name, graph: g, params: encoder.NewParams(g, c.cfg.Seed)}
	n.optimizer = c.cfg.newOptimizer(n.params, c.pool)
	id := c.add(n)
	if id == 0 && c.cfg.EMA > 0 {
		ema := &cpuNet{name: averageName, graph: g, params: encoder.CopyOf(n.params, g)}
		n.average = ema.params.Average(n.params, &c.keep)
		c.nets = append(c.nets, ema)
	}
	if id == 0 && c.cfg.LearnTemperature {
		c.temperature = c.newTemperature()
	}
	return id
}

func (c *cpu) MomentumCopy(name string, of Net, part *encoder.Graph) Net {
	source := c.byNet[of].params
	n := &cpuNet{name: name, graph: part, params: encoder.CopyOf(source, part)}
	n.follow = kernel.EMA(n.params.Data, source.Data[:len(n.params.Data)], &c.momentum)
	return c.add(n)
}

func (c *cpu) add(n *cpuNet) Net {
	c.nets, c.byNet = append(c.nets, n), append(c.byNet, n)
	return Net(len(c.byNet) - 1)
}

// arena adds memory for a pass: in the common space where it may lie there.
func (c *cpu) arena(pass *cpuPass, n Net, s PassSpec, again bool) *encoder.Arena {
	i := c.plan.find(n, s, again)
	kind := c.plan.kinds[i]
	if c.models[i] == nil {
		c.models[i] = kind.plan.Bind(c.byNet[n].params, c.pool)
	}
	own, space := kind.plan.ArenaBytes()
	pass.bytes += own
	if kind.trains() && c.host == nil {
		c.host = pass
	}
	if !kind.trains() || c.host == pass {
		return c.models[i].NewArenaIn(c.space)
	}
	pass.bytes += space
	return c.models[i].NewArena()
}

func (c *cpu) Pass(n Net, s PassSpec) Pass {
	pass := &cpuPass{spec: s, net: c.byNet[n]}
	pass.arena = c.arena(pass, n, s, s.Chunk > 0)
	if s.Chunk > 0 {
		pass.cache = c.newGradCache(pass, c.arena(pass, n, s.ahead(), false))
	}
	if s.View == Occluded {
		pass.occlusion = newOcclusion(c.cfg)
	}
	if s.View >= Local {
		pass.pixels = make([]byte, c.cfg.Batch*c.cfg.localBytes())
	}
	c.passes = append(c.passes, pass)
	return Pass(len(c.passes) - 1)
}

// enter is called before a forward pass. It is an error of the program to overwrite
// activations that a backward pass waits for.
func (c *cpu) enter(pass *cpuPass) {
	if pass == c.host && pass.cache == nil {
		c.live = pass
		return
	}
	if c.live != nil && (len(pass.spec.Grads) == 0 || pass.cache != nil) {
		panic(fmt.Sprintf("contrast: a pass of %s between Forward and Backward of one of %s, whose activations lie where it runs", pass.net.name, c.live.net.name))
	}
}

func (c *cpu) Queue(name string) Ring {
	q := NewQueue(c.cfg.Queue, c.cfg.Dim)
	if c.cfg.QueueInit == QueueRandom {
		q.FillRandom(c.cfg.Seed)
	}
	c.rings = append(c.rings, &cpuRing{name, q})
	return Ring(len(c.rings) - 1)
}

func (c *cpu) Loss(o Objective) Loss {
	c.losses = append(c.losses, o.bind(c))
	return Loss(len(c.losses) - 1)
}

// rows returns the values of an output, grad the place of its gradient, which
// is zero after Forward and to which losses add.
func (c *cpu) rows(o Out) encoder.Rows {
	p := c.passes[o.Pass]
	if p.cache != nil {
		return p.cache.of(o.Name).rows
	}
	return p.arena.Output(o.Name)
}

func (c *cpu) grad(o Out) encoder.Rows {
	p := c.passes[o.Pass]
	if p.cache != nil {
		return p.cache.of(o.Name).grad
	}
	return p.arena.OutputGrad(o.Name)
}

// trains reports whether an output receives gradients.
func (c *cpu) trains(o Out) bool { return slices.Contains(c.passes[o.Pass].spec.Grads, o.Name) }

// scratchOf returns n floats that all losses share.
func (c *cpu) scratchOf(n int) []float32 {
	if n > len(c.scratch) {
		c.scratch = kernel.Alloc(n)
	}
	return c.scratch
}

// draw returns the draws of the step under a purpose and an index.
func (c *cpu) draw(purpose, index uint64) rng.Stream {
	return rng.New(c.cfg.Seed, purpose, uint64(c.step), index)
}

func (c *cpu) Feed(p Pass, from Out) {
	c.copyRows(c.passes[p].arena.Input(), c.rows(from))
}

func (c *cpu) copyRows(to, from encoder.Rows) {
	for i := range to.N {
		copy(to.Row(i), from.Row(i))
	}
}

func (c *cpu) Draw(p Pass) {
	in := c.passes[p].arena.Input()
	for i := range in.N {
		draw, row := c.draw(rng.Prior, uint64(i)), in.Row(i)
		for j := range row {
			row[j] = float32(draw.Float64())
		}
	}
}

func (c *cpu) Return(p Pass, to Out) {
	from, grad := c.passes[p].arena.InputGrad(), c.grad(to)
	for i := range from.N {
		for j, g := range from.Row(i) {
			grad.Row(i)[j] += g
		}
	}
}

func (c *cpu) Momentum(key Net) {
	n := c.byNet[key]
	for _, ph := range n.follow {
		c.pool.Run(ph)
	}
	n.params.Changed()
}

func (c *cpu) Forward(p Pass) {
	pass := c.passes[p]
	c.enter(pass)
	if c.cfg.SplitBN > 1 && pass.spec.Grouping == Shuffled {
		draw := rng.New(c.cfg.Seed, rng.KeyPerm, uint64(c.step), uint64(c.draws))
		draw.Perm(c.place)
		c.draws++
		pass.arena.SetGroups(c.place)
	}
	if pass.cache != nil {
		pass.cache.forward(c.batch)
		return
	}
	if pass.spec.View >= Local {
		c.gatherLocal(pass.pixels, int(pass.spec.View-Local))
		pass.arena.Forward(pass.pixels)
		return
	}
	c.pairCells(pass.arena.Cells())
	switch pass.spec.View {
	case Fed:
		pass.arena.Forward(nil)
	case Positive:
		pass.arena.Forward(c.batch.Positive)
	case Occluded:
		pass.arena.Forward(pass.occlusion.of(c.batch.Anchor, c))
	case Both:
		pass.arena.ForwardBoth(c.batch.Anchor, c.batch.Positive)
	default:
		pass.arena.Forward(c.batch.Anchor)
	}
}

// pairCells draws which cells of a map are paired, for every image.
func (c *cpu) pairCells(cells []int32) {
	if cells == nil {
		return
	}
	q := len(cells) / c.cfg.Batch
	if len(c.partners) < q {
		c.partners = make([]int, q)
	}
	for i := range c.cfg.Batch {
		draw := c.draw(rng.CellPairs, uint64(i))
		draw.Perm(c.partners[:q])
		for l, p := range c.partners[:q] {
			cells[i*q+l] = int32(p)
		}
	}
}

// gatherLocal puts local view v of all samples together.
func (c *cpu) gatherLocal(dst []byte, v int) {
	size := c.cfg.localBytes()
	for i := range c.cfg.Batch {
		copy(dst[i*size:(i+1)*size], c.batch.Local[(i*c.cfg.Local+v)*size:])
	}
}

func (c *cpu) Contrast(l Loss) {
	loss := &c.losses[l]
	if loss.before != nil {
		loss.before()
	}
	for _, ph := range loss.phases {
		c.pool.Run(ph)
	}
}

func (c *cpu) Enqueue(r Ring, key Pass) {
	c.rings[r].queue.Enqueue(c.passes[key].arena.Output(embedding).Data, c.batch.IDs)
}

func (c *cpu) Backward(p Pass) {
	pass := c.passes[p]
	if pass.cache != nil {
		pass.cache.backward(c.batch, pass.arena)
	} else {
		pass.arena.Backward()
	}
	if pass == c.live {
		c.live = nil
	}
}

func (c *cpu) Optimise(n Net) {
	net := c.byNet[n]
	net.optimizer.Step(c.lr)
	for _, ph := range net.average {
		c.pool.Run(ph)
	}
	if n == 0 && c.temperature != nil {
		c.temperature.optimise(c.lr)
	}
}

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
			s.Add(c.optimizerPrefix(n), n.optimizer.State())
		}
	}
	for _, r := range c.rings {
		s.Add(r.name+".", r.queue.State())
	}
	for _, a := range c.averages {
		s.Add(dvAverage, batch.State{Tensors: map[string]*tensor.Dense{"log": batch.NewTensor([]float64{a.Log})}})
	}
	return s
}

// optimizerPrefix names the state of a network's optimiser: plain that of the
// first network, the encoder.
func (c *cpu) optimizerPrefix(n *cpuNet) string {
	if n == c.nets[0] {
		return "optimizer."
	}
	return "optimizer_" + n.name + "."
}

// Load takes over what State returned.
func (c *cpu) Load(s batch.State) error {
	var known []string
	for _, n := range c.nets {
		known = append(known, n.name+".")
		if err := n.params.Load(s.Under(n.name + ".")); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		if n.optimizer != nil {
			prefix := c.optimizerPrefix(n)
			known = append(known, prefix)
			if err := n.optimizer.Load(s.Under(prefix)); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimSuffix(prefix, "."), err)
			}
		}
	}
	for _, r := range c.rings {
		known = append(known, r.name+".")
		if err := r.queue.Load(s.Under(r.name + ".")); err != nil {
			return err
		}
	}
	for _, a := range c.averages {
		known = append(known, dvAverage)
		v, err := tensorOf[float64](s, dvAverage+"log")
		if err != nil {
			return fmt.Errorf("contrast: load: %w", err)
		}
		a.Log = v[0]
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
