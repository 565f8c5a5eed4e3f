package bounds

import (
	"fmt"
	"math"
)

// Float is the type of scores: float32 in training, float64 in checks.
type Float interface{ float32 | float64 }

// Scores are a critic's values on a batch of K pairs, [K,K] by rows.
type Scores[T Float] struct {
	K int
	F []T
}

// check panics where the lengths do not fit K, or there is no negative.
func (s Scores[T]) check(bound string, least int, grad []T) {
	if s.K < least || len(s.F) != s.K*s.K || grad != nil && len(grad) != len(s.F) {
		panic(fmt.Sprintf("bounds: %s: got %d scores and %d gradients of K=%d pairs, want K*K and K of at least %d", bound, len(s.F), len(grad), s.K, least))
	}
}

func (s Scores[T]) row(i int) []T { return s.F[i*s.K : (i+1)*s.K] }

// negatives is n, the number of pairs off the diagonal.
func (s Scores[T]) negatives() float64 { return float64(s.K) * float64(s.K-1) }

// NCE returns InfoNCE (van den Oord et al. 2018) and sets grad [K,K], unless it
// is nil, to its gradient:
//
//	I = log K + mean_i (f_ii - log Σ_j e^f_ij)     dI/df_ij = ([i=j] - P_ij)/K
//
// with P the softmax of a row. It is at most log K.
func (s Scores[T]) NCE(grad []T) float64 {
	s.check("NCE", 1, grad)
	sum, k := 0.0, float64(s.K)
	for i := range s.K {
		row := s.row(i)
		lse := logSum(row, -1)
		sum += float64(row[i]) - lse
		if grad != nil {
			for j, f := range row {
				grad[i*s.K+j] = T(-math.Exp(float64(f)-lse) / k)
			}
			grad[i*s.K+i] += T(1 / k)
		}
	}
	return math.Log(k) + sum/k
}

// NWJ returns the bound of Nguyen, Wainwright and Jordan (2010) and sets grad
// [K,K], unless it is nil:
//
//	I = mean_i f_ii - mean_{i≠j} e^(f_ij - 1)
//
// It is TUBA with the baseline 1; the best critic is 1 + the log density ratio.
func (s Scores[T]) NWJ(grad []T) float64 {
	s.check("NWJ", 2, grad)
	return s.tuba(func(int) float64 { return 1 }, grad, nil)
}

// TUBA returns the tractable unnormalised bound of Barber and Agakov's form
// with the log baselines b [K], one for every row, nil for 0; and sets grad
// [K,K] and gradB [K], unless they are nil:
//
//	I = 1 + mean_i (f_ii - b_i) - mean_{i≠j} e^(f_ij - b_i)
func (s Scores[T]) TUBA(b, grad, gradB []T) float64 {
	s.check("TUBA", 2, grad)
	s.checkBaseline("TUBA", b, gradB)
	return s.tuba(baseline(b), grad, gradB)
}

func (s Scores[T]) checkBaseline(bound string, b, gradB []T) {
	if b != nil && len(b) != s.K || gradB != nil && len(gradB) != s.K {
		panic(fmt.Sprintf("bounds: %s: got %d baselines and %d gradients of them, want %d", bound, len(b), len(gradB), s.K))
	}
}

// baseline returns b by rows, 0 if it is nil.
func baseline[T Float](b []T) func(int) float64 {
	if b == nil {
		return func(int) float64 { return 0 }
	}
	return func(i int) float64 { return float64(b[i]) }
}

func (s Scores[T]) tuba(b func(int) float64, grad, gradB []T) float64 {
	joint, marginal, k, n := 0.0, 0.0, float64(s.K), s.negatives()
	for i := range s.K {
		sum := 0.0
		for j, f := range s.row(i) {
			e := 0.0
			if j != i {
				e = math.Exp(float64(f) - b(i))
			}
			sum += e
			if grad != nil {
				grad[i*s.K+j] = T(-e / n)
			}
		}
		joint += float64(s.row(i)[i]) - b(i)
		marginal += sum
		if grad != nil {
			grad[i*s.K+i] = T(1 / k)
		}
		if gradB != nil {
			gradB[i] = T(sum/n - 1/k)
		}
	}
	return 1 + joint/k - marginal/n
}

// DV returns the estimate of Donsker and Varadhan (1983) and sets grad [K,K],
// unless it is nil:
//
//	I = mean_i f_ii - log mean_{i≠j} e^f_ij
//
// The logarithm of a batch's mean makes the estimate too high and its gradient
// biased; DVAverage mends the latter.
func (s Scores[T]) DV(grad []T) float64 {
	return s.dv(grad, func(logMean float64) float64 { return logMean })
}

// A DVAverage is the moving average of mean e^f over batches by which the
// gradient of DV is divided in place of the batch's own mean (Belghazi et al.
// 2018, section 3.2). The zero value starts at the first batch with Rate 0.01.
type DVAverage struct {
	Rate    float64 // weight of a new batch; 0: 0.01
	Log     float64 // of the average
	Started bool    // Log holds one
}

// update takes in a batch and returns the logarithm of the average.
func (a *DVAverage) update(logMean float64) float64 {
	rate := a.Rate
	if rate == 0 {
		rate = 0.01
	}
	if !a.Started {
		a.Log, a.Started = logMean, true
		return a.Log
	}
	a.Log = logAdd(math.Log1p(-rate)+a.Log, math.Log(rate)+logMean)
	return a.Log
}

// DVCorrected is DV with the gradient of the moving average, which it updates.
func DVCorrected[T Float](s Scores[T], average *DVAverage, grad []T) float64 {
	return s.dv(grad, average.update)
}

// dv divides the gradient by e^divisor(log mean e^f).
func (s Scores[T]) dv(grad []T, divisor func(float64) float64) float64 {
	s.check("DV", 2, grad)
	joint, k, n := 0.0, float64(s.K), s.negatives()
	top := math.Inf(-1)
	for i := range s.K {
		row := s.row(i)
		joint += float64(row[i])
		for j, f := range row {
			if j != i {
				top = max(top, float64(f))
			}
		}
	}
	sum := 0.0
	for i := range s.K {
		for j, f := range s.row(i) {
			if j != i {
				sum += math.Exp(float64(f) - top)
			}
		}
	}
	logMean := top + math.Log(sum/n)
	by := divisor(logMean)
	if grad != nil {
		for i := range s.K {
			for j, f := range s.row(i) {
				grad[i*s.K+j] = T(-math.Exp(float64(f)-by) / n)
			}
			grad[i*s.K+i] = T(1 / k)
		}
	}
	return joint/k - logMean
}

// JSD returns the Jensen-Shannon objective (Nowozin et al. 2016; Hjelm et al.
// 2019) and sets grad [K,K], unless it is nil:
//
//	J = mean_i -sp(-f_ii) - mean_{i≠j} sp(f_ij)      sp(x) = log(1 + e^x)
//
// J says nothing about the size of the information. Its best critic is the log
// density ratio, so TUBA(nil, nil, nil) of the same scores does.
func (s Scores[T]) JSD(grad []T) float64 {
	s.check("JSD", 2, grad)
	joint, marginal, k, n := 0.0, 0.0, float64(s.K), s.negatives()
	for i := range s.K {
		for j, v := range s.row(i) {
			f := float64(v)
			g := 0.0
			if i == j {
				joint -= softplus(-f)
				g = sigmoid(-f) / k
			} else {
				marginal += softplus(f)
				g = -sigmoid(f) / n
			}
			if grad != nil {
				grad[i*s.K+j] = T(g)
			}
		}
	}
	return joint/k - marginal/n
}

// OwnBaseline returns TUBA with the baseline of each query that fits the batch
// best, b_i = log mean_{j≠i} e^f_ij, at which the last term is 1:
//
//	I = mean_i (f_ii - log mean_{j≠i} e^f_ij)
//
// Like DV it is too high on a batch, whose scores its baselines have seen.
func (s Scores[T]) OwnBaseline() float64 {
	s.check("TUBA", 2, nil)
	sum := 0.0
	for i := range s.K {
		row := s.row(i)
		sum += float64(row[i]) - logSum(row, i)
	}
	return sum/float64(s.K) + math.Log(float64(s.K-1))
}

// FromNCE are bounds on the scores behind InfoNCE losses.
type FromNCE struct{ DV, NWJ, TUBA float64 } // TUBA: OwnBaseline

// OfNCE returns bounds on the scores behind InfoNCE losses: of each query score
// is its positive's and loss is log Σ_j e^s_j - score, over the positive and the
// query's negatives, of which there are so many in all, each query having as
// many. It needs no score twice:
//
//	Σ_negatives e^s_j = e^score·(e^loss - 1)
//
// Unlike NCE they are not bounded by log K.
func OfNCE[T Float](score, loss []T, negatives int) FromNCE {
	if len(score) != len(loss) || len(loss) == 0 || negatives < 1 {
		panic(fmt.Sprintf("bounds: OfNCE: got %d scores, %d losses and %d negatives, want as many and at least one", len(score), len(loss), negatives))
	}
	joint, own, largest, n := 0.0, 0.0, math.Inf(-1), float64(len(loss))
	above := func(i int) float64 { // log Σ of a query's negatives, less its score
		l := float64(loss[i])
		if l > 30 { // e^-30 is nothing beside 1
			return l
		}
		return math.Log(math.Expm1(l))
	}
	for i := range loss {
		joint += float64(score[i]) / n
		own -= above(i) / n
		largest = max(largest, float64(score[i])+above(i))
	}
	if math.IsInf(largest, -1) { // no negative counts at all
		return FromNCE{math.Inf(1), joint, math.Inf(1)}
	}
	sum := 0.0
	for i := range loss {
		sum += math.Exp(float64(score[i]) + above(i) - largest)
	}
	logMean := largest + math.Log(sum/float64(negatives))
	return FromNCE{DV: joint - logMean, NWJ: joint - math.Exp(logMean-1), TUBA: own + math.Log(float64(negatives)/n)}
}
