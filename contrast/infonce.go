package contrast

import (
	"fmt"
	"math"

	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// InfoNCE is the contrast of an output's rows with all rows of another (van den
// Oord et al. 2018, equation 4): of row i the positive is row Positive[i] of
// Key, every other row of Key a negative but row Self[i]. Both receive gradients,
// Key unless it is of a momentum encoder.
// Query and Key may be the same output, which then receives both (NT-Xent, Chen
// et al. 2020, equation 1).
type InfoNCE struct {
	Query, Key  Out
	Positive    []int32
	Self        []int32 // nil: every other row is a negative
	Unit        bool    // rows are of unit length; else of any
	Temperature float64
	Weight      float64 // factor of the loss; 0: 1
	// Pairs says that the first Batch queries belong to as many keys in their
	// order: the batch is its own negatives, on which every bound is defined.
	Pairs bool
}

func (o InfoNCE) bind(c *cpu) boundLoss {
	query, key := c.rows(o.Query), c.rows(o.Key)
	n, k := query.N, key.N
	if query.Stride != key.Stride || len(o.Positive) != n {
		panic(fmt.Sprintf("contrast: infonce: queries of %d floats, keys of %d; %d positives for %d queries", query.Stride, key.Stride, len(o.Positive), n))
	}
	weight := o.Weight
	if weight == 0 {
		weight = 1
	}
	args := &kernel.InfoNCEArgs{
		// The padding of a row is zero, which adds nothing.
		Query: query.Data, Keys: key.Data, PositiveRow: o.Positive, SelfRow: o.Self, Valid: k,
		AnyLength: !o.Unit, Temperature: float32(o.Temperature), GradScale: float32(weight / float64(n)),
		Score: make([]float32, n), Loss: make([]float32, n), Entropy: make([]float32, n), Above: make([]int32, n), Masked: make([]int32, n),
		DQuery: c.grad(o.Query).Data,
	}
	candidates := k
	if o.Self != nil {
		candidates--
	}
	plan := kernel.NewInfoNCE(kernel.InfoNCEShape{N: n, D: query.Stride, K: k}, c.pool.Workers())
	need := plan.ScratchLen()
	var phases []par.Phase
	if c.trains(o.Key) {
		dkey := c.grad(o.Key)
		scratch := c.scratchOf(need + len(dkey.Data))
		args.DKeys = scratch[need : need+len(dkey.Data)] // the kernel overwrites, losses add
		phases = append(plan.Bind(args, scratch[:need]), kernel.Add(dkey.Data, args.DKeys)...)
	} else {
		phases = plan.Bind(args, c.scratchOf(need))
	}
	temper, learn := c.temperature.teach(args, weight)
	return boundLoss{
		before: temper,
		phases: append(phases, learn...),
		value:  func() float64 { return weight * mean(args.Loss) },
		acc1:   func() float64 { return shareBelow(args.Above, 1) },
		report: func(m *Metrics) {
			m.MIBound = math.Log(float64(candidates)) - mean(args.Loss)
			m.ranks(args)
			m.ofNCE(args, n*(candidates-1))
			if o.Pairs {
				m.ofBatch(pairScores(args, c.cfg.Batch, int(o.Positive[0]), query.Stride))
			}
			c.temperature.report(m)
		},
	}
}

// Spread is no loss: it measures how an output's rows, made unit length, lie on
// the sphere, and how far from those of another view.
type Spread struct {
	Of     Out
	Other  *Out // nil: there is one view
	Halves bool // the second half of the rows are the positives of the first
}

func (o Spread) bind(c *cpu) boundLoss {
	rows := c.rows(o.Of)
	return boundLoss{
		value: func() float64 { return 0 },
		spread: func(m *Metrics) {
			of, n := unit(rows), rows.N
			var positives []float32
			switch {
			case o.Halves:
				n /= 2
				of, positives = of[:n*rows.D], of[n*rows.D:]
			case o.Other != nil:
				positives = unit(c.rows(*o.Other))
			}
			m.sphere(of, positives, n, rows.D)
		},
	}
}
