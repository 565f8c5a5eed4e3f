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
	cp := PadC(s.C)
	return []par.Phase{{Tasks: s.tasks(), Run: func(_, t int) {
		for i := t * s.taskRows(); i < min((t+1)*s.taskRows(), s.Rows); i++ {
			x, y := a.X[i*cp : (i+1)*cp][:s.C], a.Y[i*cp:(i+1)*cp]
			mean, inv := rowMoments(x, a.Eps)
			for c, v := range x {
				y[c] = float32((float64(v)-mean)*inv*float64(a.Gamma[c]) + float64(a.Beta[c]))
			}
			clear(y[s.C:])
		}
	}}}
}

// rowMoments returns the mean of a row and 1/sqrt(var+eps), in two passes.
func rowMoments(x []float32, eps float32) (mean, inv float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	var m2 float64
	for _, v := range x {
		m2 += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, 1 / math.Sqrt(m2/float64(len(x))+float64(eps))
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
	cp := PadC(s.C)
	checkLen("layer norm backward", s, "dy", len(d.DY), s.Rows*cp)
	checkLen("layer norm backward", s, "dx", len(d.DX), s.Rows*cp)
	checkLen("layer norm backward", s, "dgamma", len(d.DGamma), s.C)
	checkLen("layer norm backward", s, "dbeta", len(d.DBeta), s.C)
	checkLen("layer norm backward", s, "scratch", len(scratch), s.ScratchLen())
	return []par.Phase{
		{Tasks: s.tasks(), Run: func(_, t int) {
			part := scratch[t*2*s.C : (t+1)*2*s.C]
			dbeta, dgamma := part[:s.C], part[s.C:]
			clear(part)
			for i := t * s.taskRows(); i < min((t+1)*s.taskRows(), s.Rows); i++ {
				x, dy := a.X[i*cp : (i+1)*cp][:s.C], d.DY[i*cp : (i+1)*cp][:s.C]
				layerNormRow(d.DX[i*cp:(i+1)*cp], dy, x, a.Gamma, dgamma, dbeta, a.Eps, d.AddDX)
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

// layerNormRow is Backward on one row; dx has the padding that the others lack.
func layerNormRow(dx, dy, x, gamma, dgamma, dbeta []float32, eps float32, add bool) {
	mean, inv := rowMoments(x, eps)
	var sum, dot float64 // of gamma·dy and gamma·dy·xh
	for c, v := range x {
		g, xh := float64(dy[c]), (float64(v)-mean)*inv
		sum += float64(gamma[c]) * g
		dot += float64(gamma[c]) * g * xh
		dbeta[c] += dy[c]
		dgamma[c] += float32(g * xh)
	}
	n := float64(len(x))
	for c, v := range x {
		xh := (float64(v) - mean) * inv
		grad := float32(inv * (float64(gamma[c])*float64(dy[c]) - sum/n - xh*dot/n))
		if add {
			grad += dx[c]
		}
		dx[c] = grad
	}
	clear(dx[len(x):])
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
