package contrast

import (
	"math"
	"slices"

	"clpipe/contrast/bounds"
	"clpipe/internal/kernel"
)

// Estimates are bounds on the information between anchor and positive, in nats,
// on the scores of the loss as they are (Poole et al. 2019; package bounds). Those
// that an objective does not define are nil. Only the one that is trained is
// tight: NWJ asks for scores with the right mean, which InfoNCE does not teach,
// and is far below the others on its critics.
type Estimates struct {
	// DV is Donsker and Varadhan's: not bounded by the logarithm of the
	// candidates, but too high on a batch.
	DV  *float64 `json:"dv_nats,omitempty"`
	NWJ *float64 `json:"nwj_nats,omitempty"`
	// TUBA has as baseline of a query the mean of e^score of its negatives, or the
	// one that is trained.
	TUBA *float64 `json:"tuba_nats,omitempty"`
	// Interpolated is I_α with α 0.01 and the mean of e^score as baseline, or what
	// is trained: of batches that are their own negatives.
	Interpolated *float64 `json:"ialpha_nats,omitempty"`
	// JSD is the Jensen-Shannon objective plus 2·log 2, at most that much: a lower
	// bound on twice the divergence of joint and product, no information.
	JSD *float64 `json:"jsd_nats,omitempty"`
}

// known returns a pointer to a number that a float holds, else nil.
func known(v float64) *float64 {
	if v-v != 0 {
		return nil
	}
	return &v
}

// ofNCE sets what the scores and losses of InfoNCE tell, of queries with so many
// negatives in all.
func (e *Estimates) ofNCE(args *kernel.InfoNCEArgs, negatives int) {
	if negatives < 1 {
		return
	}
	of := bounds.OfNCE(args.Score, args.Loss, negatives)
	e.DV, e.NWJ, e.TUBA = known(of.DV), known(of.NWJ), known(of.TUBA)
}

// ofLoss sets the estimate whose negative the loss of an estimator is.
func (e *Estimates) ofLoss(by Estimator, loss float64) {
	switch by {
	case JSD:
		e.JSD = known(-loss)
	case DV:
		e.DV = known(-loss)
	}
}

// ofBatch sets what takes the scores of all pairs of the batch, whose query i
// belongs to key i.
func (e *Estimates) ofBatch(s bounds.Scores[float32]) {
	if s.K < 2 {
		return
	}
	joint := 0.0
	for i := range s.K {
		joint += float64(s.F[i*s.K+i]) / float64(s.K)
	}
	logMean := float32(joint - s.DV(nil)) // of e^f of pairs that do not belong together
	base := slices.Repeat([]float32{logMean}, s.K)
	e.Interpolated = known(s.Interpolated(estimateAlpha, base, nil, nil))
	e.JSD = known(s.JSD(nil) + 2*math.Ln2)
}

// estimateAlpha is α of I_α where it is not trained.
const estimateAlpha = 0.01

// pairScores returns the scores of the first n queries with the n keys from row
// first on, as the loss has them.
func pairScores(args *kernel.InfoNCEArgs, n, first, d int) bounds.Scores[float32] {
	s := bounds.Scores[float32]{K: n, F: make([]float32, n*n)}
	for i := range n {
		q := args.Query[i*d : (i+1)*d]
		for j := range n {
			sum := float32(0)
			for k, v := range args.Keys[(first+j)*d : (first+j+1)*d] {
				sum += q[k] * v
			}
			s.F[i*n+j] = sum / args.Temperature
		}
	}
	return s
}
