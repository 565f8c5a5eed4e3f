package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// LARSForm is a form of layer-wise adaptive rate scaling (You et al. 2017,
// arXiv 1708.03888). The published ones differ in where the learning rate and
// the weight decay stand; below, η is the trust coefficient and μ the momentum.
type LARSForm int

const (
	// LARSMoCoV3 is MoCo v3's: the rate multiplies after the momentum.
	//
	//	d = g + wd·p   buf = μ·buf + η|p|/|d|·d   p -= lr·buf
	LARSMoCoV3 LARSForm = iota
	// LARSSimCLR is that of SimCLR's TensorFlow code: the rate is part of what
	// the momentum remembers.
	//
	//	d = g + wd·p   buf = μ·buf + lr·η|p|/|d|·d   p -= buf
	LARSSimCLR
	// LARSSoloLearn is solo-learn's: the norms are those of p and g.
	//
	//	d = η|p|/(|g| + wd·|p| + 1e-8)·(g + wd·p)   buf = μ·buf + d   p -= lr·buf
	LARSSoloLearn
)

// larsEps is solo-learn's guard of the division.
const larsEps = 1e-8

// LARSArgs are the settings of a step of LARS, read at every run.
type LARSArgs struct {
	Form        LARSForm
	LR          float64
	Momentum    float64 // μ, of the optimiser
	WeightDecay float64
	Trust       float64 // η
	// ClipLR bounds the rate of a tensor by LR: trust = min(trust/LR, 1), an
	// option of solo-learn's form.
	ClipLR bool
	First  bool // the first step: the momentum buffer starts as what is added to it
}

// A LARSTensor is the range [From,From+Len) of the parameters. One that is not
// Adapted (biases, normalisations) moves by its plain gradient: trust 1, no
// weight decay.
type LARSTensor struct {
	From, Len int
	Adapted   bool
}

// LARS steps the tensors of the parameters p by their gradients g with the
// momentum buffer buf, all of one length, in a form of LARS. What lies between
// the tensors stays as it is. Where a norm is 0 the trust ratio is 1, and in
// solo-learn's form there is then no weight decay either.
//
// Norms are summed in float64 over fixed blocks of a tensor.
func LARS(p, g, buf []float32, tensors []LARSTensor, a *LARSArgs) []par.Phase {
	n := len(p)
	checkLen("lars", n, "g", len(g), n)
	checkLen("lars", n, "buf", len(buf), n)
	l := &lars{args: a, tensors: make([]larsTensor, len(tensors))}
	for i, t := range tensors {
		if t.From < 0 || t.Len < 0 || t.From+t.Len > n {
			panic(fmt.Sprintf("kernel: lars: tensor %d: got elements %d to %d, want them in %d", i, t.From, t.From+t.Len, n))
		}
		l.tensors[i] = larsTensor{adapted: t.Adapted, first: len(l.blocks)}
		for b := range vectorChunks(t.Len) {
			lo, hi := vectorSpan(b, t.Len)
			l.blocks = append(l.blocks, larsBlock{tensor: i, lo: t.From + lo, hi: t.From + hi})
		}
	}
	sgd := active.vector.sgd
	return []par.Phase{
		{Tasks: len(l.blocks), Run: func(_, t int) {
			b := &l.blocks[t]
			if l.tensors[b.tensor].adapted {
				b.pp, b.dd = squaredNorms(p[b.lo:b.hi], g[b.lo:b.hi], a.decayInNorm())
			}
		}},
		{Tasks: len(l.tensors), Run: func(_, t int) { l.join(t) }},
		{Tasks: len(l.blocks), Run: func(_, t int) {
			b := l.blocks[t]
			keep, rate := float32(a.Momentum), float32(a.LR)
			if a.First {
				keep = 0
				clear(buf[b.lo:b.hi]) // 0·NaN would survive the product
			}
			if a.Form == LARSSimCLR {
				rate = 1
			}
			to := l.tensors[b.tensor]
			sgd(p[b.lo:b.hi], g[b.lo:b.hi], buf[b.lo:b.hi], to.decay, keep, to.take, rate, 0, 1)
		}},
	}
}

// lars is a bound LARS: the blocks of all tensors, tensor after tensor.
type lars struct {
	args    *LARSArgs
	tensors []larsTensor
	blocks  []larsBlock
}

// larsTensor holds the step's factors of a tensor: buf = keep·buf + take·(g + decay·p).
type larsTensor struct {
	adapted     bool
	first       int // its first block
	decay, take float32
}

// larsBlock is a range of a tensor with the squares of its norms.
type larsBlock struct {
	tensor, lo, hi int
	pp, dd         float64
}

// decayInNorm is the weight decay inside the norm that p's is divided by.
func (a *LARSArgs) decayInNorm() float64 {
	if a.Form == LARSSoloLearn {
		return 0
	}
	return a.WeightDecay
}

// join adds up the norms of a tensor's blocks and sets its factors.
func (l *lars) join(tensor int) {
	t, a := &l.tensors[tensor], l.args
	trust, decay := 1.0, 0.0
	if t.adapted {
		var pp, dd float64
		for _, b := range l.blocks[t.first:] {
			if b.tensor != tensor {
				break
			}
			pp += b.pp
			dd += b.dd
		}
		trust, decay = a.ratio(math.Sqrt(pp), math.Sqrt(dd))
	}
	if a.Form == LARSSimCLR {
		trust *= a.LR
	}
	t.take, t.decay = float32(trust), float32(decay)
}

// ratio returns the trust ratio and the weight decay of a tensor with norms
// |p| and |d|.
func (a *LARSArgs) ratio(p, d float64) (trust, decay float64) {
	switch {
	case a.Form == LARSSoloLearn && (p == 0 || d == 0):
		return 1, 0
	case p == 0 || d == 0:
		return 1, a.WeightDecay
	case a.Form == LARSSoloLearn:
		trust = a.Trust * p / (d + a.WeightDecay*p + larsEps)
		if a.ClipLR {
			trust = min(trust/a.LR, 1)
		}
		return trust, a.WeightDecay
	}
	return a.Trust * p / d, a.WeightDecay
}

// squaredNorms returns Σp² and Σd² for d = g + decay·p. Two sums of each run
// side by side, so that an addition need not wait for the one before.
func squaredNorms(p, g []float32, decay float64) (pp, dd float64) {
	g = g[:len(p)]
	var pp1, dd1 float64
	i := 0
	for ; i+1 < len(p); i += 2 {
		w, w1 := float64(p[i]), float64(p[i+1])
		d, d1 := float64(g[i])+decay*w, float64(g[i+1])+decay*w1
		pp += w * w
		pp1 += w1 * w1
		dd += d * d
		dd1 += d1 * d1
	}
	if i < len(p) {
		w := float64(p[i])
		d := float64(g[i]) + decay*w
		pp += w * w
		dd += d * d
	}
	return pp + pp1, dd + dd1
}
