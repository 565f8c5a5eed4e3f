package probe

import (
	"fmt"
	"math"
	"slices"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"

	"gonum.org/v1/gonum/optimize"
)

// LinearConfig are the settings of the linear probe.
type LinearConfig struct {
	Seed    uint64 // draws the held-out rows
	Workers int
	// L2 is the penalty λ/2·|W|² on the weights. 0 chooses it among 1e-5 … 1 by
	// rows held out, then trains on all: by the accuracy on a tenth of them, or, of
	// fewer than 1,000, by the cross-entropy of all rows in turn, a fifth at a time.
	L2 float64
}

// l2Grid are the penalties tried, strongest first: each starts from the
// solution of the one before, and of equals the strongest is taken.
var l2Grid = []float64{1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5}

// Linear trains a multinomial logistic regression on standardised features
// (each to mean 0 and deviation 1 over the training rows, as a BatchNorm without
// affine does; 0 where the training rows are all alike) by L-BFGS, and tests it. It
// returns the penalty it used. Training rows of fewer than two classes, and no test
// rows, are errors.
func Linear(train, test *Features, cfg LinearConfig) (Score, float64, error) {
	if err := checkSets("linear", train, test); err != nil {
		return Score{}, 0, err
	}
	train, test, classes := indexed(train, test)
	pool := par.NewPool(cfg.Workers)
	defer pool.Close()
	mean, scale := moments(train)
	trainX, testX := standardised(train, mean, scale), standardised(test, mean, scale)
	l2 := cfg.L2
	if l2 == 0 {
		var err error
		if l2, err = choosePenalty(pool, trainX, classes, cfg.Seed); err != nil {
			return Score{}, 0, err
		}
	}
	w, err := regress(pool, trainX, classes, l2, make([]float64, (train.D+1)*classes))
	if err != nil {
		return Score{}, 0, err
	}
	predicted, _ := predict(pool, testX, classes, w)
	return judge(predicted, test.Labels), l2, nil
}

// fewRows is the number of training rows below which a tenth of them is too few to
// tell penalties apart by the rows that each gets right.
const fewRows = 1000

// choosePenalty returns the penalty of l2Grid that does best on rows held out.
func choosePenalty(pool *par.Pool, x *Features, classes int, seed uint64) (float64, error) {
	few := x.N() < fewRows
	parts, tried := 10, 1
	if few {
		parts, tried = 5, 5
	}
	part := partition(x.Labels, classes, parts, seed)
	correct, loss := make([]int, len(l2Grid)), make([]float64, len(l2Grid))
	for p := range tried {
		fit, held := split(x, part, p)
		if held.N() == 0 {
			continue
		}
		w := make([]float64, (x.D+1)*classes)
		for i, l2 := range l2Grid {
			var err error
			if w, err = regress(pool, fit, classes, l2, w); err != nil {
				return 0, err
			}
			predicted, sum := predict(pool, held, classes, w)
			for row, label := range held.Labels {
				if predicted[row] == label {
					correct[i]++
				}
			}
			loss[i] += sum
		}
	}
	best := 0
	for i := range l2Grid {
		equal := few || correct[i] == correct[best]
		if !few && correct[i] > correct[best] || equal && loss[i] < loss[best] {
			best = i
		}
	}
	return l2Grid[best], nil
}

// moments returns each dimension's mean and the inverse of its deviation, 0 where
// all rows are alike: a test row that differs there would come out hundreds of
// deviations away.
func moments(f *Features) (mean, scale []float64) {
	mean, scale = make([]float64, f.D), make([]float64, f.D)
	for i, v := range f.Data {
		mean[i%f.D] += float64(v)
	}
	for j := range mean {
		mean[j] /= float64(f.N())
	}
	for i, v := range f.Data {
		scale[i%f.D] += (float64(v) - mean[i%f.D]) * (float64(v) - mean[i%f.D])
	}
	for j, s := range scale {
		variance := s / float64(f.N())
		if variance <= constantShare*(mean[j]*mean[j]+variance) {
			scale[j] = 0
			continue
		}
		scale[j] = 1 / math.Sqrt(variance+1e-5)
	}
	return mean, scale
}

// constantShare is the part of a dimension's mean square up to which its variance
// is rounding: the training rows say nothing of how far it varies.
const constantShare = 1e-8

func standardised(f *Features, mean, scale []float64) *Features {
	out := &Features{Data: kernel.Alloc(len(f.Data)), Labels: f.Labels, D: f.D}
	for i, v := range f.Data {
		out.Data[i] = float32((float64(v) - mean[i%f.D]) * scale[i%f.D])
	}
	return out
}

// partition deals the rows of each class, in an order drawn by the seed, out over so
// many parts, and returns the part of each row. A class's only row is in none, -1:
// without it nothing is known of the class.
func partition(labels []int, classes, parts int, seed uint64) []int {
	perm := make([]int, len(labels))
	draw := rng.New(seed, rng.Probe)
	draw.Perm(perm)
	slices.SortStableFunc(perm, func(a, b int) int { return labels[a] - labels[b] })
	rows := make([]int, classes)
	for _, label := range labels {
		rows[label]++
	}
	part, dealt := make([]int, len(labels)), 0
	for _, row := range perm {
		if rows[labels[row]] == 1 {
			part[row] = -1
			continue
		}
		part[row] = dealt % parts
		dealt++
	}
	return part
}

// split holds the rows of a part out.
func split(f *Features, part []int, out int) (fit, held *Features) {
	fit, held = &Features{D: f.D}, &Features{D: f.D}
	for row, label := range f.Labels {
		to := fit
		if part[row] == out {
			to = held
		}
		to.Labels = append(to.Labels, label)
		to.Data = append(to.Data, f.Data[row*f.D:(row+1)*f.D]...)
	}
	return fit, held
}

// regression evaluates the penalised cross-entropy of weights [D+1,classes], the
// last row the bias, and its gradient.
type regression struct {
	pool    *par.Pool
	x       *Features
	classes int
	l2      float64

	weights []float32 // [D,classes]
	logits  []float32 // [N,classes]; then the gradient with respect to them
	grad    []float32 // [D,classes]
	losses  []float64 // of the row blocks
	forward []par.Phase
	reverse []par.Phase
	bias    []float64
}

func newRegression(pool *par.Pool, x *Features, classes int, l2 float64) *regression {
	r := &regression{pool: pool, x: x, classes: classes, l2: l2,
		weights: kernel.Alloc(x.D * classes), logits: kernel.Alloc(x.N() * classes), grad: kernel.Alloc(x.D * classes),
		losses: make([]float64, blocks(x.N())), bias: make([]float64, classes)}
	f := kernel.NewGemm(kernel.GemmShape{M: x.N(), N: classes, K: x.D}, pool.Workers())
	b := kernel.NewGemm(kernel.GemmShape{M: x.D, N: classes, K: x.N(), TransA: true}, pool.Workers())
	scratch := kernel.Alloc(max(f.ScratchLen(), b.ScratchLen()))
	r.forward = f.Run(r.logits, x.Data, r.weights, scratch, false)
	r.reverse = b.Run(r.grad, x.Data, r.logits, scratch, false)
	return r
}

// rowBlock is how many rows a task takes; sums go by blocks, in order.
const rowBlock = 512

func blocks(n int) int { return (n + rowBlock - 1) / rowBlock }

func (r *regression) run(phases []par.Phase) {
	for _, ph := range phases {
		r.pool.Run(ph)
	}
}

// load takes over the weights an optimiser proposes and computes the logits.
func (r *regression) load(w []float64) {
	for i := range r.weights {
		r.weights[i] = float32(w[i])
	}
	copy(r.bias, w[len(r.weights):])
	r.run(r.forward)
}

// value returns the objective at w and, if grad is not nil, its gradient.
func (r *regression) value(grad, w []float64) float64 {
	r.load(w)
	n := float64(r.x.N())
	r.pool.Run(par.Phase{Tasks: len(r.losses), Run: func(_, block int) {
		sum := 0.0
		for i := block * rowBlock; i < min((block+1)*rowBlock, r.x.N()); i++ {
			sum += r.softmax(r.logits[i*r.classes:(i+1)*r.classes], r.x.Labels[i])
		}
		r.losses[block] = sum
	}})
	loss := 0.0
	for _, l := range r.losses {
		loss += l
	}
	loss /= n
	for _, v := range w[:len(r.weights)] {
		loss += r.l2 / 2 * v * v
	}
	if grad == nil {
		return loss
	}
	r.run(r.reverse)
	for i, g := range r.grad {
		grad[i] = float64(g)/n + r.l2*w[i]
	}
	bias := grad[len(r.grad):]
	clear(bias)
	for i, g := range r.logits {
		bias[i%r.classes] += float64(g) / n
	}
	return loss
}

// softmax returns the cross-entropy of a row and turns its logits into their
// gradient.
func (r *regression) softmax(row []float32, label int) float64 {
	top := math.Inf(-1)
	for c, v := range row {
		top = max(top, float64(v)+r.bias[c])
	}
	sum := 0.0
	for c, v := range row {
		sum += math.Exp(float64(v) + r.bias[c] - top)
	}
	loss := top + math.Log(sum) - float64(row[label]) - r.bias[label]
	for c, v := range row {
		row[c] = float32(math.Exp(float64(v)+r.bias[c]-top) / sum)
	}
	row[label]--
	return loss
}

// regress minimises the objective from start.
func regress(pool *par.Pool, x *Features, classes int, l2 float64, start []float64) ([]float64, error) {
	r := newRegression(pool, x, classes, l2)
	problem := optimize.Problem{
		Func: func(w []float64) float64 { return r.value(nil, w) },
		Grad: func(grad, w []float64) { r.value(grad, w) },
	}
	// A weight is off by its gradient over the penalty, which may be 1e-5; a
	// gradient below 1e-6 is rounding of float32 features.
	settings := &optimize.Settings{GradientThreshold: 1e-6, MajorIterations: 200, Converger: &optimize.FunctionConverge{Relative: 1e-6, Iterations: 5}}
	result, err := optimize.Minimize(problem, start, settings, &optimize.LBFGS{})
	if result == nil || len(result.X) != len(start) {
		return nil, fmt.Errorf("probe: linear: %w", err)
	}
	// A line search that finds no further descent has arrived as far as float32
	// goes: the result stands.
	return result.X, nil
}

// predict returns the class of each row under the weights, and the sum of the rows'
// cross-entropies.
func predict(pool *par.Pool, x *Features, classes int, w []float64) (predicted []int, loss float64) {
	r := newRegression(pool, x, classes, 0)
	r.load(w)
	predicted = make([]int, x.N())
	for i, label := range x.Labels {
		row := r.logits[i*classes : (i+1)*classes]
		best := math.Inf(-1)
		for c, v := range row {
			if s := float64(v) + r.bias[c]; s > best {
				best, predicted[i] = s, c
			}
		}
		loss += r.softmax(row, label)
	}
	return predicted, loss
}
