package kernel

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// GroupNormShape is a group normalisation (Wu and He 2018) over an NHWC
// activation [N,HW,PadC(C)]: the C/Groups channels of a group are normalised
// together over the HW pixels of each sample. Groups divides C; 1 is layer
// normalisation over the whole sample.
type GroupNormShape struct{ N, HW, C, Groups int }

// GroupNormArgs are the buffers of one group normalisation,
//
//	y = (x-mean)/sqrt(var+eps)·gamma + beta
//
// with mean and biased var per sample and group, gamma and beta per channel.
type GroupNormArgs struct {
	Y, X        []float32 // [N,HW,Cp]; Y may be X unless Backward follows
	Gamma, Beta []float32 // [C]
	Saved       []float32 // [SavedLen]: what Forward leaves for Backward
	Eps         float32   // usually 1e-5
}

// SavedLen is the length of GroupNormArgs.Saved: per sample and channel the
// mean of its group, what that lost when it was rounded to float32, and
// 1/sqrt(var+eps).
func (s GroupNormShape) SavedLen() int { return s.N * 3 * PadC(s.C) }

// ScratchLen is the length of the scratch that Forward and Backward need. It
// holds nothing between the two.
func (s GroupNormShape) ScratchLen() int {
	return s.strips().num()*3*PadC(s.C) + s.N*4*PadC(s.C)
}

func (s GroupNormShape) strips() strips { return cutStrips(s.N, s.HW, PadC(s.C)) }

// Forward normalises and saves the statistics for Backward. The sums of a strip
// and channel are taken around the strip's own mean in float32 and joined in
// float64 in the order of the channels and strips.
func (s GroupNormShape) Forward(a GroupNormArgs, scratch []float32) []par.Phase {
	s.check("forward", &a, scratch)
	cut, cp, k := s.strips(), PadC(s.C), columnsFor(PadC(s.C))
	sums, coef := scratch[:cut.num()*3*cp], scratch[cut.num()*3*cp:]
	noFloor := float32(math.Inf(-1))
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
		{Tasks: s.N, Run: func(_, n int) { s.joinMoments(&a, n, cut, sums, coef) }},
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			n := cut.unit(t)
			k.normApply(a.Y[lo:hi], a.X[lo:hi], nil, coef[n*3*cp:(n+1)*3*cp], noFloor)
		}},
	}
}

// joinMoments turns the strips' sums into mean and variance for the groups of
// sample n, and these into Saved and the coefficients [mean,scale,beta][cp] of
// its normalisation. Padding channels get zeros, so that they stay zero.
func (s GroupNormShape) joinMoments(a *GroupNormArgs, n int, cut strips, sums, coef []float32) {
	cp, width := PadC(s.C), s.C/s.Groups
	saved, out := a.Saved[n*3*cp:(n+1)*3*cp], coef[n*3*cp:(n+1)*3*cp]
	clear(saved)
	clear(out)
	first := n * cut.perUnit
	for lo := 0; lo < s.C; lo += width {
		origin := float64(sums[first*3*cp+lo]) // the other sums are moved to this shift
		var s1, s2 float64
		for t := first; t < first+cut.perUnit; t++ {
			strip, pixels := sums[t*3*cp:(t+1)*3*cp], float64(cut.len(t))
			for c := lo; c < lo+width; c++ {
				d1, d2 := float64(strip[cp+c]), float64(strip[2*cp+c])
				move := float64(strip[c]) - origin
				s1 += d1 + pixels*move
				s2 += d2 + 2*move*d1 + pixels*move*move
			}
		}
		delta := s1 / float64(s.HW*width)
		mean := origin + delta
		variance := max(0, s2-s1*delta) / float64(s.HW*width)
		inv := 1 / math.Sqrt(variance+float64(a.Eps))
		lost := mean - float64(float32(mean))
		for c := lo; c < lo+width; c++ {
			scale := float64(a.Gamma[c]) * inv
			saved[c], saved[cp+c], saved[2*cp+c] = float32(mean), float32(lost), float32(inv)
			out[c], out[cp+c], out[2*cp+c] = float32(mean), float32(scale), float32(float64(a.Beta[c])-scale*lost)
		}
	}
}

// GroupNormGrads are the gradients of one group normalisation.
type GroupNormGrads struct {
	DY []float32 // [N,HW,Cp]: of Y

	DX    []float32 // [N,HW,Cp]: of X; may be DY unless AddDX
	AddDX bool      // add to DX instead of setting it

	DGamma, DBeta []float32 // [C]: added to
}

// Backward follows a Forward with the same arguments. With
// xh = (x-mean)/sqrt(var+eps) and n = HW·C/Groups, where <v> is the sum of v
// over a sample's group:
//
//	dbeta += Σ dy   dgamma += Σ dy·xh, both per channel over all samples
//	dx = 1/sqrt(var+eps) · (gamma·dy - <gamma·dy>/n - xh·<gamma·dy·xh>/n)
func (s GroupNormShape) Backward(d GroupNormGrads, a GroupNormArgs, scratch []float32) []par.Phase {
	s.check("backward", &a, scratch)
	cut, cp, k := s.strips(), PadC(s.C), columnsFor(PadC(s.C))
	checkLen("group norm backward", s, "dy", len(d.DY), s.N*s.HW*cp)
	checkLen("group norm backward", s, "dx", len(d.DX), s.N*s.HW*cp)
	checkLen("group norm backward", s, "dgamma", len(d.DGamma), s.C)
	checkLen("group norm backward", s, "dbeta", len(d.DBeta), s.C)
	mode := 0
	if d.AddDX {
		mode = addDXMode
	}
	sums, coef := scratch[:cut.num()*2*cp], scratch[cut.num()*3*cp:]
	noFloor := float32(math.Inf(-1)) // x stands in for y: none of it is below
	return []par.Phase{
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			out := sums[t*2*cp : (t+1)*2*cp]
			mean := a.Saved[cut.unit(t)*3*cp:][:cp]
			k.normReduce(out[:cp], out[cp:], d.DY[lo:hi], a.X[lo:hi], a.X[lo:hi], mean, noFloor)
		}},
		{Tasks: s.N, Run: func(_, n int) { s.joinGrads(&a, n, cut, sums, coef) }},
		{Tasks: columnBlocks(cp), Run: func(_, b int) { s.addParamGrads(&d, b, cut, sums) }},
		{Tasks: cut.num(), Run: func(_, t int) {
			lo, hi := cut.span(t)
			n := cut.unit(t)
			k.normBackward(d.DX[lo:hi], nil, d.DY[lo:hi], a.X[lo:hi], a.X[lo:hi], coef[n*4*cp:(n+1)*4*cp], noFloor, mode)
		}},
	}
}

// joinGrads writes the coefficients [mean,a,b,c][cp] of sample n in
// dx = a·dy + b·(x-mean) + c, and leaves its part of dbeta and dgamma in place
// of the sums of its first strip.
func (s GroupNormShape) joinGrads(a *GroupNormArgs, n int, cut strips, sums, coef []float32) {
	cp, width := PadC(s.C), s.C/s.Groups
	saved, out := a.Saved[n*3*cp:(n+1)*3*cp], coef[n*4*cp:(n+1)*4*cp]
	clear(out)
	first := n * cut.perUnit
	part := sums[first*2*cp : (first+1)*2*cp]
	for lo := 0; lo < s.C; lo += width {
		lost, inv := float64(saved[cp+lo]), float64(saved[2*cp+lo])
		var sum, dot float64 // of gamma·dy and gamma·dy·(x-mean) over the group
		for c := lo; c < lo+width; c++ {
			var s1, s2 float64
			for t := first; t < first+cut.perUnit; t++ {
				s1 += float64(sums[t*2*cp+c])
				s2 += float64(sums[t*2*cp+cp+c])
			}
			s2 -= lost * s1
			sum += float64(a.Gamma[c]) * s1
			dot += float64(a.Gamma[c]) * s2
			part[c], part[cp+c] = float32(s1), float32(s2*inv)
		}
		count := float64(s.HW * width)
		slope := -inv * inv * inv * dot / count
		for c := lo; c < lo+width; c++ {
			out[c] = saved[c]
			out[cp+c] = float32(float64(a.Gamma[c]) * inv)
			out[2*cp+c] = float32(slope)
			out[3*cp+c] = float32(-inv*sum/count - slope*lost)
		}
	}
}

// addParamGrads adds the samples' parts of a block of channels to dbeta and
// dgamma.
func (s GroupNormShape) addParamGrads(d *GroupNormGrads, block int, cut strips, sums []float32) {
	cp := PadC(s.C)
	lo, hi := columnBlock(block, cp)
	for c := lo; c < min(hi, s.C); c++ {
		var dbeta, dgamma float64
		for n := range s.N {
			part := sums[n*cut.perUnit*2*cp:]
			dbeta += float64(part[c])
			dgamma += float64(part[cp+c])
		}
		d.DBeta[c] += float32(dbeta)
		d.DGamma[c] += float32(dgamma)
	}
}

func (s GroupNormShape) check(op string, a *GroupNormArgs, scratch []float32) {
	op = "group norm " + op
	if s.N < 1 || s.HW < 1 || s.C < 1 || s.Groups < 1 || s.C%s.Groups != 0 {
		panic(fmt.Sprintf("kernel: %s: shape %+v: want every size positive and groups that divide the channels", op, s))
	}
	act := s.N * s.HW * PadC(s.C)
	checkLen(op, s, "y", len(a.Y), act)
	checkLen(op, s, "x", len(a.X), act)
	checkLen(op, s, "gamma", len(a.Gamma), s.C)
	checkLen(op, s, "beta", len(a.Beta), s.C)
	checkLen(op, s, "saved", len(a.Saved), s.SavedLen())
	checkLen(op, s, "scratch", len(scratch), s.ScratchLen())
}
