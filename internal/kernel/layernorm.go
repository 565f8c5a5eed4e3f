package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// LayerNormShape is a layer normalisation (Ba et al. 2016) over the channels of
// each row of [Rows,PadC(C)]: of each pixel of an NHWC activation.
type LayerNormShape struct{ Rows, C int }

// LayerNormArgs are the buffers of one layer normalisation,
//
//	y = (x-mean)/sqrt(var+eps)·gamma + beta
//
// with mean and biased var per row, gamma and beta per channel.
type LayerNormArgs struct {
	Y, X        []float32 // [Rows,Cp]; Y may be X unless Backward follows
	Gamma, Beta []float32 // [C]
	Eps         float32   // usually 1e-5
}

// layerNormTasks bounds the ranges of rows whose gradients of gamma and beta
// are summed apart, and so the scratch memory.
const layerNormTasks = 64

func (s LayerNormShape) taskRows() int { return ceilDiv(s.Rows, min(s.Rows, layerNormTasks)) }

func (s LayerNormShape) tasks() int { return ceilDiv(s.Rows, s.taskRows()) }

// ScratchLen is the length of the scratch that Backward needs.
func (s LayerNormShape) ScratchLen() int { return s.tasks() * 2 * s.C }

// Forward normalises each row. All sums are float64.
func (s LayerNormShape) Forward(a LayerNormArgs) []par.Phase {
	s.check("forward", &a)
	cp, k := PadC(s.C), &active.rows
	return []par.Phase{{Tasks: s.tasks(), Run: func(_, t int) {
		for i := t * s.taskRows(); i < min((t+1)*s.taskRows(), s.Rows); i++ {
			x, y := a.X[i*cp:][:s.C], a.Y[i*cp:(i+1)*cp]
			mean, inv := rowMoments(k, x, a.Eps)
			k.apply(y[:s.C], x, a.Gamma, a.Beta, mean, inv)
			clear(y[s.C:])
		}
	}}}
}

// rowMoments returns the mean of a row and 1/sqrt(var+eps), in two passes.
func rowMoments(k *rowKernels, x []float32, eps float32) (mean, inv float64) {
	n := float64(len(x))
	mean = k.sum(x) / n
	return mean, 1 / math.Sqrt(k.squares(x, mean)/n+float64(eps))
}

// LayerNormGrads are the gradients of one layer normalisation.
type LayerNormGrads struct {
	DY []float32 // [Rows,Cp]: of Y

	DX    []float32 // [Rows,Cp]: of X; may be DY unless AddDX
	AddDX bool      // add to DX instead of setting it

	DGamma, DBeta []float32 // [C]: added to
}

// Backward follows a Forward with the same arguments. With
// xh = (x-mean)/sqrt(var+eps), where <v> is the mean of v over a row:
//
//	dbeta += Σ dy   dgamma += Σ dy·xh, both over the rows
//	dx = 1/sqrt(var+eps) · (gamma·dy - <gamma·dy> - xh·<gamma·dy·xh>)
func (s LayerNormShape) Backward(d LayerNormGrads, a LayerNormArgs, scratch []float32) []par.Phase {
	s.check("backward", &a)
	cp, k := PadC(s.C), &active.rows
	checkLen("layer norm backward", s, "dy", len(d.DY), s.Rows*cp)
	checkLen("layer norm backward", s, "dx", len(d.DX), s.Rows*cp)
	checkLen("layer norm backward", s, "dgamma", len(d.DGamma), s.C)
	checkLen("layer norm backward", s, "dbeta", len(d.DBeta), s.C)
	checkLen("layer norm backward", s, "scratch", len(scratch), s.ScratchLen())
	return []par.Phase{
		{Tasks: s.tasks(), Run: func(_, t int) {
			part := scratch[t*2*s.C : (t+1)*2*s.C]
			clear(part)
			for i := t * s.taskRows(); i < min((t+1)*s.taskRows(), s.Rows); i++ {
				x, dy, dx := a.X[i*cp:][:s.C], d.DY[i*cp:][:s.C], d.DX[i*cp:(i+1)*cp]
				mean, inv := rowMoments(k, x, a.Eps)
				sum, dot := k.reduce(part[s.C:], part[:s.C], dy, x, a.Gamma, mean, inv)
				k.backward(dx[:s.C], dy, x, a.Gamma, mean, inv, -inv*inv*dot/float64(s.C), -inv*sum/float64(s.C), d.AddDX)
				clear(dx[s.C:])
			}
		}},
		{Tasks: columnBlocks(s.C), Run: func(_, b int) {
			lo, hi := columnBlock(b, s.C)
			for c := lo; c < hi; c++ {
				var dbeta, dgamma float64
				for t := range s.tasks() {
					dbeta += float64(scratch[t*2*s.C+c])
					dgamma += float64(scratch[t*2*s.C+s.C+c])
				}
				d.DBeta[c] += float32(dbeta)
				d.DGamma[c] += float32(dgamma)
			}
		}},
	}
}

func (s LayerNormShape) check(op string, a *LayerNormArgs) {
	op = "layer norm " + op
	if s.Rows < 1 || s.C < 1 {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want every size positive", op, s))
	}
	checkLen(op, s, "y", len(a.Y), s.Rows*PadC(s.C))
	checkLen(op, s, "x", len(a.X), s.Rows*PadC(s.C))
	checkLen(op, s, "gamma", len(a.Gamma), s.C)
	checkLen(op, s, "beta", len(a.Beta), s.C)
}
