package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"clpipe/contrast"
	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// uniform returns n numbers in [-1,1), a function of the seed and the place.
func (b *bench) uniform(n int, place uint64) []float32 {
	s := rng.New(b.common.seed, rng.Benchmark, place)
	out := kernel.Alloc(n)
	for i := range out {
		out[i] = float32(s.Uniform(-1, 1))
	}
	return out
}

// unit returns n vectors of d floats of unit length.
func (b *bench) unit(n, d int, place uint64) []float32 {
	out := b.uniform(n*d, place)
	for row := range slices.Chunk(out, d) {
		var sum float64
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		scale := float32(1 / math.Sqrt(max(sum, 1e-30)))
		for i := range row {
			row[i] *= scale
		}
	}
	return out
}

// gemmShape is the JSON form of a product's shape.
type gemmShape struct {
	M      int  `json:"m"`
	N      int  `json:"n"`
	K      int  `json:"k"`
	TransA bool `json:"trans_a,omitempty"`
	TransB bool `json:"trans_b,omitempty"`
}

// gemm measures matrix products: those of the projection head and of the
// logits, and square ones for comparison.
func (b *bench) gemm(ctx context.Context) ([]timing, error) {
	cfg, err := b.trainConfig(max(b.viewSize(), 1), 0, 0)
	if err != nil {
		return nil, err
	}
	features := cfg.Graph().Features()
	shapes := []struct {
		name  string
		shape gemmShape
	}{
		{"head", gemmShape{M: cfg.Batch, N: cfg.Dim, K: features}},
		{"head, gradient of the features", gemmShape{M: cfg.Batch, N: features, K: cfg.Dim, TransB: true}},
		{"head, gradient of the weights", gemmShape{M: features, N: cfg.Dim, K: cfg.Batch, TransA: true}},
		{"logits", gemmShape{M: cfg.Batch, N: cfg.Queue, K: cfg.Dim, TransB: true}},
		{"logits, gradient of the queries", gemmShape{M: cfg.Batch, N: cfg.Dim, K: cfg.Queue}},
		{"square", gemmShape{M: 512, N: 512, K: 512}},
		{"square", gemmShape{M: 1024, N: 1024, K: 1024}},
		{"square", gemmShape{M: 2048, N: 2048, K: 2048}},
	}
	b.setup = fmt.Sprintf("gemm: head of %s and logits at batch %d, dim %d, queue %d", encoderName(cfg), cfg.Batch, cfg.Dim, cfg.Queue)
	if err := b.measureLimits(ctx); err != nil {
		return nil, err
	}
	var out []timing
	for i, s := range shapes {
		plan := kernel.NewGemm(kernel.GemmShape{M: s.shape.M, N: s.shape.N, K: s.shape.K, TransA: s.shape.TransA, TransB: s.shape.TransB}, b.pool.Workers())
		x, y := b.uniform(s.shape.M*s.shape.K, uint64(2*i)), b.uniform(s.shape.K*s.shape.N, uint64(2*i+1))
		z := kernel.Alloc(s.shape.M * s.shape.N)
		seconds, err := b.measurePhases(ctx, plan.Run(z, x, y, kernel.Alloc(plan.ScratchLen()), false))
		if err != nil {
			return nil, err
		}
		flops := float64(plan.Flops())
		out = append(out, timing{
			name: fmt.Sprintf("%s %dx%dx%d", s.name, s.shape.M, s.shape.N, s.shape.K), shape: s.shape,
			work: flops / 1e9, flops: flops, count: 1, seconds: seconds,
			bytes: 4 * float64(len(x)+len(y)+len(z)),
		})
	}
	return out, nil
}

// A convLayer is a convolution that occurs in a network.
type convLayer struct {
	shape kernel.ConvShape
	count int
	pixel bool // it reads normalised pixels, which need no gradient
}

// convLayers returns the different convolutions of a network in their order.
func convLayers(g *encoder.Graph, n int) []convLayer {
	var out []convLayer
	for _, node := range g.Nodes {
		op, ok := node.Op.(encoder.Conv)
		if !ok {
			continue
		}
		in := g.Shape(node.In[0])
		l := convLayer{
			shape: kernel.ConvShape{N: n * in.Per, H: in.H, W: in.W, C: in.C, O: op.Out, KH: op.K, KW: op.K, Stride: op.Stride, Pad: op.Pad},
			count: 1,
		}
		if op.KW > 0 {
			l.shape.KW = op.KW
		}
		if maker := int(node.In[0]) - len(g.Inputs); maker >= 0 {
			_, l.pixel = g.Nodes[maker].Op.(encoder.Normalize)
		}
		if at := slices.IndexFunc(out, func(o convLayer) bool { return o.shape == l.shape && o.pixel == l.pixel }); at >= 0 {
			out[at].count++
			continue
		}
		out = append(out, l)
	}
	return out
}

// convShape is the JSON form of a convolution's shape.
type convShape struct {
	N      int `json:"n"`
	H      int `json:"h"`
	W      int `json:"w"`
	C      int `json:"c"`
	O      int `json:"o"`
	Kernel int `json:"kernel"`
	Width  int `json:"kernel_width,omitempty"` // where it is not the height
	Stride int `json:"stride"`
	Pad    int `json:"pad"`
}

// conv measures the convolutions of the network, each pass apart. The whole is
// one forward and one backward pass of all of them.
func (b *bench) conv(ctx context.Context) ([]timing, error) {
	cfg, err := b.trainConfig(max(b.viewSize(), 1), 0, 0)
	if err != nil {
		return nil, err
	}
	b.setup = fmt.Sprintf("conv: %s, width %g, %d px, batch %d, --conv %s", encoderName(cfg), cfg.Encoder.Width, cfg.Encoder.Size, cfg.Batch, b.method.conv)
	if err := b.measureLimits(ctx); err != nil {
		return nil, err
	}
	var out []timing
	for _, l := range convLayers(cfg.Graph(), cfg.Batch) {
		timings, err := b.convLayer(ctx, l, cfg)
		if err != nil {
			return nil, err
		}
		out = append(out, timings...)
	}
	whole := total(out)
	for i, t := range out {
		out[i].share = float64(t.count) * median(t.seconds) / median(whole.seconds)
	}
	return out, nil
}

func (b *bench) convLayer(ctx context.Context, l convLayer, cfg contrast.Config) ([]timing, error) {
	s := l.shape
	plan := kernel.NewConv(s, cfg.Conv, b.pool.Workers())
	in, out := kernel.ActLen(s.N, s.H, s.W, s.C), kernel.ActLen(s.N, plan.OutH(), plan.OutW(), s.O)
	x, dx, y, dy := b.activation(in, s.C, 0), kernel.Alloc(in), kernel.Alloc(out), b.activation(out, s.O, 1)
	w := b.uniform(s.KH*s.KW*s.C*s.O, 2)
	forwardLen, backwardLen := plan.PackedLen()
	forwardScratch, dataScratch, weightScratch := plan.ScratchLen()
	forward, backward, scratch := kernel.Alloc(forwardLen), kernel.Alloc(backwardLen), kernel.Alloc(max(forwardScratch, dataScratch, weightScratch))
	passes := []struct {
		name   string
		floats int // of the weights, as the pass has them
		phases []par.Phase
	}{
		{"forward", forwardLen, plan.Forward(y, x, forward, scratch)},
		{"data gradient", backwardLen, plan.BackwardData(dx, dy, backward, scratch, false)},
		{"weight gradient", len(w), plan.BackwardWeight(kernel.Alloc(len(w)), x, dy, scratch)},
	}
	for _, ph := range append(plan.PackForward(forward, w), plan.PackBackward(backward, w)...) {
		b.pool.Run(ph)
	}
	flops := float64(plan.Flops())
	shape := convShape{N: s.N, H: s.H, W: s.W, C: s.C, O: s.O, Kernel: s.KH, Stride: s.Stride, Pad: s.Pad}
	if s.KW != s.KH {
		shape.Width = s.KW
	}
	name := fmt.Sprintf("%dx%d/%d %d->%d %dx%d", s.KH, s.KW, s.Stride, s.C, s.O, s.H, s.W)
	var timings []timing
	for _, p := range passes {
		if l.pixel && p.name == "data gradient" {
			continue
		}
		seconds, err := b.measurePhases(ctx, p.phases)
		if err != nil {
			return nil, err
		}
		timings = append(timings, timing{
			name: name + " " + p.name, work: flops / 1e9, flops: flops, count: l.count, seconds: seconds, shape: shape,
			bytes: 4 * float64(in+out+p.floats),
		})
	}
	return timings, nil
}

// activation returns numbers in the places of channels and zeros elsewhere.
func (b *bench) activation(n, channels int, place uint64) []float32 {
	out := b.uniform(n, place)
	stride := kernel.PadC(channels)
	for pixel := range slices.Chunk(out, stride) {
		clear(pixel[channels:])
	}
	clear(out[n-stride:]) // the zero pixel
	return out
}

// loss measures InfoNCE with the gradient of the queries, which is the whole;
// and beside it the losses within a batch: NT-Xent of both views, and global
// vectors against the cells of local maps.
func (b *bench) loss(ctx context.Context) ([]timing, error) {
	m := b.method
	for _, f := range []struct {
		name  string
		value int
	}{{"batch", m.batch}, {"dim", m.dim}, {"queue", m.queue}, {"cells", b.cells}} {
		if f.value < 1 {
			return nil, usagef("--%s is %d, want at least 1", f.name, f.value)
		}
	}
	if !(m.temperature > 0) {
		return nil, usagef("--temperature is %g, want above 0", m.temperature)
	}
	b.setup = fmt.Sprintf("loss: %d queries against a queue of %d keys of %d dimensions, against their batch, and against maps of %d cells; forward and backward",
		m.batch, m.queue, m.dim, b.cells)
	if err := b.measureLimits(ctx); err != nil {
		return nil, err
	}
	var out []timing
	for _, measure := range []func(context.Context) (timing, error){b.queueLoss, b.batchLoss, b.mapLoss} {
		t, err := measure(ctx)
		if err != nil {
			return nil, err
		}
		t.work = float64(m.batch)
		out = append(out, t)
	}
	out[0].count = 1
	return out, nil
}

func (b *bench) queueLoss(ctx context.Context) (timing, error) {
	m := b.method
	plan := kernel.NewInfoNCE(kernel.InfoNCEShape{N: m.batch, D: m.dim, K: m.queue}, b.pool.Workers())
	args := b.infoNCE(m.batch, m.queue)
	args.Positive = b.unit(m.batch, m.dim, 2)
	if m.maskSameID {
		args.QueryIDs, args.KeyIDs = numbered(m.batch), numbered(m.queue)
	}
	seconds, err := b.measurePhases(ctx, plan.Bind(args, kernel.Alloc(plan.ScratchLen())))
	return timing{
		name: fmt.Sprintf("%d queries, %d keys, %d dimensions", m.batch, m.queue, m.dim), seconds: seconds,
		flops: 4 * float64(m.batch) * float64(m.queue) * float64(m.dim), // scores, and their sum of keys
		bytes: 4 * float64(m.dim) * float64(m.queue+3*m.batch),
	}, err
}

func (b *bench) batchLoss(ctx context.Context) (timing, error) {
	m, rows := b.method, 2*b.method.batch
	plan := kernel.NewInfoNCE(kernel.InfoNCEShape{N: rows, D: m.dim, K: rows}, b.pool.Workers())
	args := b.infoNCE(rows, rows)
	args.Keys, args.DKeys = args.Query, kernel.Alloc(rows*m.dim)
	for i := range rows {
		args.SelfRow = append(args.SelfRow, int32(i))
		args.PositiveRow = append(args.PositiveRow, int32((i+m.batch)%rows))
	}
	seconds, err := b.measurePhases(ctx, plan.Bind(args, kernel.Alloc(plan.ScratchLen())))
	return timing{
		name: fmt.Sprintf("in the batch: both views of %d pairs, %d dimensions", m.batch, m.dim), seconds: seconds,
		flops: 8 * float64(rows) * float64(rows) * float64(m.dim), // the keys' gradient takes the scores again
		bytes: 4 * float64(m.dim) * float64(3*rows),
	}, err
}

func (b *bench) mapLoss(ctx context.Context) (timing, error) {
	m, cells := b.method, b.method.batch*b.cells
	plan := kernel.NewGlobalLocal(kernel.GlobalLocalShape{N: m.batch, Q: b.cells, D: m.dim}, b.pool.Workers())
	args := &kernel.GlobalLocalArgs{
		Global: b.unit(m.batch, m.dim, 0), Local: b.unit(cells, m.dim, 1), Estimator: kernel.NCEEstimator,
		Scale: 1 / float32(m.temperature), GradScale: 1,
		DGlobal: kernel.Alloc(m.batch * m.dim), DLocal: kernel.Alloc(cells * m.dim), Result: &kernel.GlobalLocalResult{},
	}
	seconds, err := b.measurePhases(ctx, plan.Bind(args, kernel.Alloc(plan.ScratchLen())))
	return timing{
		name: fmt.Sprintf("maps: %d vectors, %d cells of each, %d dimensions", m.batch, b.cells, m.dim), seconds: seconds,
		flops: 8 * float64(m.batch) * float64(cells) * float64(m.dim), // scores, twice, and either gradient
		bytes: 4 * float64(m.dim) * float64(2*(cells+m.batch)),
	}, err
}

// infoNCE returns the arguments of InfoNCE that all its forms have.
func (b *bench) infoNCE(queries, keys int) *kernel.InfoNCEArgs {
	dim := b.method.dim
	return &kernel.InfoNCEArgs{
		Query: b.unit(queries, dim, 0), Keys: b.unit(keys, dim, 1), Valid: keys,
		Temperature: float32(b.method.temperature), GradScale: 1 / float32(queries),
		Loss: make([]float32, queries), Entropy: make([]float32, queries), Above: make([]int32, queries), Masked: make([]int32, queries),
		DQuery: kernel.Alloc(queries * dim),
	}
}

// numbered returns the ids of n samples.
func numbered(n int) []uint64 {
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	return ids
}
