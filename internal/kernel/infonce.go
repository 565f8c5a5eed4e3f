package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// InfoNCEShape is a contrast of N queries, each with one positive, against up
// to K keys that they share, all of D dimensions.
type InfoNCEShape struct{ N, D, K int }

// InfoNCEArgs are the buffers and settings of an InfoNCE loss. They are read
// at every run, so that slices may be exchanged for others of the same length.
type InfoNCEArgs struct {
	Query []float32 // [N,D]
	Keys  []float32 // [K,D]: the negatives, and positives too where PositiveRow says so
	Valid int       // the first Valid rows of Keys count; a query without negatives has loss and gradient 0

	// The positive of query i is row i of Positive, or row PositiveRow[i] of
	// Keys, which then is not a negative of i. One of the two is nil.
	Positive    []float32 // [N,D]
	PositiveRow []int32   // [N], in [0,Valid)

	// Row SelfRow[i] of Keys is query i itself and not a negative of i
	// (NT-Xent, where queries are keys); nil: there is none.
	SelfRow []int32 // [N]

	// A key whose id is that of the query is not a negative of it. Ids of 0
	// match nothing. Both nil: no masking.
	QueryIDs []uint64 // [N]
	KeyIDs   []uint64 // [K]

	// AnyLength says that the rows are not of unit length, as in CPC.
	AnyLength   bool
	Temperature float32
	GradScale   float32 // g: the gradient is that of g·Σ loss; 1/N for a mean

	Score   []float32 // [N]: <q,k_+>/τ; nil: not wanted
	Loss    []float32 // [N], nats
	Entropy []float32 // [N], nats: of the softmax over positive and negatives
	Above   []int32   // [N]: negatives that score strictly above the positive
	Masked  []int32   // [N]: keys left out by their id

	DQuery []float32 // [N,D]: gradient of Query, overwritten; nil: not wanted
	DKeys  []float32 // [K,D]: gradient of Keys as negatives and by PositiveRow, overwritten; nil: not wanted
}

const (
	// infoNCEWidth queries lie side by side in a tile, one a vector lane.
	infoNCEWidth = 2 * lanes
	// infoNCERows is the most keys in a block: 12 KiB of scores stay in the
	// first-level cache. Blocks of few keys are halved down to
	// infoNCERows/4, so that there are lanes for all. Every one of these is a
	// multiple of each row's tile height.
	infoNCERows = 96
	// infoNCEQueries is the number of queries that share a lane's pass over
	// its keys.
	infoNCEQueries = 256
	// infoNCETasks is the number of tasks to make of lanes, into which the key
	// blocks are dealt, times groups of queries, and infoNCESums bounds the floats
	// of the lanes' gradient sums.
	infoNCETasks = 32
	infoNCESums  = 1 << 22
	// infoNCEFixedShift is the largest 2/temperature for which exp(s - 1/τ)
	// stays a normal float32 for every s in [-1/τ, 1/τ].
	infoNCEFixedShift = 80
)

// InfoNCE is the plan of the loss (van den Oord et al. 2018, equation 4; He et
// al. 2020, equation 1; with PositiveRow and SelfRow the NT-Xent of Chen et
// al. 2020, equation 1)
//
//	s_j = <q,k_j>/τ   loss = log( exp s_+ + Σ_j exp s_j ) - s_+
//
// and its gradients. The logits [N,1+K] are never materialised: the gradient
//
//	dq = g/τ · ( (e_+·k_+ + Σ_j e_j·k_j)/Σe - k_+ ),  e = exp(s - shift)
//
// needs, like the loss, only sums over the keys, so one pass makes both, a
// block of keys at a time. The shift is 1/τ, which unit vectors cannot exceed,
// or for small τ the running maximum. Blocks are dealt to a fixed number of
// lanes, and lanes are joined in order. The gradient of the keys, where it is
// wanted, takes a second pass. Memory grows with (N+K)·D, not with N·K.
//
// The phases of one plan, bound however often, run one after another.
type InfoNCE struct {
	shape   InfoNCEShape
	gemm    *gemmKernels
	expSum  expSumKernel
	max     func(top, x []float32) // see columnKernels
	workers int
	panels  int // groups of infoNCEWidth queries, the last one padded
	rows    int // keys of a block
	lanes   int
	depth   int // D rounded up to the tile height: the stride of keys in a tile
	wide    int // D rounded up to whole vectors: the stride of their gradient

	// Offsets of a tile's rows, as the products take them.
	scoreRows, keyRows, gradRows []int

	// Sums per lane and query, [lanes][panels·width].
	shift       []float32
	sum         []float64
	weightedSum []float64
	above       []int32
	masked      []int32

	// Per query, [panels·width].
	positive []float32 // <q,k_+>
	top      []float32 // the shift of the joined sums
	weight   []float32 // what exp(s-top) counts in the gradient: g/(τ·Σe)
	pull     []float32 // what the positive counts in it: g/τ·(e_+/Σe - 1)

	ids     idTable
	matches []int32 // [workers][rows]: first query of a key's id
}

// NewInfoNCE plans the loss for at most so many workers.
func NewInfoNCE(s InfoNCEShape, workers int) *InfoNCE {
	if s.N < 1 || s.D < 1 || s.K < 0 || workers < 1 {
		panic(fmt.Sprintf("kernel: infonce: shape %+v, %d workers: want N, D and workers positive", s, workers))
	}
	gemm := &active.gemm
	x := &InfoNCE{
		shape: s, gemm: gemm, expSum: active.expSum, max: active.columns.max, workers: workers,
		panels: ceilDiv(s.N, infoNCEWidth),
		rows:   infoNCERows,
		depth:  roundUp(s.D, gemm.rows),
		wide:   roundUp(s.D, gemm.panels*lanes),
	}
	queries := x.panels * infoNCEWidth
	lanes := ceilDiv(infoNCETasks, ceilDiv(queries, infoNCEQueries))
	for x.rows > infoNCERows/4 && s.K < lanes*x.rows {
		x.rows /= 2
	}
	x.lanes = max(1, min(lanes, infoNCESums/(queries*x.depth), x.blocks(s.K)))
	for i := range max(x.rows, roundUp(infoNCEWidth, gemm.rows)) {
		x.scoreRows = append(x.scoreRows, i*infoNCEWidth)
		x.keyRows = append(x.keyRows, i*x.depth)
		x.gradRows = append(x.gradRows, i*x.wide)
	}
	x.shift = make([]float32, x.lanes*queries)
	x.sum = make([]float64, x.lanes*queries)
	x.weightedSum = make([]float64, x.lanes*queries)
	x.above = make([]int32, x.lanes*queries)
	x.masked = make([]int32, x.lanes*queries)
	x.positive = make([]float32, queries)
	x.top = make([]float32, queries)
	x.weight = make([]float32, queries)
	x.pull = make([]float32, queries)
	x.ids = newIDTable(s.N)
	x.matches = make([]int32, workers*x.rows)
	return x
}

// ScratchLen is the length of the scratch of Bind.
func (x *InfoNCE) ScratchLen() int {
	return 2*x.panels*x.panelLen() + x.lanes*x.panels*(x.sumsLen()+infoNCEWidth) + x.workers*x.tileLen()
}

// blocks returns the number of blocks that so many keys make.
func (x *InfoNCE) blocks(keys int) int { return ceilDiv(keys, x.rows) }

// panelLen is the length of a panel of queries, packed one way or the other.
func (x *InfoNCE) panelLen() int { return x.wide * infoNCEWidth }

// sumsLen is the length of a lane's gradient sums for a panel.
func (x *InfoNCE) sumsLen() int { return x.depth * infoNCEWidth }

// infoNCERun is a binding.
type infoNCERun struct {
	*InfoNCE
	a       *InfoNCEArgs
	queries []float32 // [panels][2][D][16]: the queries transposed
	weighed []float32 // [panels][wide/16][32][16]: the queries times their weights
	sums    []float32 // [lanes][panels][depth][width]: Σ e·k
	shares  []float32 // [lanes][panels·width]: what a lane's sums count in the gradient
	tiles   []float32
}

// Bind returns the phases that compute the outputs of a from its inputs. Which
// of the optional slices are nil may not change afterwards.
func (x *InfoNCE) Bind(a *InfoNCEArgs, scratch []float32) []par.Phase {
	s := x.shape
	x.check(a, len(scratch))
	r := &infoNCERun{InfoNCE: x, a: a}
	take := func(n int) []float32 {
		part := scratch[:n:n]
		scratch = scratch[n:]
		return part
	}
	r.queries = take(x.panels * x.panelLen())
	r.weighed = take(x.panels * x.panelLen())
	r.sums = take(x.lanes * x.panels * x.sumsLen())
	r.shares = take(x.lanes * x.panels * infoNCEWidth)
	r.tiles = take(x.workers * x.tileLen())

	groups := ceilDiv(x.panels*infoNCEWidth, infoNCEQueries)
	phases := []par.Phase{
		{Tasks: x.panels + 1, Run: func(worker, t int) {
			if t < x.panels {
				r.prepare(worker, t)
			} else if a.QueryIDs != nil {
				x.ids.fill(a.QueryIDs[:s.N])
			}
		}},
		{Tasks: groups * x.lanes, Run: func(worker, t int) { r.stream(worker, t/x.lanes, t%x.lanes) }},
		{Tasks: x.panels, Run: func(_, t int) { r.join(t) }},
	}
	if a.DQuery != nil {
		chunks := ceilDiv(s.D, lanes)
		phases = append(phases, par.Phase{Tasks: x.panels * chunks, Run: func(_, t int) {
			r.gradQueries(t/chunks, t%chunks*lanes)
		}})
	}
	if a.DKeys != nil {
		phases = append(phases,
			par.Phase{Tasks: x.panels, Run: func(_, t int) { r.weigh(t) }},
			par.Phase{Tasks: x.blocks(s.K), Run: func(worker, t int) { r.gradKeys(worker, t) }})
	}
	return phases
}

// check panics where a buffer is too short, or given without the one it needs.
func (x *InfoNCE) check(a *InfoNCEArgs, scratch int) {
	s := x.shape
	for _, b := range []struct {
		name      string
		got, want int
		optional  bool
	}{
		{"query", len(a.Query), s.N * s.D, false},
		{"keys", len(a.Keys), s.K * s.D, false},
		{"positive", len(a.Positive), s.N * s.D, true},
		{"positive rows", len(a.PositiveRow), s.N, true},
		{"self rows", len(a.SelfRow), s.N, true},
		{"query ids", len(a.QueryIDs), s.N, true},
		{"key ids", len(a.KeyIDs), s.K, true},
		{"score", len(a.Score), s.N, true},
		{"loss", len(a.Loss), s.N, false},
		{"entropy", len(a.Entropy), s.N, false},
		{"above", len(a.Above), s.N, false},
		{"masked", len(a.Masked), s.N, false},
		{"dquery", len(a.DQuery), s.N * s.D, true},
		{"dkeys", len(a.DKeys), s.K * s.D, true},
		{"scratch", scratch, x.ScratchLen(), false},
	} {
		if b.got > 0 || !b.optional {
			checkLen("infonce", s, b.name, b.got, b.want)
		}
	}
	if (a.Positive == nil) == (a.PositiveRow == nil) {
		panic(fmt.Sprintf("kernel: infonce: got %d floats of positives and %d positive rows, want one of the two", len(a.Positive), len(a.PositiveRow)))
	}
	if (a.QueryIDs == nil) != (a.KeyIDs == nil) {
		panic(fmt.Sprintf("kernel: infonce: got %d query ids and %d key ids, want both or none", len(a.QueryIDs), len(a.KeyIDs)))
	}
}

// valid is the number of keys that count in this run.
func (r *infoNCERun) valid() int { return max(0, min(r.a.Valid, r.shape.K)) }

// usedLanes is the number of lanes that have a block in this run.
func (r *infoNCERun) usedLanes() int { return min(r.lanes, r.blocks(r.valid())) }

// fixedShift returns 1/τ and whether no score exceeds it, none by so much that
// its exponential underflows.
func (r *infoNCERun) fixedShift() (shift float32, ok bool) {
	shift = 1 / r.a.Temperature
	return shift, !r.a.AnyLength && 2*shift <= infoNCEFixedShift
}

// positiveOf returns the positive of a query.
func (r *infoNCERun) positiveOf(query int) []float32 {
	d := r.shape.D
	if r.a.PositiveRow != nil {
		return r.a.Keys[int(r.a.PositiveRow[query])*d:][:d]
	}
	return r.a.Positive[query*d:][:d]
}

// prepare transposes a panel of queries and scores its positives, by the same
// products as the keys: a key equal to the positive must not count as above.
func (r *infoNCERun) prepare(worker, panel int) {
	t, d := r.tile(worker), r.shape.D
	first, end := r.queriesOf(panel)
	packed := r.queries[panel*r.panelLen() : (panel+1)*r.panelLen()]
	clear(packed)
	for i := range end - first {
		half := packed[i/lanes*d*lanes:]
		for j, v := range r.a.Query[(first+i)*d : (first+i+1)*d] {
			half[j*lanes+i%lanes] = v
		}
		r.load(&t, i, r.positiveOf(first+i))
	}
	r.score(&t, panel, end-first)
	for i := range end - first {
		r.positive[first+i] = t.scores[i*infoNCEWidth+i]
	}
}

// queriesOf returns the range of a panel's queries.
func (r *infoNCERun) queriesOf(panel int) (first, end int) {
	first = panel * infoNCEWidth
	return first, min(first+infoNCEWidth, r.shape.N)
}

// stream takes a group of queries past the key blocks of a lane.
func (r *infoNCERun) stream(worker, group, lane int) {
	t := r.tile(worker)
	perGroup := infoNCEQueries / infoNCEWidth
	firstPanel, endPanel := group*perGroup, min((group+1)*perGroup, r.panels)
	for panel := firstPanel; panel < endPanel; panel++ {
		r.reset(lane, panel)
	}
	for block := lane; block < r.blocks(r.valid()); block += r.lanes {
		rows := r.loadBlock(&t, block)
		for panel := firstPanel; panel < endPanel; panel++ {
			r.score(&t, panel, rows)
			masked := r.masked[(lane*r.panels+panel)*infoNCEWidth:][:infoNCEWidth]
			r.exclude(&t, block, panel, rows, masked)
			r.accumulate(&t, lane, panel, rows)
		}
	}
}

// join adds up the lanes of a panel's queries and finishes all but the
// gradients, for which it leaves the weights.
func (r *infoNCERun) join(panel int) {
	stride := r.panels * infoNCEWidth
	scale := 1 / r.a.Temperature
	used := r.usedLanes()
	first, end := r.queriesOf(panel)
	for q := first; q < end; q++ {
		positive := float64(r.positive[q]) * float64(scale)
		if r.a.Score != nil {
			r.a.Score[q] = float32(positive)
		}
		top, fixed := r.fixedShift()
		if !fixed {
			top = float32(positive)
			for lane := range used {
				top = max(top, r.shift[lane*stride+q])
			}
		}
		var negatives, weighted float64
		var above, masked int32
		for lane := range used {
			i := lane*stride + q
			above += r.above[i]
			masked += r.masked[i]
			if r.sum[i] == 0 { // its shift may be -Inf
				continue
			}
			lower := float64(r.shift[i]) - float64(top)
			down := math.Exp(lower)
			negatives += down * r.sum[i]
			weighted += down * (r.weightedSum[i] + r.sum[i]*lower)
		}
		r.a.Above[q], r.a.Masked[q] = above, masked
		r.top[q], r.weight[q], r.pull[q] = top, 0, 0
		r.a.Loss[q], r.a.Entropy[q] = 0, 0
		if negatives != 0 { // else a softmax over one
			positive -= float64(top)
			e := math.Exp(positive)
			total := negatives + e
			logTotal := math.Log(total)
			r.a.Loss[q] = float32(max(0, logTotal-positive))
			r.a.Entropy[q] = float32(max(0, logTotal-(weighted+e*positive)/total))
			g := float64(r.a.GradScale) * float64(scale) / total
			r.weight[q] = float32(g)
			r.pull[q] = float32(-g * negatives) // e/total - 1, without the difference
		}
		for lane := range used {
			i := lane*stride + q
			r.shares[i] = r.weight[q] * float32(math.Exp(float64(r.shift[i])-float64(top)))
		}
	}
}

// gradQueries joins the lanes' sums of 16 dimensions from d on into DQuery.
func (r *infoNCERun) gradQueries(panel, d int) {
	const w = infoNCEWidth
	dims := r.shape.D
	stride := r.panels * w
	first, end := r.queriesOf(panel)
	for last := min(d+lanes, dims); d < last; d++ {
		var total [w]float32
		for lane := range r.usedLanes() {
			sums := r.laneSums(lane, panel)[d*w:][:w]
			shares := r.shares[lane*stride+first:][:w]
			for q, v := range sums {
				total[q] += shares[q] * v
			}
		}
		for q := first; q < end; q++ {
			r.a.DQuery[q*dims+d] = total[q-first] + r.pull[q]*r.positiveOf(q)[d]
		}
	}
}
