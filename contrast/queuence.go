package contrast

import (
	"math"
	"slices"

	"clpipe/encoder"
	"clpipe/internal/kernel"
	"clpipe/internal/par"
)

// QueueNCE is InfoNCE (He et al. 2020, equation 1): the key of a query's row is
// its positive, the queue's rows are its negatives. The gradient goes to the
// query.
type QueueNCE struct {
	Query, Key Out
	Queue      Ring
	AnyLength  bool    // the queries are not of unit length; keys are
	Weight     float64 // factor of the loss; 0: 1
}

func (o QueueNCE) bind(c *cpu) boundLoss {
	queue := c.rings[o.Queue].queue
	query, n, k := c.rows(o.Query), c.cfg.Batch, c.cfg.Queue
	weight := o.Weight
	if weight == 0 {
		weight = 1
	}
	args := &kernel.InfoNCEArgs{
		Query: query.Data, Positive: c.rows(o.Key).Data, Keys: queue.keys,
		AnyLength: o.AnyLength, Temperature: float32(c.cfg.Temperature), GradScale: float32(weight / float64(n)),
		Score: make([]float32, n), Loss: make([]float32, n), Entropy: make([]float32, n), Above: make([]int32, n), Masked: make([]int32, n),
		DQuery: c.grad(o.Query).Data,
	}
	if c.cfg.MaskSameID {
		args.QueryIDs, args.KeyIDs = make([]uint64, n), queue.ids
	}
	plan := kernel.NewInfoNCE(kernel.InfoNCEShape{N: n, D: c.cfg.Dim, K: k}, c.pool.Workers())
	temper, learn := c.temperature.teach(args, weight)
	phases := plan.Bind(args, c.scratchOf(plan.ScratchLen()))
	if query.Stride != c.cfg.Dim {
		phases = compacted(args, query, c.grad(o.Query), phases)
	}
	return boundLoss{
		before: func() {
			temper()
			args.Valid = queue.Len()
			if c.cfg.MaskSameID {
				copy(args.QueryIDs, c.batch.IDs)
			}
		},
		phases: append(phases, learn...),
		value:  func() float64 { return weight * mean(args.Loss) },
		acc1:   func() float64 { return shareBelow(args.Above, 1) },
		report: func(m *Metrics) {
			var candidates float64
			negatives := 0
			for _, masked := range args.Masked {
				m.maskedRows += float64(masked) / float64(n)
				negatives += args.Valid - int(masked)
				candidates += math.Log(float64(1 + args.Valid - int(masked)))
				if args.Valid > 0 {
					m.Masked += float64(masked) / float64(n) / float64(args.Valid)
				}
			}
			m.MIBound = candidates/float64(n) - mean(args.Loss)
			m.ranks(args)
			m.QueueFilled = queue.Len()
			m.ofNCE(args, negatives)
			c.temperature.report(m)
		},
	}
}

// compacted makes a loss read and give the gradient of queries whose rows have
// gaps, which keys of unit length do not.
func compacted(args *kernel.InfoNCEArgs, query, grad encoder.Rows, phases []par.Phase) []par.Phase {
	rows, drows := kernel.Alloc(query.N*query.D), kernel.Alloc(query.N*query.D)
	args.Query, args.DQuery = rows, drows
	pack := par.Phase{Tasks: query.N, Run: func(_, i int) { copy(rows[i*query.D:(i+1)*query.D], query.Row(i)) }}
	unpack := par.Phase{Tasks: query.N, Run: func(_, i int) { copy(grad.Row(i), drows[i*query.D:(i+1)*query.D]) }}
	return slices.Concat([]par.Phase{pack}, phases, []par.Phase{unpack})
}

// mean returns the mean of the numbers.
func mean(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x)
	}
	return sum / float64(len(v))
}

// shareBelow returns the share of queries with fewer than k negatives above the
// positive.
func shareBelow(above []int32, k int32) float64 {
	hits := 0
	for _, a := range above {
		if a < k {
			hits++
		}
	}
	return float64(hits) / float64(len(above))
}
