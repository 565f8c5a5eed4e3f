package detect

import (
	"math"

	"clpipe/encoder"
)

// Weights of the parts of the loss (Zhou et al. 2019, section 5): sizes are in
// cells, and so many times larger than offsets.
const (
	sizeWeight   = 0.1
	offsetWeight = 1
)

// parts of a loss, each divided by the objects of the batch.
type parts struct{ heat, size, offset float64 }

func (p parts) total() float64 { return p.heat + sizeWeight*p.size + offsetWeight*p.offset }

// focal is the penalty-reduced focal loss of a logit x whose target is y
// (Law and Deng 2018, with α 2 and β 4), and its derivative.
func focal(x, y float64) (loss, dx float64) {
	p := 1 / (1 + math.Exp(-x))
	// log p and log(1-p), which do not lose what p rounds away.
	logP, logNot := -softplus(-x), -softplus(x)
	if y == 1 {
		q := 1 - p
		return -q * q * logP, q * q * (2*p*logP - q)
	}
	w := (1 - y) * (1 - y)
	w *= w
	return -w * p * p * logNot, w * p * p * (p - 2*(1-p)*logNot)
}

// softplus is log(1+exp(x)).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// loss adds up the loss of view n and writes its gradient. what holds the view's
// target heat, scale is one divided by the objects of the batch.
func (g grid) loss(out, grad *outputs, n, classes int, what []float64, targets []target, scale float64) (p parts) {
	first := n * g.w * g.h
	for cell := range g.w * g.h {
		x, dx := out.heat.Row(first+cell), grad.heat.Row(first+cell)
		for c := range classes {
			l, d := focal(float64(x[c]), what[cell*classes+c])
			p.heat += l * scale
			dx[c] = float32(d * scale)
		}
	}
	for _, t := range targets {
		p.size += l1(out.size.Row(first+t.cell), grad.size.Row(first+t.cell), t.size, scale, sizeWeight)
		p.offset += l1(out.offset.Row(first+t.cell), grad.offset.Row(first+t.cell), t.offset, scale, offsetWeight)
	}
	return p
}

// l1 returns |x - want|, scaled, and adds its gradient at a weight: several objects
// may lie in one cell.
func l1(x, dx []float32, want [2]float64, scale, weight float64) (sum float64) {
	for k, w := range want {
		d := float64(x[k]) - w
		sum += math.Abs(d) * scale
		switch {
		case d > 0:
			dx[k] += float32(scale * weight)
		case d < 0:
			dx[k] -= float32(scale * weight)
		}
	}
	return sum
}

// outputs are the detector's three maps, or their gradients.
type outputs struct{ heat, size, offset encoder.Rows }

func outputsOf(get func(name string) encoder.Rows) *outputs {
	return &outputs{get(heatmap), get(sizes), get(offsets)}
}
