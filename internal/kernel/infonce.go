package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// InfoNCEShape is a contrast of N queries, each with a positive of its own,
// against up to K shared negatives, all of D dimensions.
type InfoNCEShape struct{ N, D, K int }

// InfoNCEArgs are the buffers and settings of an InfoNCE loss. They are read
// at every run, so that slices may be exchanged for others of the same length.
type InfoNCEArgs struct {
	Query    []float32 // [N,D], rows of unit length
	Positive []float32 // [N,D], rows of unit length
	Keys     []float32 // [K,D], rows of unit length: the negatives
	Valid    int       // the first Valid rows of Keys count; with 0 loss and gradient are 0

	// A key whose id is that of the query is not among its negatives. Ids of
	// 0 match nothing. Both nil: no masking.
	QueryIDs []uint64 // [N]
	KeyIDs   []uint64 // [K]

	Temperature float32
	GradScale   float32 // g: the gradient is that of g·Σ loss; 1/N for a mean

	Loss    []float32 // [N], nats
	Entropy []float32 // [N], nats: of the softmax over positive and negatives
	Above   []int32   // [N]: negatives that score strictly above the positive
	Masked  []int32   // [N]: keys left out by their id
	DQuery  []float32 // [N,D]: gradient of Query, overwritten; nil: not wanted
}

const (
	// infoNCEWidth queries lie side by side in a tile, one a vector lane.
	infoNCEWidth = 2 * lanes
	// infoNCERows keys make a block: 12 KiB of scores stay in the first-level
	// cache. A multiple of every row's tile height.
	infoNCERows = 96
	// infoNCEQueries is the number of queries that share a lane's pass over
	// its keys.
	infoNCEQueries = 256
	// infoNCELanes bounds the lanes into which the key blocks are dealt, and
	// infoNCESums the floats of their gradient sums.
	infoNCELanes = 32
	infoNCESums  = 1 << 22
	// infoNCEFixedShift is the largest 2/temperature for which exp(s - 1/τ)
	// stays a normal float32 for every s in [-1/τ, 1/τ].
	infoNCEFixedShift = 80
)

// InfoNCE is the plan of the loss (van den Oord et al. 2018, equation 4; He et
// al. 2020, equation 1)
//
//	s_j = <q,k_j>/τ   loss = log( exp s_+ + Σ_j exp s_j ) - s_+
//
// and its gradient with respect to the queries. Logits [N,1+K] are never
// materialised: the gradient
//
//	dq = g/τ · ( (e_+·k_+ + Σ_j e_j·k_j)/Σe - k_+ ),  e = exp(s - shift)
//
// needs, like the loss, only sums over the keys, so one pass makes both, a
// block of keys at a time. The shift is 1/τ, which unit vectors cannot exceed,
// or for small τ the running maximum. Blocks are dealt to a fixed number of
// lanes, and lanes are joined in order. Memory grows with N·D, not with K.
//
// The phases of one plan, bound however often, run one after another.
type InfoNCE struct {
	shape        InfoNCEShape
	gemm         *gemmKernels
	expSum       expSumKernel
	panels       int // groups of infoNCEWidth queries, the last one padded
	lanes        int
	depth        int // D rounded up to the tile height
	scoreOffsets []int
	keyOffsets   []int

	// Sums per lane and query, [lanes][panels·width].
	shift    []float32
	sum      []float64
	weighted []float64
	above    []int32
	masked   []int32

	positive []float32 // <q,k_+> per query
	ids      idTable
	matches  []int32 // [workers][infoNCERows]: first query of a key's id
}

// NewInfoNCE plans the loss for at most so many workers.
func NewInfoNCE(s InfoNCEShape, workers int) *InfoNCE {
	if s.N < 1 || s.D < 1 || s.K < 0 || workers < 1 {
		panic(fmt.Sprintf("kernel: infonce: shape %+v, %d workers: want N, D and workers positive", s, workers))
	}
	gemm := &active.gemm
	x := &InfoNCE{
		shape: s, gemm: gemm, expSum: active.expSum,
		panels: ceilDiv(s.N, infoNCEWidth),
		depth:  roundUp(s.D, gemm.rows),
	}
	queries := x.panels * infoNCEWidth
	x.lanes = max(1, min(infoNCELanes, infoNCESums/(queries*x.depth), x.blocks(s.K)))
	for i := range infoNCERows {
		x.scoreOffsets = append(x.scoreOffsets, i*infoNCEWidth)
		x.keyOffsets = append(x.keyOffsets, i*x.depth)
	}
	x.shift = make([]float32, x.lanes*queries)
	x.sum = make([]float64, x.lanes*queries)
	x.weighted = make([]float64, x.lanes*queries)
	x.above = make([]int32, x.lanes*queries)
	x.masked = make([]int32, x.lanes*queries)
	x.positive = make([]float32, queries)
	x.ids = newIDTable(s.N)
	x.matches = make([]int32, workers*infoNCERows)
	return x
}

// ScratchLen is the length of the scratch of Bind.
func (x *InfoNCE) ScratchLen() int {
	return x.panels*x.panelLen() + x.lanes*x.panels*x.sumsLen() + x.lanes*x.panels*infoNCEWidth +
		len(x.matches)/infoNCERows*x.tileLen()
}

func (x *InfoNCE) blocks(keys int) int { return ceilDiv(keys, infoNCERows) }
func (x *InfoNCE) panelLen() int       { return x.shape.D * infoNCEWidth }
func (x *InfoNCE) sumsLen() int        { return x.depth * infoNCEWidth }
func (x *InfoNCE) tileLen() int {
	return roundUp(infoNCERows*x.depth, lanes) + infoNCERows*infoNCEWidth + 5*infoNCEWidth
}

// infoNCETile is a worker's memory for one block of keys and one panel of
// queries.
type infoNCETile struct {
	keys    []float32 // [infoNCERows][depth]
	scores  []float32 // [infoNCERows][width]: cosines, then exponentials
	stats   []float32 // [5][width], see expSumKernel
	matches []int32   // [infoNCERows]
}

// infoNCERun is a binding.
type infoNCERun struct {
	*InfoNCE
	a       *InfoNCEArgs
	queries []float32 // [panels][2][D][16]: the queries transposed
	sums    []float32 // [lanes][panels][depth][width]: Σ e·k
	weights []float32 // [lanes][panels·width]: what a lane's sums count in the gradient
	tiles   []float32
}

// Bind returns the phases that compute the outputs of a from its inputs.
func (x *InfoNCE) Bind(a *InfoNCEArgs, scratch []float32) []par.Phase {
	s := x.shape
	checkLen("infonce", s, "query", len(a.Query), s.N*s.D)
	checkLen("infonce", s, "positive", len(a.Positive), s.N*s.D)
	checkLen("infonce", s, "keys", len(a.Keys), s.K*s.D)
	checkLen("infonce", s, "loss", len(a.Loss), s.N)
	checkLen("infonce", s, "entropy", len(a.Entropy), s.N)
	checkLen("infonce", s, "above", len(a.Above), s.N)
	checkLen("infonce", s, "masked", len(a.Masked), s.N)
	checkLen("infonce", s, "scratch", len(scratch), x.ScratchLen())
	if (a.QueryIDs == nil) != (a.KeyIDs == nil) {
		panic(fmt.Sprintf("kernel: infonce: got %d query ids and %d key ids, want both or none", len(a.QueryIDs), len(a.KeyIDs)))
	}
	if a.QueryIDs != nil {
		checkLen("infonce", s, "query ids", len(a.QueryIDs), s.N)
		checkLen("infonce", s, "key ids", len(a.KeyIDs), s.K)
	}
	r := &infoNCERun{InfoNCE: x, a: a}
	take := func(n int) []float32 {
		part := scratch[:n:n]
		scratch = scratch[n:]
		return part
	}
	r.queries = take(x.panels * x.panelLen())
	r.sums = take(x.lanes * x.panels * x.sumsLen())
	r.weights = take(x.lanes * x.panels * infoNCEWidth)
	r.tiles = take(len(x.matches) / infoNCERows * x.tileLen())

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
		checkLen("infonce", s, "dquery", len(a.DQuery), s.N*s.D)
		chunks := ceilDiv(s.D, lanes)
		phases = append(phases, par.Phase{Tasks: x.panels * chunks, Run: func(_, t int) {
			r.gradient(t/chunks, t%chunks*lanes)
		}})
	}
	return phases
}

func (r *infoNCERun) tile(worker int) infoNCETile {
	mem := r.tiles[worker*r.tileLen() : (worker+1)*r.tileLen()]
	keys := roundUp(infoNCERows*r.depth, lanes)
	return infoNCETile{
		keys:    mem[:keys],
		scores:  mem[keys : keys+infoNCERows*infoNCEWidth],
		stats:   mem[keys+infoNCERows*infoNCEWidth:],
		matches: r.matches[worker*infoNCERows : (worker+1)*infoNCERows],
	}
}

// load copies rows of D floats into the tile, where they are padded with zeros
// to the depth that the products read.
func (r *infoNCERun) load(t *infoNCETile, rows []float32) {
	d := r.shape.D
	for i := range len(rows) / d {
		row := t.keys[i*r.depth : (i+1)*r.depth]
		copy(row, rows[i*d:(i+1)*d])
		clear(row[d:])
	}
}

// score sets the tile's scores [rows][width] to the cosines of its first rows
// keys and a panel of queries.
func (r *infoNCERun) score(t *infoNCETile, panel, rows int) {
	queries := r.queries[panel*r.panelLen() : (panel+1)*r.panelLen()]
	stride := r.shape.D * lanes
	for q := 0; q < infoNCEWidth/lanes; q += r.gemm.panels {
		r.gemm.gather(t.scores[q*lanes:], r.scoreOffsets, t.keys, r.keyOffsets, queries[q*stride:],
			stride, r.gemm.panels, ceilDiv(rows, r.gemm.rows), 1, r.shape.D, false)
	}
}

// prepare transposes a panel of queries and scores its positives, by the same
// products as the keys: a key equal to the positive must not count as above.
func (r *infoNCERun) prepare(worker, panel int) {
	t, d := r.tile(worker), r.shape.D
	first := panel * infoNCEWidth
	count := min(infoNCEWidth, r.shape.N-first)
	packed := r.queries[panel*r.panelLen() : (panel+1)*r.panelLen()]
	clear(packed)
	for i := range count {
		half := packed[i/lanes*d*lanes:]
		for j, v := range r.a.Query[(first+i)*d : (first+i+1)*d] {
			half[j*lanes+i%lanes] = v
		}
	}
	r.load(&t, r.a.Positive[first*d:(first+count)*d])
	r.score(&t, panel, count)
	for i := range count {
		r.positive[first+i] = t.scores[i*infoNCEWidth+i]
	}
}

// stream takes a group of queries past the key blocks of a lane.
func (r *infoNCERun) stream(worker, group, lane int) {
	t, d := r.tile(worker), r.shape.D
	perGroup := infoNCEQueries / infoNCEWidth
	firstPanel, endPanel := group*perGroup, min((group+1)*perGroup, r.panels)
	for panel := firstPanel; panel < endPanel; panel++ {
		r.reset(lane, panel)
	}
	valid := min(r.a.Valid, r.shape.K)
	for block := lane; block < r.blocks(valid); block += r.lanes {
		first := block * infoNCERows
		rows := min(infoNCERows, valid-first)
		r.load(&t, r.a.Keys[first*d:(first+rows)*d])
		matched := r.a.KeyIDs != nil && r.ids.lookup(t.matches[:rows], r.a.KeyIDs[first:first+rows])
		for panel := firstPanel; panel < endPanel; panel++ {
			r.score(&t, panel, rows)
			if matched {
				r.exclude(&t, lane, panel, rows)
			}
			r.accumulate(&t, lane, panel, rows)
		}
	}
}

// reset clears a lane's sums for a panel.
func (r *infoNCERun) reset(lane, panel int) {
	clear(r.laneSums(lane, panel))
	at := (lane*r.panels + panel) * infoNCEWidth
	clear(r.sum[at : at+infoNCEWidth])
	clear(r.weighted[at : at+infoNCEWidth])
	clear(r.above[at : at+infoNCEWidth])
	clear(r.masked[at : at+infoNCEWidth])
	start := float32(math.Inf(-1))
	if shift, fixed := r.fixedShift(); fixed {
		start = shift
	}
	for q := range infoNCEWidth {
		r.shift[at+q] = start
	}
}

func (r *infoNCERun) laneSums(lane, panel int) []float32 {
	return r.sums[(lane*r.panels+panel)*r.sumsLen():][:r.sumsLen()]
}

// fixedShift returns 1/τ and whether it serves for every score.
func (r *infoNCERun) fixedShift() (shift float32, ok bool) {
	shift = 1 / r.a.Temperature
	return shift, 2*shift <= infoNCEFixedShift
}

// exclude sets the scores of keys and queries of the same id to -Inf.
func (r *infoNCERun) exclude(t *infoNCETile, lane, panel, rows int) {
	first := int32(panel * infoNCEWidth)
	masked := r.masked[(lane*r.panels+panel)*infoNCEWidth:][:infoNCEWidth]
	for j, query := range t.matches[:rows] {
		for ; query >= 0; query = r.ids.next[query] {
			if q := query - first; q >= 0 && q < infoNCEWidth {
				t.scores[j*infoNCEWidth+int(q)] = float32(math.Inf(-1))
				masked[q]++
			}
		}
	}
}

// accumulate adds the tile's scores to a lane's sums for a panel.
func (r *infoNCERun) accumulate(t *infoNCETile, lane, panel, rows int) {
	const w = infoNCEWidth
	at := (lane*r.panels + panel) * w
	shift := r.shift[at : at+w]
	scores := t.scores[:rows*w]
	sums := r.laneSums(lane, panel)
	if _, fixed := r.fixedShift(); !fixed {
		r.raise(scores, sums, at)
	}
	copy(t.stats, r.positive[panel*w:(panel+1)*w])
	for q, m := range shift {
		t.stats[w+q] = max(m, -math.MaxFloat32) // -Inf when every key so far is excluded
	}
	clear(t.stats[2*w:])
	r.expSum(scores, t.stats, w, 1/r.a.Temperature)
	for q := range w {
		r.sum[at+q] += float64(t.stats[2*w+q])
		r.weighted[at+q] += float64(t.stats[3*w+q])
		r.above[at+q] += int32(t.stats[4*w+q])
	}
	if r.a.DQuery != nil {
		for p := 0; p < w/lanes; p += r.gemm.panels {
			r.gemm.outer(sums[p*lanes:], w, t.keys, r.depth, scores[p*lanes:], w, r.gemm.panels, r.depth/r.gemm.rows, rows)
		}
	}
}

// raise moves the shifts of a panel to the largest score so far, and what was
// summed under the old shifts with them (online softmax, Milakov and
// Gimelshein 2018).
func (r *infoNCERun) raise(scores, sums []float32, at int) {
	scale := 1 / r.a.Temperature
	for q := range infoNCEWidth {
		old := r.shift[at+q]
		shift := old
		for i := q; i < len(scores); i += infoNCEWidth {
			shift = max(shift, scores[i]*scale)
		}
		if shift == old {
			continue
		}
		r.shift[at+q] = shift
		if math.IsInf(float64(old), -1) {
			continue // nothing summed yet
		}
		down := math.Exp(float64(old) - float64(shift))
		r.weighted[at+q] = down * (r.weighted[at+q] + r.sum[at+q]*(float64(old)-float64(shift)))
		r.sum[at+q] *= down
		for i := q; i < len(sums); i += infoNCEWidth {
			sums[i] *= float32(down)
		}
	}
}

// join adds up the lanes of a panel's queries and finishes all but the
// gradient, for which it leaves the weights of the lanes' sums; positive
// becomes the weight of the positive.
func (r *infoNCERun) join(panel int) {
	first := panel * infoNCEWidth
	stride := r.panels * infoNCEWidth
	scale := 1 / float64(r.a.Temperature)
	valid := min(r.a.Valid, r.shape.K)
	used := min(r.lanes, r.blocks(valid))
	for q := first; q < min(first+infoNCEWidth, r.shape.N); q++ {
		positive := float64(r.positive[q]) * float64(1/r.a.Temperature)
		top := math.Inf(-1)
		if shift, fixed := r.fixedShift(); fixed {
			top = float64(shift)
		} else {
			for lane := range used {
				top = max(top, float64(r.shift[lane*stride+q]))
			}
			top = max(top, positive)
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
			lower := float64(r.shift[i]) - top
			down := math.Exp(lower)
			negatives += down * r.sum[i]
			weighted += down * (r.weighted[i] + r.sum[i]*lower)
		}
		r.a.Above[q], r.a.Masked[q] = above, masked
		if int(masked) == valid { // no negative: a softmax over one
			r.a.Loss[q], r.a.Entropy[q], r.positive[q] = 0, 0, 0
			for lane := range used {
				r.weights[lane*stride+q] = 0
			}
			continue
		}
		positive -= top
		e := math.Exp(positive)
		total := negatives + e
		logTotal := math.Log(total)
		r.a.Loss[q] = float32(max(0, logTotal-positive))
		r.a.Entropy[q] = float32(max(0, logTotal-(weighted+e*positive)/total))
		g := float64(r.a.GradScale) * scale / total
		for lane := range used {
			lower := float64(r.shift[lane*stride+q]) - top
			r.weights[lane*stride+q] = float32(g * math.Exp(lower))
		}
		r.positive[q] = float32(-g * negatives) // e/total - 1
	}
}

// gradient joins the lanes' sums of 16 dimensions from d on into DQuery.
func (r *infoNCERun) gradient(panel, d int) {
	const w = infoNCEWidth
	dims := r.shape.D
	first := panel * w
	stride := r.panels * w
	used := min(r.lanes, r.blocks(min(r.a.Valid, r.shape.K)))
	for ; d < min(d/lanes*lanes+lanes, dims); d++ {
		var total [w]float32
		for lane := range used {
			sums := r.laneSums(lane, panel)[d*w:][:w]
			weights := r.weights[lane*stride+first:][:w]
			for q, v := range sums {
				total[q] += weights[q] * v
			}
		}
		for q := first; q < min(first+w, r.shape.N); q++ {
			r.a.DQuery[q*dims+d] = total[q-first] + r.positive[q]*r.a.Positive[q*dims+d]
		}
	}
}
