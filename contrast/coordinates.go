package contrast

import (
	"fmt"
	"math"

	"clpipe/internal/par"
)

// Coordinates names what Deep InfoMax predicts besides (Hjelm et al. 2019,
// section 4.3): where each cell of the local map lies, or how far from another
// cell of it, given the code.
type Coordinates string

const (
	NoCoordinates       Coordinates = "none"
	AbsoluteCoordinates Coordinates = "absolute" // from a cell and the code
	RelativeCoordinates Coordinates = "relative" // from two cells and the code
	BothCoordinates     Coordinates = "both"
)

func (c Coordinates) absolute() bool { return c == AbsoluteCoordinates || c == BothCoordinates }
func (c Coordinates) relative() bool { return c == RelativeCoordinates || c == BothCoordinates }

// Places is the loss of logits [N,S,S,2C] of each cell's row and column: the sum
// of the two mean cross-entropies. A row is one of C = S, or with Relative one of
// 2S-1, the distance from the cell's partner (encoder.PairCells).
type Places struct {
	Logits   Out
	Relative bool
}

func (o Places) bind(c *cpu) boundLoss {
	logits, grads := c.rows(o.Logits), c.grad(o.Logits)
	n := c.cfg.Batch
	cells := logits.N / n
	side := int(math.Sqrt(float64(cells)))
	classes := side
	var partners []int32
	if o.Relative {
		classes, partners = 2*side-1, c.passes[o.Logits.Pass].arena.Cells()
	}
	if side*side != cells || logits.D != 2*classes {
		panic(fmt.Sprintf("contrast: places: %d logits of each of %d cells", logits.D, cells))
	}
	losses, right := make([]float64, n), make([]float64, n)
	total := 1 / float64(logits.N)
	b := boundLoss{phases: []par.Phase{{Tasks: n, Run: func(_, i int) {
		losses[i], right[i] = 0, 0
		for l := range cells {
			row, column := l/side, l%side
			if o.Relative {
				p := int(partners[i*cells+l])
				row, column = row-p/side+side-1, column-p%side+side-1
			}
			scores, grad := logits.Row(i*cells+l), grads.Row(i*cells+l)
			for axis, class := range [...]int{row, column} {
				loss, above := crossEntropy(grad[axis*classes:], scores[axis*classes:][:classes], class, total)
				losses[i] += loss
				if above == 0 {
					right[i] += 0.5
				}
			}
		}
	}}}}
	b.value = func() float64 { return sum(losses) * total }
	b.places = func(m *Metrics) {
		acc := sum(right) * total
		if o.Relative {
			m.OffsetAcc = &acc
		} else {
			m.PlaceAcc = &acc
		}
	}
	return b
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}
