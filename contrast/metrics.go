package contrast

import (
	"fmt"
	"math"

	"clpipe/internal/kernel"
)

// Metrics is an entry of the metrics: the health of the contrast at one step
// (methods.md 1.3).
type Metrics struct {
	Step    int     `json:"step"`
	Epoch   int     `json:"epoch"`
	Samples int64   `json:"samples"`
	Loss    float64 `json:"loss"`          // nats, mean over queries, sum of the directions
	MIBound float64 `json:"mi_bound_nats"` // log of the candidates per query - loss: InfoNCE's bound on I(anchor; positive)
	Acc1    float64 `json:"acc1"`          // share of queries whose positive scores above all negatives
	Acc5    float64 `json:"acc5"`          // above all but at most four
	Entropy float64 `json:"entropy"`       // nats, of the softmax over candidates
	LR      float64 `json:"lr"`

	Alignment    float64 `json:"alignment"`     // mean squared distance of positive pairs
	Uniformity   float64 `json:"uniformity"`    // log mean exp(-2 d²) over pairs of queries
	EmbeddingStd float64 `json:"embedding_std"` // mean over dimensions; 1/sqrt(D) is healthy, 0 collapse

	QueueFilled int     `json:"queue_filled"`
	Masked      float64 `json:"masked"` // share of the queue's rows that were a query's own sample
	PairsPerS   float64 `json:"pairs_per_s"`
	Stages      any     `json:"stages,omitempty"`
}

// meanLoss is the loss of the step: the mean over queries, the sum over directions.
func (c *cpu) meanLoss() float64 {
	sum := 0.0
	for _, l := range c.losses {
		for _, v := range l.args.Loss {
			sum += float64(v)
		}
	}
	return sum / float64(c.cfg.Batch)
}

// accuracy is the share of queries with fewer than k negatives above the positive.
func (c *cpu) accuracy(k int32) float64 {
	hits, n := 0, 0
	for _, l := range c.losses {
		for _, above := range l.args.Above {
			if above < k {
				hits++
			}
			n++
		}
	}
	return float64(hits) / float64(n)
}

// measure returns the metrics of the step that the losses tell.
func (c *cpu) measure() Metrics {
	m := Metrics{Acc1: c.accuracy(1), Acc5: c.accuracy(5)}
	directions := float64(len(c.losses))
	for _, l := range c.losses {
		valid := l.args.Valid
		var candidates, entropy, masked float64
		for i := range l.args.Loss {
			candidates += math.Log(float64(1 + valid - int(l.args.Masked[i])))
			entropy += float64(l.args.Entropy[i])
			masked += float64(l.args.Masked[i])
		}
		n := float64(len(l.args.Loss))
		m.MIBound += candidates / n / directions
		m.Entropy += entropy / n / directions
		if valid > 0 {
			m.Masked += masked / n / float64(valid) / directions
		}
		m.QueueFilled = l.ring.queue.Len()
	}
	m.MIBound -= c.meanLoss() / directions
	first := c.losses[0].args
	m.Alignment = kernel.Alignment(first.Query, first.Positive, c.cfg.Batch, c.cfg.Dim)
	m.Uniformity = kernel.Uniformity(first.Query, c.cfg.Batch, c.cfg.Dim, 2)
	m.EmbeddingStd = kernel.EmbeddingStd(first.Query, c.cfg.Batch, c.cfg.Dim)
	return m
}

// collapseGuard watches the metrics for signs that training goes wrong.
type collapseGuard struct{ flat, easy, masked sign }

// A sign is told once, when it has shown in enough entries in a row.
type sign struct {
	row  int // entries in a row that showed it
	told bool
}

func (s *sign) due(shows bool, patience int) bool {
	if !shows {
		s.row = 0
		return false
	}
	s.row++
	due := s.row >= patience && !s.told
	s.told = s.told || due
	return due
}

// look returns what there is to say about an entry, each thing once.
func (g *collapseGuard) look(m Metrics, cfg Config) []string {
	const (
		patience = 3   // entries in a row
		settled  = 100 // steps after which the signs mean something
	)
	var out []string
	healthy := 1 / math.Sqrt(float64(cfg.Dim))
	if g.flat.due(m.Step > settled && m.EmbeddingStd < healthy/10, patience) {
		out = append(out, fmt.Sprintf("the embeddings collapse: all images get nearly the same one (spread %.4f, healthy is about %.4f). Lower --lr, raise --momentum towards 0.99, or check that the images differ", m.EmbeddingStd, healthy))
	}
	if g.easy.due(m.Step > settled && m.Acc1 > 0.995 && m.QueueFilled > 1000, patience) {
		out = append(out, fmt.Sprintf("the contrast is too easy: %.1f %% of the positives win against %d negatives. The views may be too alike (a stronger --policy) or batch statistics may leak (--split-bn)", 100*m.Acc1, m.QueueFilled))
	}
	if g.masked.due(m.Masked > 0.2, 1) {
		out = append(out, fmt.Sprintf("%.0f %% of the queue is the query's own sample and masked: the data set is small for --queue %d", 100*m.Masked, cfg.Queue))
	}
	return out
}
