package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// BatchNormShape is a batch normalisation over an NHWC activation
// [N,HW,PadC(C)]: HW pixels a sample, HW = 1 after a linear layer.
//
// With Groups > 1 the samples of a group are normalised by their own
// statistics under shared gamma and beta (split or ghost batch normalisation,
// the single-device stand-in for MoCo's shuffled BN, He et al. 2020, 3.3).
type BatchNormShape struct{ N, HW, C, Groups int }

// BatchNormArgs are the buffers of one batch normalisation,
//
//	y = relu?( (x-mean)/sqrt(var+eps)·gamma + beta + residual )
//
// with mean and var per channel and group (Ioffe and Szegedy 2015).
type BatchNormArgs struct {
	Y, X     []float32 // [N,HW,Cp]; Y may be X unless Backward follows
	Residual []float32 // [N,HW,Cp], may be Y; nil: none
	ReLU     bool

	Gamma, Beta             []float32 // [C]
	RunningMean, RunningVar []float32 // [C]

	Group []int32   // [N]: group of each sample in [0,Groups), read at every run; nil when Groups is 1
	Saved []float32 // [SavedLen]: what Forward leaves for Backward

	Eps, Momentum float32 // usually 1e-5 and 0.1
}

// SavedLen is the length of BatchNormArgs.Saved: per group and channel the mean,
// what it lost when it was rounded to float32, and 1/sqrt(var+eps). Without
// the second a mean far from zero would move every result by its rounding.
func (s BatchNormShape) SavedLen() int { return s.Groups * 3 * PadC(s.C) }

// ScratchLen is the length of the scratch that Forward, ForwardEval and
// Backward need. It holds nothing between two of them.
func (s BatchNormShape) ScratchLen() int {
	return s.strips().num()*3*PadC(s.C) + s.Groups*4*PadC(s.C)
}

// strips cuts the activation; groups are made of whole samples.
func (s BatchNormShape) strips() strips {
	if s.Groups == 1 {
		return cutStrips(1, s.N*s.HW, PadC(s.C))
	}
	return cutStrips(s.N, s.HW, PadC(s.C))
}

// Forward normalises by the statistics of the batch, saves them for Backward
// and moves the running buffers,
//
//	running = (1-momentum)·running + momentum·statistic
//
// with the unbiased variance. With groups, each group moves a copy of the old
// buffers and the mean of the copies is kept (as SplitBN in the MoCo CIFAR
// notebook). A group needs more than one value per channel for its variance to
// mean anything; callers check that.
//
// The sums of a strip are taken around the strip's own mean in float32 and
// joined in float64 in the order of the strips.
func (s BatchNormShape) Forward(a BatchNormArgs, scratch []float32) []par.Phase {
	s.check("forward", &a, scratch)
	cut, cp, k := s.strips(), PadC(s.C), columnsFor(PadC(s.C))
	sums, coef := scratch[:cut.num()*3*cp], scratch[cut.num()*3*cp:]
	return []par.Phase{
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			x, out := a.X[lo:hi], sums[t*3*cp:(t+1)*3*cp]
			shift, s1, s2 := out[:cp], out[cp:2*cp], out[2*cp:]
			k.sum(shift, x)
			inv := 1 / float32(cut.len(t))
			for c := range shift {
				shift[c] *= inv
			}
			k.moments(s1, s2, x, shift)
		}},
		{Tasks: columnBlocks(cp), Run: func(_, b int) { s.joinMoments(&a, b, cut, sums, coef) }},
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			g := a.group(cut.unit(t))
			k.normApply(a.Y[lo:hi], a.X[lo:hi], a.residual(lo, hi), coef[g*3*cp:(g+1)*3*cp], a.floor())
		}},
	}
}

// joinMoments turns the strips' sums into mean and variance for a block of
// channels, and these into Saved, the running buffers and the coefficients
// [Groups][mean,scale,beta][cp] of the normalisation. Padding channels get
// zeros, so that they stay zero.
func (s BatchNormShape) joinMoments(a *BatchNormArgs, block int, cut strips, sums, coef []float32) {
	cp := PadC(s.C)
	lo, hi := columnBlock(block, cp)
	var meanSum, varSum [columnBlockLen]float64 // over the groups, for the running buffers
	for g := range s.Groups {
		var origin, s1, s2 [columnBlockLen]float64
		n := 0
		for t := range cut.num() {
			if a.group(cut.unit(t)) != g {
				continue
			}
			strip := sums[t*3*cp : (t+1)*3*cp]
			pixels := float64(cut.len(t))
			for i := range hi - lo {
				shift := float64(strip[lo+i])
				d1, d2 := float64(strip[cp+lo+i]), float64(strip[2*cp+lo+i])
				if n == 0 { // later strips are moved to the shift of the first
					origin[i] = shift
				}
				move := shift - origin[i]
				s1[i] += d1 + pixels*move
				s2[i] += d2 + 2*move*d1 + pixels*move*move
			}
			n += cut.len(t)
		}
		for i := range hi - lo {
			c := lo + i
			saved, out := a.Saved[g*3*cp:], coef[g*3*cp:]
			if c >= s.C || n == 0 {
				saved[c], saved[cp+c], saved[2*cp+c] = 0, 0, 0
				out[c], out[cp+c], out[2*cp+c] = 0, 0, 0
				if c < s.C { // a group without samples leaves its copy as it was
					meanSum[i] += float64(a.RunningMean[c])
					varSum[i] += float64(a.RunningVar[c])
				}
				continue
			}
			count := float64(n)
			delta := s1[i] / count
			mean := origin[i] + delta
			m2 := max(0, s2[i]-s1[i]*delta)
			inv := 1 / math.Sqrt(m2/count+float64(a.Eps))
			lost := mean - float64(float32(mean))
			scale := float64(a.Gamma[c]) * inv
			saved[c], saved[cp+c], saved[2*cp+c] = float32(mean), float32(lost), float32(inv)
			out[c], out[cp+c], out[2*cp+c] = float32(mean), float32(scale), float32(float64(a.Beta[c])-scale*lost)

			m := float64(a.Momentum)
			meanSum[i] += (1-m)*float64(a.RunningMean[c]) + m*mean
			varSum[i] += (1-m)*float64(a.RunningVar[c]) + m*m2/math.Max(count-1, 1)
		}
	}
	for i := range min(hi, s.C) - lo {
		a.RunningMean[lo+i] = float32(meanSum[i] / float64(s.Groups))
		a.RunningVar[lo+i] = float32(varSum[i] / float64(s.Groups))
	}
}

// ForwardEval normalises by the running statistics, which it leaves as they
// are; Group and Saved are not used.
func (s BatchNormShape) ForwardEval(a BatchNormArgs, scratch []float32) []par.Phase {
	s.check("forward eval", &a, scratch)
	cp, k := PadC(s.C), columnsFor(PadC(s.C))
	cut := cutStrips(1, s.N*s.HW, cp)
	coef := scratch[:3*cp]
	return []par.Phase{
		{Tasks: 1, Run: func(_, _ int) {
			clear(coef)
			for c := range s.C {
				inv := 1 / math.Sqrt(float64(a.RunningVar[c])+float64(a.Eps))
				coef[c], coef[cp+c], coef[2*cp+c] = a.RunningMean[c], float32(float64(a.Gamma[c])*inv), a.Beta[c]
			}
		}},
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			k.normApply(a.Y[lo:hi], a.X[lo:hi], a.residual(lo, hi), coef, a.floor())
		}},
	}
}

// BatchNormGrads are the gradients of one batch normalisation.
type BatchNormGrads struct {
	DY []float32 // [N,HW,Cp]: of Y

	DX    []float32 // [N,HW,Cp]: of X; may be DY unless AddDX
	AddDX bool      // add to DX instead of setting it

	DResidual    []float32 // [N,HW,Cp]: of Residual; may be DY (but not also DX) unless AddDResidual; nil: not wanted
	AddDResidual bool

	DGamma, DBeta []float32 // [C]: added to
}

// Backward follows a Forward with the same arguments. With g = DY where Y > 0
// (everywhere without ReLU) and xh = (x-mean)/sqrt(var+eps), sums and n per
// channel and group:
//
//	dbeta += Σg   dgamma += Σ g·xh   dresidual = g
//	dx = gamma/sqrt(var+eps) · (g - Σg/n - xh·Σ(g·xh)/n)
func (s BatchNormShape) Backward(d BatchNormGrads, a BatchNormArgs, scratch []float32) []par.Phase {
	s.check("backward", &a, scratch)
	for _, b := range []struct {
		name string
		len  int
		want int
	}{
		{"dy", len(d.DY), s.N * s.HW * PadC(s.C)},
		{"dx", len(d.DX), s.N * s.HW * PadC(s.C)},
		{"dgamma", len(d.DGamma), s.C},
		{"dbeta", len(d.DBeta), s.C},
	} {
		checkLen("batch norm backward", s, b.name, b.len, b.want)
	}
	mode := 0
	if d.AddDX {
		mode |= addDXMode
	}
	if d.DResidual != nil {
		checkLen("batch norm backward", s, "dresidual", len(d.DResidual), s.N*s.HW*PadC(s.C))
		mode |= dresMode
		if d.AddDResidual {
			mode |= addDResMode
		}
	}
	cut, cp, k := s.strips(), PadC(s.C), columnsFor(PadC(s.C))
	sums, coef := scratch[:cut.num()*2*cp], scratch[cut.num()*3*cp:]
	// Without ReLU x stands in for y: none of it is below -Inf.
	y := a.Y
	if !a.ReLU {
		y = a.X
	}
	return []par.Phase{
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			mean := a.Saved[a.group(cut.unit(t))*3*cp:][:cp]
			out := sums[t*2*cp : (t+1)*2*cp]
			k.normReduce(out[:cp], out[cp:], d.DY[lo:hi], a.X[lo:hi], y[lo:hi], mean, a.floor())
		}},
		{Tasks: columnBlocks(cp), Run: func(_, b int) { s.joinGrads(&d, &a, b, cut, sums, coef) }},
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			g := a.group(cut.unit(t))
			var dres []float32
			if mode&dresMode != 0 {
				dres = d.DResidual[lo:hi]
			}
			k.normBackward(d.DX[lo:hi], dres, d.DY[lo:hi], a.X[lo:hi], y[lo:hi], coef[g*4*cp:(g+1)*4*cp], a.floor(), mode)
		}},
	}
}

// joinGrads adds the strips' sums of a block of channels into dgamma and dbeta
// and writes the coefficients [Groups][mean,a,b,c][cp] of
// dx = a·g + b·(x-mean) + c.
func (s BatchNormShape) joinGrads(d *BatchNormGrads, a *BatchNormArgs, block int, cut strips, sums, coef []float32) {
	cp := PadC(s.C)
	lo, hi := columnBlock(block, cp)
	var dbeta, dgamma [columnBlockLen]float64
	for g := range s.Groups {
		var s1, s2 [columnBlockLen]float64
		n := 0
		for t := range cut.num() {
			if a.group(cut.unit(t)) != g {
				continue
			}
			strip := sums[t*2*cp : (t+1)*2*cp]
			for i := range hi - lo {
				s1[i] += float64(strip[lo+i])
				s2[i] += float64(strip[cp+lo+i])
			}
			n += cut.len(t)
		}
		for i := range hi - lo {
			c := lo + i
			saved, out := a.Saved[g*3*cp:], coef[g*4*cp:]
			if c >= s.C || n == 0 {
				out[c], out[cp+c], out[2*cp+c], out[3*cp+c] = 0, 0, 0, 0
				continue
			}
			lost, inv := float64(saved[cp+c]), float64(saved[2*cp+c])
			scale := float64(a.Gamma[c]) * inv
			s2[i] -= lost * s1[i]
			slope := -scale * inv * inv * s2[i] / float64(n)
			dbeta[i] += s1[i]
			dgamma[i] += s2[i] * inv
			out[c] = saved[c]
			out[cp+c] = float32(scale)
			out[2*cp+c] = float32(slope)
			out[3*cp+c] = float32(-scale*s1[i]/float64(n) - slope*lost)
		}
	}
	for i := range min(hi, s.C) - lo {
		d.DBeta[lo+i] += float32(dbeta[i])
		d.DGamma[lo+i] += float32(dgamma[i])
	}
}

// columnBlockLen is the number of channels that one task joins.
const columnBlockLen = 16

func columnBlocks(cp int) int { return (cp + columnBlockLen - 1) / columnBlockLen }

func columnBlock(block, cp int) (lo, hi int) {
	lo = block * columnBlockLen
	return lo, min(lo+columnBlockLen, cp)
}

// group returns the group of a unit of strips.
func (a *BatchNormArgs) group(unit int) int {
	if a.Group == nil {
		return 0
	}
	return int(a.Group[unit])
}

func (a *BatchNormArgs) residual(lo, hi int) []float32 {
	if a.Residual == nil {
		return nil
	}
	return a.Residual[lo:hi]
}

// floor is the lower bound of y: the ReLU as a number.
func (a *BatchNormArgs) floor() float32 {
	if a.ReLU {
		return 0
	}
	return float32(math.Inf(-1))
}

func (s BatchNormShape) check(op string, a *BatchNormArgs, scratch []float32) {
	op = "batch norm " + op
	if s.N < 1 || s.HW < 1 || s.C < 1 || s.Groups < 1 {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want every size positive", op, s))
	}
	act := s.N * s.HW * PadC(s.C)
	checkLen(op, s, "y", len(a.Y), act)
	checkLen(op, s, "x", len(a.X), act)
	if a.Residual != nil {
		checkLen(op, s, "residual", len(a.Residual), act)
	}
	checkLen(op, s, "gamma", len(a.Gamma), s.C)
	checkLen(op, s, "beta", len(a.Beta), s.C)
	checkLen(op, s, "running mean", len(a.RunningMean), s.C)
	checkLen(op, s, "running var", len(a.RunningVar), s.C)
	checkLen(op, s, "scratch", len(scratch), s.ScratchLen())
	if op == "batch norm forward eval" {
		return
	}
	checkLen(op, s, "saved", len(a.Saved), s.SavedLen())
	if s.Groups == 1 && a.Group != nil {
		panic(fmt.Sprintf("kernel: %s: shape %+v: got a group table, want nil for one group", op, s))
	}
	if s.Groups > 1 {
		checkLen(op, s, "group", len(a.Group), s.N)
	}
}

// checkLen panics when a buffer is too short for its shape: kernels do not
// check bounds.
func checkLen(op string, shape any, name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("kernel: %s: %s: got %d elements, want %d for shape %+v", op, name, got, want, shape))
	}
}
