package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// GlobalLocalShape is a contrast of the global vectors of N images with the Q
// cells of their local maps, all of D dimensions. K is the number of global
// vectors an image has, the components of a mixture; 0: one.
type GlobalLocalShape struct{ N, Q, D, K int }

// vectors returns how many global vectors there are, components how many of an
// image.
func (s GlobalLocalShape) vectors() int    { return s.N * s.components() }
func (s GlobalLocalShape) components() int { return max(s.K, 1) }

// An Estimator turns scores into a bound on mutual information, of which the
// loss is the negative.
type Estimator int

const (
	// NCEEstimator is InfoNCE, with the cells of all other images as the
	// negatives of each positive (Bachman et al. 2019, equation 4).
	NCEEstimator Estimator = iota
	// JSDEstimator is the Jensen-Shannon estimator (Hjelm et al. 2019, equation 4).
	JSDEstimator
	// DVEstimator is Donsker and Varadhan's (Hjelm et al. 2019, equation 2).
	DVEstimator
)

// GlobalLocalArgs are the buffers and settings of one such contrast. They are
// read at every run, so that slices may be exchanged for others of the same
// length.
type GlobalLocalArgs struct {
	Global    []float32 // [N,D], or as many rows as GlobalRow names
	GlobalRow []int32   // [N]: the row of Global that is image n's; nil: row n
	// Components are the global vectors of a mixture, [K] times as Global, in
	// place of it.
	Components [][]float32
	Local      []float32 // [N,Q,D]

	Estimator Estimator
	Scale     float32 // a of raw = a·<global,cell>
	Clip      float32 // c of t = c·tanh(raw/c); 0: t = raw
	Penalty   float32 // λ of the penalty λ·mean(raw²) over all pairs
	Sharpness float32 // τ of a mixture
	Entropy   float32 // α of a mixture
	GradScale float32 // the gradient is that of GradScale·(loss + penalty)

	DGlobal     []float32   // as Global: added to
	DComponents [][]float32 // as Components: added to
	DLocal      []float32   // [N,Q,D]: added to
	Result      *GlobalLocalResult
}

// GlobalLocalResult is what a contrast comes to, in nats.
type GlobalLocalResult struct {
	Loss    float64 // the estimator's
	Penalty float64
	NCE     float64 // the loss of NCEEstimator on the same scores, without entropy
	Top1    float64 // share of positives that score above all their negatives
}

// globalLocalBlock bounds the scores held at a time: 1 MiB of them.
const globalLocalBlock = 1 << 18

// GlobalLocal is the plan of the losses of Deep InfoMax and AMDIM. With t_ijl
// the score of the global vector of image i and cell l of image j:
//
//	NCE  mean_il( log(exp t_iil + Σ_{j≠i,m} exp t_ijm) - t_iil )
//	JSD  mean_{i≠j,l}( sp(t_ijl) ) + mean_il( sp(-t_iil) ) - 2·log 2
//	DV   log mean_{i≠j,l}( exp t_ijl ) - mean_il( t_iil )
//
// sp(x) = log(1+exp x). Of an image with K global vectors each has a score
// s_kl = t - log(exp t + Σ exp t_ijm) with each of its cells, as in NCE, and a cell
// its posterior over them, q_k = softmax_k(τ·s_kl); then NCE is (Bachman et al.
// 2019, section 3.5)
//
//	-mean_il( Σ_k q_k·s_kl + α·H(q) ),  H(q) = -Σ_k q_k·log q_k
//
// and the gradient goes through q too; with α·τ = 1, where q is the best there is,
// none comes by that way. The other estimators take one vector. An image's own cells are never its negatives. The N²Q
// scores are never held at once: blocks of whole images are scored, summed per
// pair of images around the pair's maximum, and, now that the denominators are
// known, scored again for the gradients. All sums have an order that the shape
// decides. JSD and DV need two images; with one NCE has loss and gradient 0.
//
// The phases of one plan, bound however often, run one after another.
type GlobalLocal struct {
	shape   GlobalLocalShape
	width   int // global vectors, rounded up to whole SIMD ones: the stride of a cell's scores
	images  int // of a block, but the last
	workers int
	expSum  expSumKernel
	blocks  []globalLocalGemms

	// Per pair of images, [N (of the cells)][width (of the global vectors)].
	top, sum []float32
	// Per global vector and cell of its image, [N,K,Q]: the score, which is a
	// positive, and its gradient before the clip.
	positive, pull []float32
	// Per image: of the cells, and of the global vectors.
	squares, jsd                []float64
	nce, score, better, entropy []float64
	// Per global vector: the greatest of the negatives, their log Σ exp, and the
	// sum over its cells of exp(log Σ exp - Z), weighed, with Z = log(exp t + Σ exp).
	greatest, denominator, inverse []float64
	push                           []float32 // the shift of a negative's exponential in the gradient
	turn                           []float32 // and its sign; 0: there is none
	share                          float64   // what that exponential counts
}

// globalLocalGemms are the products of a block.
type globalLocalGemms struct{ score, local, global *Gemm }

// NewGlobalLocal plans the contrast for at most so many workers.
func NewGlobalLocal(s GlobalLocalShape, workers int) *GlobalLocal {
	if s.N < 1 || s.Q < 1 || s.D < 1 || s.K < 0 || workers < 1 {
		panic(fmt.Sprintf("kernel: global-local: shape %+v, %d workers: want all positive", s, workers))
	}
	vectors := s.vectors()
	width := roundUp(vectors, lanes)
	x := &GlobalLocal{
		shape: s, width: width, workers: workers, expSum: active.expSum,
		images: max(1, min(s.N, globalLocalBlock/(width*s.Q))),
		top:    make([]float32, s.N*width), sum: make([]float32, s.N*width),
		positive: make([]float32, vectors*s.Q), pull: make([]float32, vectors*s.Q),
		squares: make([]float64, s.N), jsd: make([]float64, s.N),
		greatest: make([]float64, vectors), denominator: make([]float64, vectors), inverse: make([]float64, vectors),
		nce: make([]float64, s.N), score: make([]float64, s.N), better: make([]float64, s.N), entropy: make([]float64, s.N),
		push: make([]float32, width), turn: make([]float32, width),
	}
	for first := 0; first < s.N; first += x.images {
		cells := min(x.images, s.N-first) * s.Q
		x.blocks = append(x.blocks, globalLocalGemms{
			score:  NewGemm(GemmShape{M: cells, N: vectors, K: s.D, TransB: true, LDC: width}, workers),
			local:  NewGemm(GemmShape{M: cells, N: s.D, K: vectors, LDA: width}, workers),
			global: NewGemm(GemmShape{M: vectors, N: s.D, K: cells, TransA: true, LDA: width}, workers),
		})
	}
	return x
}

// tileLen is a worker's memory: scores of an image, their exponentials, and the
// rows that expSumKernel takes.
func (x *GlobalLocal) tileLen() int { return (2*x.shape.Q + 5) * x.width }

// gemmLen is the scratch of the products, which run one after another.
func (x *GlobalLocal) gemmLen() int {
	n := 0
	for _, b := range x.blocks {
		n = max(n, b.score.ScratchLen(), b.local.ScratchLen(), b.global.ScratchLen())
	}
	return n
}

// ScratchLen is the length of the scratch of Bind.
func (x *GlobalLocal) ScratchLen() int {
	s := x.shape
	return 2*roundUp(s.vectors()*s.D, lanes) + x.images*s.Q*x.width + x.workers*x.tileLen() + x.gemmLen()
}

// globalLocalRun is a binding.
type globalLocalRun struct {
	*GlobalLocal
	a               *GlobalLocalArgs
	global, dglobal []float32 // [N,K,D]
	scores          []float32 // [images·Q,width]: inner products, then their gradient
	tiles           []float32
}

// Bind returns the phases that compute the outputs of a from its inputs.
func (x *GlobalLocal) Bind(a *GlobalLocalArgs, scratch []float32) []par.Phase {
	s := x.shape
	x.check(a, len(scratch))
	take := func(n int) []float32 {
		part := scratch[:n:n]
		scratch = scratch[n:]
		return part
	}
	r := &globalLocalRun{GlobalLocal: x, a: a}
	r.global, r.dglobal = take(roundUp(s.vectors()*s.D, lanes)), take(roundUp(s.vectors()*s.D, lanes))
	r.scores, r.tiles = take(x.images*s.Q*x.width), take(x.workers*x.tileLen())

	components := s.components()
	phases := []par.Phase{{Tasks: s.N, Run: func(_, n int) {
		for k := range components {
			g := n*components + k
			copy(r.global[g*s.D:(g+1)*s.D], r.component(k)[r.row(n)*s.D:])
		}
	}}}
	score := func(b, cells int) {
		phases = append(phases, x.blocks[b].score.Run(r.scores, a.Local[cells*s.D:], r.global, scratch, false)...)
	}
	for b := range x.blocks {
		first := b * x.images
		score(b, first*s.Q)
		phases = append(phases, par.Phase{Tasks: min(x.images, s.N-first), Run: func(worker, i int) { r.sumUp(worker, i, first+i) }})
	}
	phases = append(phases,
		par.Phase{Tasks: s.N, Run: func(_, n int) { r.join(n) }},
		par.Phase{Tasks: 1, Run: func(_, _ int) { r.finish() }})
	for b, gemms := range x.blocks {
		first := b * x.images
		cells := first * s.Q
		if len(x.blocks) > 1 { // else the scores are still there
			score(b, cells)
		}
		phases = append(phases, par.Phase{Tasks: min(x.images, s.N-first), Run: func(worker, i int) { r.differentiate(worker, i, first+i) }})
		phases = append(phases, gemms.local.Run(a.DLocal[cells*s.D:], r.scores, r.global, scratch, true)...)
		phases = append(phases, gemms.global.Run(r.dglobal, r.scores, a.Local[cells*s.D:], scratch, b > 0)...)
	}
	add := active.vector.add
	return append(phases, par.Phase{Tasks: 1, Run: func(_, _ int) {
		for n := range s.N { // one after the other: images may share a row
			for k := range components {
				to := a.DGlobal
				if a.DComponents != nil {
					to = a.DComponents[k]
				}
				add(to[r.row(n)*s.D:][:s.D], r.dglobal[(n*components+k)*s.D:])
			}
		}
	}})
}

func (x *GlobalLocal) check(a *GlobalLocalArgs, scratch int) {
	s, rows := x.shape, x.shape.N
	for _, r := range a.GlobalRow {
		rows = max(rows, int(r)+1)
	}
	globals, dglobals := a.Components, a.DComponents
	if globals == nil {
		globals, dglobals = [][]float32{a.Global}, [][]float32{a.DGlobal}
	}
	if len(globals) != s.components() || len(dglobals) != s.components() || s.K > 1 && a.Estimator != NCEEstimator {
		panic(fmt.Sprintf("kernel: global-local: %d components and %d gradients under estimator %d, want %d, and InfoNCE for more than one", len(globals), len(dglobals), a.Estimator, s.components()))
	}
	for k := range globals {
		checkLen("global-local", s, "global", len(globals[k]), rows*s.D)
		checkLen("global-local", s, "dglobal", len(dglobals[k]), rows*s.D)
	}
	for _, b := range []struct {
		name      string
		got, want int
	}{
		{"local", len(a.Local), s.N * s.Q * s.D},
		{"dlocal", len(a.DLocal), s.N * s.Q * s.D},
		{"scratch", scratch, x.ScratchLen()},
	} {
		checkLen("global-local", s, b.name, b.got, b.want)
	}
	if a.GlobalRow != nil {
		checkLen("global-local", s, "global rows", len(a.GlobalRow), s.N)
	}
}

// row returns the row of Global that is image n's.
func (r *globalLocalRun) row(n int) int {
	if r.a.GlobalRow == nil {
		return n
	}
	return int(r.a.GlobalRow[n])
}

// component returns the vectors of a component.
func (r *globalLocalRun) component(k int) []float32 {
	if r.a.Components == nil {
		return r.a.Global
	}
	return r.a.Components[k]
}

// tile returns a worker's memory.
func (r *globalLocalRun) tile(worker int) (scores, exps, stats []float32) {
	mem, n := r.tiles[worker*r.tileLen():(worker+1)*r.tileLen()], r.shape.Q*r.width
	return mem[:n], mem[n : 2*n], mem[2*n:]
}

// products returns the inner products of an image of the block.
func (r *globalLocalRun) products(i int) []float32 {
	n := r.shape.Q * r.width
	return r.scores[i*n : (i+1)*n]
}

// load turns inner products into scores and returns the sum of the raw ones'
// squares. exps and stats are overwritten.
func (r *globalLocalRun) load(scores, products, exps, stats []float32) (squares float64) {
	a := r.a
	if a.Clip > 0 {
		copy(exps, products)
		clear(stats)
		r.expSum(exps, stats, r.width, 2*a.Scale/a.Clip)
	}
	for lo := 0; lo < len(scores); lo += r.width {
		row, from := scores[lo:lo+r.width], products[lo:lo+r.shape.vectors()]
		clear(row[len(from):])
		for i, p := range from {
			raw := a.Scale * p
			squares += float64(raw) * float64(raw)
			if a.Clip > 0 {
				raw = a.Clip * tanh(raw/a.Clip, exps[lo+i])
			}
			row[i] = raw
		}
	}
	return squares
}

// tanh is the hyperbolic tangent of y, given exp(2y): by its series near 0,
// where the exponential's rounding would show.
func tanh(y, exp2y float32) float32 {
	if y > 0.25 || y < -0.25 {
		return 1 - 2/(exp2y+1)
	}
	z := y * y
	return y + y*z*(-1./3+z*(2./15+z*(-17./315+z*(62./2835))))
}

// sumUp reads the scores of image j, number i of its block.
func (r *globalLocalRun) sumUp(worker, i, j int) {
	scores, exps, stats := r.tile(worker)
	s, w := r.shape, r.width
	r.squares[j] = r.load(scores, r.products(i), exps, stats)
	top := r.top[j*w : (j+1)*w]
	copy(top, scores)
	for lo := w; lo < len(scores); lo += w {
		for n, t := range scores[lo : lo+w] {
			top[n] = max(top[n], t)
		}
	}
	components := s.components()
	for g := j * components; g < (j+1)*components; g++ {
		for l := range s.Q {
			r.positive[g*s.Q+l] = scores[l*w+g]
		}
	}
	if r.a.Estimator == JSDEstimator {
		r.decays(exps, scores, stats)
		r.jsd[j] = softplusSum(scores, exps, w, s.N, j)
	}
	clear(stats)
	copy(stats[w:2*w], top)
	r.expSum(scores, stats, w, 1)
	copy(r.sum[j*w:(j+1)*w], stats[2*w:])
}

// decays sets exps to exp(-|t|) of the scores.
func (r *globalLocalRun) decays(exps, scores, stats []float32) {
	for k, t := range scores {
		exps[k] = -float32(math.Abs(float64(t)))
	}
	clear(stats)
	r.expSum(exps, stats, r.width, 1)
}

// softplusSum is Σ log(1+exp t) over the first n scores of each row of width,
// but number own, given exp(-|t|). One logarithm serves a row of factors, which
// lie in [1,2], up to what float64 holds.
func softplusSum(scores, decays []float32, width, n, own int) float64 {
	const most = 512
	sum, product, factors := 0.0, 1.0, 0
	for lo := 0; lo < len(scores); lo += width {
		for i, t := range scores[lo : lo+n] {
			if i == own {
				continue
			}
			sum += float64(max(t, 0))
			product *= 1 + float64(decays[lo+i])
			if factors++; factors == most {
				sum += math.Log(product)
				product, factors = 1, 0
			}
		}
	}
	return sum + math.Log(product)
}

// softplus is log(1+exp(x)); its derivative is sigmoid.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// join adds up what concerns the global vectors of image n.
func (r *globalLocalRun) join(n int) {
	s, components := r.shape, r.shape.components()
	for g := n * components; g < (n+1)*components; g++ {
		r.denominate(n, g)
	}
	r.nce[n], r.score[n], r.better[n], r.entropy[n] = 0, 0, 0, 0
	for l := range s.Q {
		r.weigh(n, l)
	}
	for g := n * components; g < (n+1)*components; g++ {
		// exp(t-negatives)·inverse is a negative's gradient in all rows of g. It may
		// be negative with several components.
		inverse := r.inverse[g]
		r.push[g], r.turn[g] = float32(r.denominator[g]-math.Log(math.Abs(inverse))), 1
		if inverse < 0 {
			r.turn[g] = -1
		}
		if s.N == 1 || inverse == 0 {
			r.push[g], r.turn[g] = 0, 0
		}
	}
}

// denominate sums up the negatives of global vector g of image n.
func (r *globalLocalRun) denominate(n, g int) {
	top, sum := math.Inf(-1), 0.0
	for j := range r.shape.N {
		if j != n {
			top = max(top, float64(r.top[j*r.width+g]))
		}
	}
	for j := range r.shape.N {
		if j != n {
			sum += float64(r.sum[j*r.width+g]) * math.Exp(float64(r.top[j*r.width+g])-top)
		}
	}
	r.greatest[g], r.denominator[g], r.inverse[g] = top, math.Inf(-1), 0
	if r.shape.N > 1 {
		r.denominator[g] = top + math.Log(sum)
	}
}

// weigh finds how far each global vector of image n accounts for its cell l, and
// with it the gradients of the positives.
func (r *globalLocalRun) weigh(n, l int) {
	s, components := r.shape, r.shape.components()
	first, sharpness, alpha := n*components, float64(r.a.Sharpness), float64(r.a.Entropy)
	// s = -softplus(negatives - t): log q = τ·s - normaliser.
	score := func(g int) (t, s float64) {
		t = float64(r.positive[g*r.shape.Q+l])
		return t, -softplus(r.denominator[g] - t)
	}
	normaliser := 0.0
	if components > 1 {
		top, sum := math.Inf(-1), 0.0
		for g := first; g < first+components; g++ {
			_, v := score(g)
			top = max(top, sharpness*v)
		}
		for g := first; g < first+components; g++ {
			_, v := score(g)
			sum += math.Exp(sharpness*v - top)
		}
		normaliser = top + math.Log(sum)
	}
	// of returns a vector's share q, its score, and what q is worth to the
	// objective: s - α·log q.
	of := func(g int) (q, t, v, worth float64) {
		t, v = score(g)
		if components == 1 {
			return 1, t, v, v
		}
		log := sharpness*v - normaliser
		return math.Exp(log), t, v, v - alpha*log
	}
	mean := 0.0
	for g := first; g < first+components; g++ {
		q, t, v, worth := of(g)
		mean += q * worth
		r.nce[n] -= q * v
		r.entropy[n] += q * (worth - v)
		r.score[n] += q * t
		if t > r.greatest[g] {
			r.better[n] += q
		}
	}
	for g := first; g < first+components; g++ {
		q, t, _, worth := of(g)
		lost := sigmoid(r.denominator[g] - t) // the softmax' share of the negatives
		lost *= q * (1 + sharpness*(worth-mean))
		r.inverse[g] += lost
		r.pull[g*s.Q+l] = float32(-lost)
	}
}

// finish turns the images' sums into the result and sets what exponentials
// count in the gradient.
func (r *globalLocalRun) finish() {
	s, out := r.shape, r.a.Result
	cells, pairs := float64(s.N*s.Q), float64(s.N*(s.N-1)*s.Q)
	var nce, score, better, entropy, squares, jsd float64
	top := math.Inf(-1)
	for n := range s.N {
		nce, score, better = nce+r.nce[n], score+r.score[n], better+r.better[n]
		entropy, squares, jsd = entropy+r.entropy[n], squares+r.squares[n], jsd+r.jsd[n]
	}
	for _, d := range r.denominator {
		top = max(top, d)
	}
	*out = GlobalLocalResult{
		NCE: nce / cells, Top1: better / cells,
		Penalty: float64(r.a.Penalty) * squares / (cells * float64(s.vectors())),
	}
	r.share = 1 / cells
	switch r.a.Estimator {
	case NCEEstimator:
		out.Loss = out.NCE - entropy/cells
	case JSDEstimator:
		var positives float64
		for i, t := range r.positive {
			positives += softplus(-float64(t))
			r.pull[i] = float32(-sigmoid(-float64(t)))
		}
		out.Loss = jsd/pairs + positives/cells - 2*math.Ln2
		r.share = 1 / pairs
	case DVEstimator:
		var sum float64
		for _, d := range r.denominator {
			sum += math.Exp(d - top)
		}
		all := top + math.Log(sum)
		out.Loss = all - math.Log(pairs) - score/cells
		r.share = 1
		for n := range s.N {
			r.push[n] = float32(all)
		}
		for i := range r.pull {
			r.pull[i] = -1
		}
	}
}

// differentiate turns the inner products of image j, number i of its block,
// into their gradient.
func (r *globalLocalRun) differentiate(worker, i, j int) {
	scores, exps, stats := r.tile(worker)
	s, w, a := r.shape, r.width, r.a
	products := r.products(i)
	r.load(scores, products, exps, stats)
	if a.Estimator == JSDEstimator {
		r.decays(exps, scores, stats)
		for k, t := range scores {
			e := exps[k]
			if exps[k] = 1 / (1 + e); t < 0 {
				exps[k] = e / (1 + e)
			}
		}
	} else {
		copy(exps, scores)
		clear(stats)
		copy(stats[w:2*w], r.push)
		r.expSum(exps, stats, w, 1)
	}
	cells := float64(s.N * s.Q)
	push, pull := float32(r.share), float32(1/cells)
	penalty := 2 * a.Penalty * a.Scale / float32(cells*float64(s.vectors()))
	vectors, mixed := s.vectors(), s.K > 1
	first, last := j*s.components(), (j+1)*s.components()
	bend := float32(0)
	if a.Clip > 0 {
		bend = 1 / (a.Clip * a.Clip)
	}
	for l := range s.Q {
		row, t, e := products[l*w:(l+1)*w], scores[l*w:(l+1)*w], exps[l*w:(l+1)*w]
		for n, p := range row[:vectors] {
			g := push * e[n]
			if mixed {
				g *= r.turn[n]
			}
			if n >= first && n < last {
				g = pull * r.pull[n*s.Q+l]
			}
			row[n] = a.GradScale * a.Scale * (g*(1-bend*t[n]*t[n]) + penalty*p)
		}
		clear(row[vectors:])
	}
}
