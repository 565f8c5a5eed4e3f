package kernel

import "math"

// Measures of how N embeddings of D dimensions, rows of unit length, lie on
// the sphere (Wang and Isola, "Understanding Contrastive Representation
// Learning through Alignment and Uniformity", 2020). They are for logging: on
// the calling goroutine, in float64.

// Alignment is the mean squared distance of the pairs (x_i, y_i), for x and y
// [N,D]: 0 where views agree, 2 where they are unrelated.
func Alignment(x, y []float32, n, d int) float64 {
	checkLen("alignment", [2]int{n, d}, "x", len(x), n*d)
	checkLen("alignment", [2]int{n, d}, "y", len(y), n*d)
	var sum float64
	for i, v := range x[:n*d] {
		diff := float64(v) - float64(y[i])
		sum += diff * diff
	}
	return sum / float64(n)
}

// Uniformity is log mean exp(-t·|x_i-x_j|²) over the pairs i < j of x [N,D]
// (equation 2; t is 2 there). It is 0 where all rows are equal, near -4 for a
// uniform spread in many dimensions at t = 2, and 0 for fewer than two rows.
func Uniformity(x []float32, n, d int, t float64) float64 {
	checkLen("uniformity", [2]int{n, d}, "x", len(x), n*d)
	if n < 2 {
		return 0
	}
	var sum float64
	for i := range n {
		row := x[i*d : (i+1)*d]
		for j := range i {
			sum += math.Exp(-2 * t * (1 - dotF64(row, x[j*d:(j+1)*d])))
		}
	}
	return math.Log(sum / (float64(n) * float64(n-1) / 2))
}

// dotF64 is the dot product of a and b, of one length, in float64.
func dotF64(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64 // four chains of additions instead of one
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// EmbeddingStd is the mean over the dimensions of the standard deviation
// (with n-1) over the rows of x [N,D]: about 1/√D for a healthy encoder, 0 for
// one that has collapsed or for fewer than two rows.
func EmbeddingStd(x []float32, n, d int) float64 {
	checkLen("embedding std", [2]int{n, d}, "x", len(x), n*d)
	if n < 2 {
		return 0
	}
	var total float64
	for j := range d {
		var mean, m2 float64
		for i := range n {
			v := float64(x[i*d+j])
			delta := v - mean
			mean += delta / float64(i+1)
			m2 += delta * (v - mean)
		}
		total += math.Sqrt(m2 / float64(n-1))
	}
	return total / float64(d)
}
