package contrast

import (
	"fmt"
	"math"

	"clpipe/encoder"
	"clpipe/internal/kernel"
)

// Metrics is an entry of the metrics: the health of the contrast at one step.
type Metrics struct {
	Step    int     `json:"step"`
	Epoch   int     `json:"epoch"`
	Samples int64   `json:"samples"`
	Loss    float64 `json:"loss"` // nats, mean over queries, local views among them; sum of the directions
	// MIBound is log of the candidates per query - loss: InfoNCE's bound on I(anchor;
	// positive), where negatives are drawn as positives are. A queue's are so in so far
	// as its keys are of the present encoder: random rows and old keys are told from a
	// positive without knowing the anchor, and until K keys have passed the number
	// bounds nothing.
	MIBound float64 `json:"mi_bound_nats"`
	Acc1    float64 `json:"acc1"` // share of queries whose positive scores above all negatives
	// Acc5 is the share above all but at most four, Entropy, in nats, that of the
	// softmax over candidates; nil where the objective counts neither.
	Acc5    *float64 `json:"acc5,omitempty"`
	Entropy *float64 `json:"entropy,omitempty"`
	LR      float64  `json:"lr"`
	Estimates
	// Temperature is τ, where it is learned.
	Temperature float64 `json:"temperature,omitempty"`
	// PlaceAcc is the share of rows and columns of cells that Deep InfoMax names
	// right, OffsetAcc that of those from one cell to another; nil: untrained.
	PlaceAcc  *float64 `json:"place_acc,omitempty"`
	OffsetAcc *float64 `json:"offset_acc,omitempty"`
	// Momentum is m of the key encoder.
	Momentum float64 `json:"momentum,omitempty"`

	Alignment    float64 `json:"alignment"`     // mean squared distance of positive pairs
	Uniformity   float64 `json:"uniformity"`    // log mean exp(-2 d²) over pairs of queries
	EmbeddingStd float64 `json:"embedding_std"` // mean over dimensions; 1/sqrt(D) is healthy, 0 collapse

	QueueFilled int     `json:"queue_filled"`
	Masked      float64 `json:"masked"` // share of the queue's rows that were a query's own sample
	PairsPerS   float64 `json:"pairs_per_s"`
	Stages      any     `json:"stages,omitempty"`

	maskedRows float64 // rows of the queue that were a query's own sample, mean over queries
	spreadDim  int     // dimensions of what EmbeddingStd measures
}

// sphere measures how the rows [N,D] of unit length lie, and how far from those
// of their positives (nil: there are none).
func (m *Metrics) sphere(rows, positives []float32, n, d int) {
	if positives != nil {
		m.Alignment = kernel.Alignment(rows, positives, n, d)
	}
	m.Uniformity, m.EmbeddingStd, m.spreadDim = kernel.Uniformity(rows, n, d, 2), kernel.EmbeddingStd(rows, n, d), d
}

// unit returns rows as [N,D] of unit length.
func unit(r encoder.Rows) []float32 {
	out := make([]float32, 0, r.N*r.D)
	for i := range r.N {
		sum := 0.0
		for _, v := range r.Row(i) {
			sum += float64(v) * float64(v)
		}
		inv := 1 / max(math.Sqrt(sum), 1e-12)
		for _, v := range r.Row(i) {
			out = append(out, float32(float64(v)*inv))
		}
	}
	return out
}

// meanLoss is the loss of the step: the sum of its objectives.
func (c *cpu) meanLoss() float64 {
	sum := 0.0
	for _, l := range c.losses {
		sum += l.value()
	}
	return sum
}

// accuracy is the share of positives above all their negatives.
func (c *cpu) accuracy() float64 {
	sum, n := 0.0, 0
	for _, l := range c.losses {
		if l.acc1 != nil {
			sum += l.acc1()
			n++
		}
	}
	return sum / max(float64(n), 1)
}

// measure returns the metrics of the step that the losses tell, of several
// contrasts the mean.
func (c *cpu) measure() Metrics {
	var m Metrics
	n := 0
	var counts [optionals]int
	for _, l := range c.losses {
		if l.spread != nil {
			l.spread(&m)
		}
		if l.places != nil {
			l.places(&m)
		}
		if l.report == nil {
			continue
		}
		var part Metrics
		l.report(&part)
		n++
		m.MIBound += part.MIBound
		m.Acc1 += part.Acc1
		m.Temperature = part.Temperature
		m.Masked += part.Masked
		m.maskedRows += part.maskedRows
		m.QueueFilled = part.QueueFilled
		for i, v := range part.optional() {
			if *v == nil {
				continue
			}
			if sum := m.optional()[i]; *sum == nil {
				*sum = *v
			} else {
				**sum += **v
			}
			counts[i]++
		}
	}
	for _, v := range []*float64{&m.MIBound, &m.Acc1, &m.Masked, &m.maskedRows} {
		*v /= max(float64(n), 1)
	}
	for i, v := range m.optional() {
		if *v != nil {
			**v /= float64(counts[i])
		}
	}
	return m
}

// optionals is the number of figures that not every objective has.
const optionals = 7

// optional returns their places.
func (m *Metrics) optional() [optionals]**float64 {
	return [optionals]**float64{&m.Acc5, &m.Entropy, &m.DV, &m.NWJ, &m.TUBA, &m.Interpolated, &m.JSD}
}

// ranks sets what InfoNCE counts and sums up of its candidates.
func (m *Metrics) ranks(args *kernel.InfoNCEArgs) {
	m.Entropy, m.Acc1, m.Acc5 = known(mean(args.Entropy)), shareBelow(args.Above, 1), known(shareBelow(args.Above, 5))
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
		ownKeys  = 1.5 // of a query's sample in the queue: more in the mean, and it is longer than the data set
	)
	var out []string
	dim := m.spreadDim
	if dim == 0 {
		dim = cfg.Dim
	}
	healthy := 1 / math.Sqrt(float64(dim))
	if g.flat.due(m.Step > settled && m.EmbeddingStd < healthy/10, patience) {
		out = append(out, fmt.Sprintf("the embeddings collapse: all images get nearly the same one (spread %.4f, healthy is about %.4f). Lower --lr, raise --momentum towards 0.99, or check that the images differ", m.EmbeddingStd, healthy))
	}
	if g.easy.due(m.Step > settled && m.Acc1 > 0.995 && m.QueueFilled > 1000, patience) {
		out = append(out, fmt.Sprintf("the contrast is too easy: %.1f %% of the positives win against %d negatives. The views may be too alike (a stronger --policy) or batch statistics may leak (--split-bn)", 100*m.Acc1, m.QueueFilled))
	}
	if g.masked.due(m.maskedRows > ownKeys, 1) {
		out = append(out, fmt.Sprintf("the queue holds %.1f keys of a query's own sample, which are masked: the data set is small for --queue %d, and the negatives of a query are few samples many times", m.maskedRows, cfg.Queue))
	}
	return out
}
