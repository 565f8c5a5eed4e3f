package kernel

// expSumKernel turns a tile of scores s [rows][width] into the terms of a
// softmax, in place, and sums every column over the rows:
//
//	x = max(scale·s - shift, expMin)   s = exp(x)
//	sum += exp(x)   weighted += x·exp(x)   above += [s > positive]
//
// stats holds five rows of width floats: positive, shift, sum, weighted and
// above. width is a multiple of 16. Scores of -Inf are excluded: they add
// nothing. NaN stays NaN.
//
// exp is within 2 units in the last place of the true value; below -87.3,
// where float32 loses its normal numbers, it is 0, and x is at most 88.3.
type expSumKernel func(s, stats []float32, width int, scale float32)

// The exponential: x = n·ln2 + r with |r| <= ln2/2, exp(x) = 2^n·exp(r), and
// exp(r) = 1 + r + r²·(c0 + c1·r + ... + c4·r⁴). The coefficients minimise the
// largest relative error (iteratively reweighted least squares on Chebyshev
// nodes), 3.6e-9 after rounding to float32.
const (
	expC0 = 0.4999999403953552
	expC1 = 0.1666652113199234
	expC2 = 0.04166838899254799
	expC3 = 0.00836874544620514
	expC4 = 0.001381453825160861

	expLog2E = 1.4426950216293335
	expLn2Hi = 0.693145751953125 // 12 low bits zero: n·hi is exact
	expLn2Lo = 1.428606765330187e-06

	expMin  = -104 // keeps x·exp(x) finite
	expMax  = 88.3
	expZero = -87.3 // exp is 0 below

	expRound = 3 << 22 // adding it rounds a small float32 to an integer
)
