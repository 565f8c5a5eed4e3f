package probe

import (
	"fmt"
	"math"
	"slices"

	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
	"clpipe/internal/rng"
)

// MLPConfig are the settings of the MLP probe.
type MLPConfig struct {
	Seed    uint64 // draws initial weights, order and dropout
	Workers int

	Hidden  int     // units; default 200
	Dropout float64 // share of hidden units left out in a training step; default 0.1, below 0: none
	Batch   int     // rows per step; default 256, at most the training rows
	Steps   int     // default: 30 epochs, at least 300 steps
	LR      float64 // of Adam at the start of a cosine; default 1e-3
}

func (c MLPConfig) withDefaults(rows int) MLPConfig {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.Hidden, 200)
	set(&c.Batch, 256)
	c.Batch = min(c.Batch, rows)
	set(&c.Steps, max(300, 30*(rows/max(c.Batch, 1))))
	if c.Dropout == 0 {
		c.Dropout = 0.1
	}
	if c.LR == 0 {
		c.LR = 1e-3
	}
	return c
}

// MLP trains one hidden layer of ReLU units with dropout on standardised
// features, the classifier by which Deep InfoMax is judged (Hjelm et al. 2019,
// section 4.2: 200 units, dropout 0.1), by Adam, and tests it. It finds what a
// linear probe cannot; the two are not to be compared with each other. Errors
// are those of Linear.
func MLP(train, test *Features, cfg MLPConfig) (Score, error) {
	if err := checkSets("mlp", train, test); err != nil {
		return Score{}, err
	}
	cfg = cfg.withDefaults(train.N())
	train, test, classes := indexed(train, test)
	pool := par.NewPool(cfg.Workers)
	defer pool.Close()
	mean, scale := moments(train)
	m := newPerceptron(pool, train.D, classes, cfg)
	m.train(standardised(train, mean, scale))
	return judge(m.predict(standardised(test, mean, scale)), test.Labels), nil
}

// perceptron is logits = dropout(relu(x W1 + b1)) W2 + b2 with its gradients, all
// arrays for a batch of rows.
type perceptron struct {
	pool       *par.Pool
	cfg        MLPConfig
	d, classes int

	slab, grad, first, second []float32 // parameters one after the other, Adam's moments
	w1, b1, w2, b2            []float32 // [D,H] [H] [H,classes] [classes], in slab
	dw1, db1, dw2, db2        []float32

	x, hidden, logits []float32 // [B,D] [B,H] [B,classes]; hidden and logits turn into their gradients
	keep              []float32 // [B,H]: 0 or 1/(1-dropout), by which hidden units are multiplied
	dhidden           []float32
	labels            []int
	losses            []float64

	toHidden, toLogits, toW2, toHiddenGrad, toW1, adam []par.Phase
	args                                               kernel.AdamArgs
}

// Parts of the names of an MLP's draws.
const (
	mlpOrder   = iota + 1 // of the rows: epoch
	mlpDropout            // step, row
)

func newPerceptron(pool *par.Pool, d, classes int, cfg MLPConfig) *perceptron {
	m := &perceptron{pool: pool, cfg: cfg, d: d, classes: classes}
	b, h := cfg.Batch, cfg.Hidden
	sizes := []int{d * h, h, h * classes, classes}
	total := sizes[0] + sizes[1] + sizes[2] + sizes[3]
	m.slab, m.grad, m.first, m.second = kernel.Alloc(total), kernel.Alloc(total), kernel.Alloc(total), kernel.Alloc(total)
	cut := func(slab []float32, to ...*[]float32) {
		for i, t := range to {
			*t, slab = slab[:sizes[i]:sizes[i]], slab[sizes[i]:]
		}
	}
	cut(m.slab, &m.w1, &m.b1, &m.w2, &m.b2)
	cut(m.grad, &m.dw1, &m.db1, &m.dw2, &m.db2)
	// As PyTorch's Linear: U(±1/sqrt(inputs)).
	for i, layer := range [][]float32{m.w1, m.b1, m.w2, m.b2} {
		bound := 1 / math.Sqrt(float64([]int{d, d, h, h}[i]))
		draw := rng.New(cfg.Seed, rng.Weights, rng.HashID("probe.mlp"), uint64(i))
		for j := range layer {
			layer[j] = float32(draw.Uniform(-bound, bound))
		}
	}
	m.x, m.hidden, m.dhidden, m.keep, m.logits = kernel.Alloc(b*d), kernel.Alloc(b*h), kernel.Alloc(b*h), kernel.Alloc(b*h), kernel.Alloc(b*classes)
	m.labels, m.losses = make([]int, b), make([]float64, b)

	var scratch []float32
	products := []struct {
		shape   kernel.GemmShape
		c, a, b []float32
		to      *[]par.Phase
	}{
		{kernel.GemmShape{M: b, N: h, K: d}, m.hidden, m.x, m.w1, &m.toHidden},
		{kernel.GemmShape{M: b, N: classes, K: h}, m.logits, m.hidden, m.w2, &m.toLogits},
		{kernel.GemmShape{M: h, N: classes, K: b, TransA: true}, m.dw2, m.hidden, m.logits, &m.toW2},
		{kernel.GemmShape{M: b, N: h, K: classes, TransB: true}, m.dhidden, m.logits, m.w2, &m.toHiddenGrad},
		{kernel.GemmShape{M: d, N: h, K: b, TransA: true}, m.dw1, m.x, m.dhidden, &m.toW1},
	}
	plans := make([]*kernel.Gemm, len(products))
	need := 0
	for i, p := range products {
		plans[i] = kernel.NewGemm(p.shape, pool.Workers())
		need = max(need, plans[i].ScratchLen())
	}
	scratch = kernel.Alloc(need)
	for i, p := range products {
		*p.to = plans[i].Run(p.c, p.a, p.b, scratch, false)
	}
	m.args = kernel.AdamArgs{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
	m.adam = kernel.Adam(m.slab, m.grad, m.first, m.second, &m.args)
	return m
}

func (m *perceptron) run(phases []par.Phase) {
	for _, ph := range phases {
		m.pool.Run(ph)
	}
}

// train runs the steps, rows in a new order every epoch and the tail smaller
// than a batch left out. It returns the loss of each step.
func (m *perceptron) train(x *Features) []float64 {
	order := make([]int, x.N())
	perEpoch := x.N() / m.cfg.Batch
	schedule := encoder.Schedule{Kind: encoder.Cosine, Base: m.cfg.LR, Steps: m.cfg.Steps}
	losses := make([]float64, m.cfg.Steps)
	for step := range m.cfg.Steps {
		if step%perEpoch == 0 {
			draw := rng.New(m.cfg.Seed, rng.Probe, mlpOrder, uint64(step/perEpoch))
			draw.Perm(order)
		}
		m.load(x, order[step%perEpoch*m.cfg.Batch:][:m.cfg.Batch])
		losses[step] = m.step(step, schedule.LR(step, 0))
	}
	return losses
}

// load copies rows into the batch.
func (m *perceptron) load(x *Features, rows []int) {
	for i, row := range rows {
		copy(m.x[i*m.d:(i+1)*m.d], x.Data[row*m.d:(row+1)*m.d])
		m.labels[i] = x.Labels[row]
	}
}

// step trains on the batch loaded and returns its mean loss.
func (m *perceptron) step(step int, lr float64) float64 {
	b, h := m.cfg.Batch, m.cfg.Hidden
	m.drop(step)
	m.forward(true)
	m.pool.Run(par.Phase{Tasks: b, Run: func(_, i int) {
		row := m.logits[i*m.classes : (i+1)*m.classes]
		m.losses[i] = softmax(row, m.labels[i])
		for c := range row {
			row[c] /= float32(b)
		}
	}})
	loss := 0.0
	for _, l := range m.losses {
		loss += l
	}
	m.run(m.toW2)
	addRows(m.db2, m.logits)
	m.run(m.toHiddenGrad)
	m.pool.Run(par.Phase{Tasks: b, Run: func(_, i int) {
		for j := i * h; j < (i+1)*h; j++ {
			if m.hidden[j] > 0 { // a unit left out is 0 as well
				m.dhidden[j] *= m.keep[j]
			} else {
				m.dhidden[j] = 0
			}
		}
	}})
	m.run(m.toW1)
	addRows(m.db1, m.dhidden)
	m.args.LR, m.args.Step = lr, step+1
	m.run(m.adam)
	return loss / float64(b)
}

// drop draws the hidden units that a step leaves out, each row for itself.
func (m *perceptron) drop(step int) {
	h := m.cfg.Hidden
	if m.cfg.Dropout < 0 {
		for i := range m.keep {
			m.keep[i] = 1
		}
		return
	}
	scale := float32(1 / (1 - m.cfg.Dropout))
	m.pool.Run(par.Phase{Tasks: m.cfg.Batch, Run: func(_, i int) {
		draw := rng.New(m.cfg.Seed, rng.Probe, mlpDropout, uint64(step), uint64(i))
		for j := i * h; j < (i+1)*h; j++ {
			m.keep[j] = 0
			if draw.Float64() >= m.cfg.Dropout {
				m.keep[j] = scale
			}
		}
	}})
}

// forward computes the logits of the batch, with dropout or without.
func (m *perceptron) forward(dropout bool) {
	h := m.cfg.Hidden
	m.run(m.toHidden)
	m.pool.Run(par.Phase{Tasks: m.cfg.Batch, Run: func(_, i int) {
		row := m.hidden[i*h : (i+1)*h]
		for j, b := range m.b1 {
			v := max(row[j]+b, 0)
			if dropout {
				v *= m.keep[i*h+j]
			}
			row[j] = v
		}
	}})
	m.run(m.toLogits)
	for i := range m.cfg.Batch {
		for c, b := range m.b2 {
			m.logits[i*m.classes+c] += b
		}
	}
}

// predict returns the class of each row, a batch at a time; what the last one lacks
// is filled by earlier rows.
func (m *perceptron) predict(x *Features) []int {
	var predicted []int
	rows := make([]int, m.cfg.Batch)
	for from := 0; from < x.N(); from += m.cfg.Batch {
		for i := range rows {
			rows[i] = min(from+i, x.N()-1)
		}
		m.load(x, rows)
		m.forward(false)
		for i := range min(m.cfg.Batch, x.N()-from) {
			row := m.logits[i*m.classes : (i+1)*m.classes]
			predicted = append(predicted, slices.Index(row, slices.Max(row)))
		}
	}
	return predicted
}

// softmax returns the cross-entropy of a row of logits and turns it into its
// gradient.
func softmax(row []float32, label int) float64 {
	top := float64(slices.Max(row))
	sum := 0.0
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	loss := top + math.Log(sum) - float64(row[label])
	for c, v := range row {
		row[c] = float32(math.Exp(float64(v)-top) / sum)
	}
	row[label]--
	return loss
}

// addRows sets sum to that of the rows of x.
func addRows(sum, x []float32) {
	clear(sum)
	for row := range slices.Chunk(x, len(sum)) {
		for j, v := range row {
			sum[j] += v
		}
	}
}

// checkSets returns what is wrong with the rows given to a probe that trains.
func checkSets(name string, train, test *Features) error {
	if train.N() == 0 || test.N() == 0 {
		return fmt.Errorf("probe: %s: %d training and %d test rows, want some of both", name, train.N(), test.N())
	}
	if slices.Min(train.Labels) == slices.Max(train.Labels) {
		return fmt.Errorf("probe: %s: the labels of all %d training rows are %d, want at least two classes", name, train.N(), train.Labels[0])
	}
	if train.D != test.D {
		return fmt.Errorf("probe: %s: train features have %d dimensions, test features %d", name, train.D, test.D)
	}
	return nil
}
