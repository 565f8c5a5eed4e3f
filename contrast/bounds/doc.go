// Package bounds holds the variational lower bounds on mutual information of
// "On Variational Bounds of Mutual Information" (Poole et al. 2019), each as a
// value and its gradient in the critic's scores.
//
// A batch of K pairs gives scores f_ij = f(x_i, y_j): the diagonal are draws of
// the joint distribution, the rest, n = K(K-1) of them, of the product of the
// marginals. A bound is maximised; a critic that is trained to minimise a loss
// takes the negative gradient.
//
//	s := bounds.Scores[float32]{K: 64, F: scores}
//	nats := s.NCE(grad)
//
// Sums are kept in float64, in an order that K alone decides, and exponentials
// are taken after the largest is drawn out, so that scores of any size give what
// the formula gives. NWJ and TUBA, which contain e^f itself, still overflow to
// -Inf where the formula does.
//
// What the bounds promise differs: NCE never passes log K; NWJ and TUBA hold
// for any critic but spread exponentially in the information; DV computed on a
// batch, and JSD, are no bounds of its expectation: JSD is a training signal,
// whose critic is read off by TUBA with no baseline.
package bounds
