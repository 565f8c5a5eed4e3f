package kernel

var rowsGeneric = rowKernels{
	sum:      rowSumF32Generic,
	squares:  rowSquaresF32Generic,
	apply:    rowApplyF32Generic,
	reduce:   rowReduceF32Generic,
	backward: rowBackwardF32Generic,
}

func rowSumF32Generic(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0])
		s1 += float64(x[1])
		s2 += float64(x[2])
		s3 += float64(x[3])
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return s0 + s1 + (s2 + s3)
}

func rowSquaresF32Generic(x []float32, mean float64) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		d0, d1, d2, d3 := float64(x[0])-mean, float64(x[1])-mean, float64(x[2])-mean, float64(x[3])-mean
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for _, v := range x {
		s0 += (float64(v) - mean) * (float64(v) - mean)
	}
	return s0 + s1 + (s2 + s3)
}

func rowApplyF32Generic(y, x, gamma, beta []float32, mean, inv float64) {
	x, gamma, beta = x[:len(y)], gamma[:len(y)], beta[:len(y)]
	for c, v := range x {
		y[c] = float32((float64(v)-mean)*inv*float64(gamma[c]) + float64(beta[c]))
	}
}

func rowReduceF32Generic(dgamma, dbeta, dy, x, gamma []float32, mean, inv float64) (sum, dot float64) {
	n := len(dgamma)
	dbeta, dy, x, gamma = dbeta[:n], dy[:n], x[:n], gamma[:n]
	for c, g := range dy {
		xh := (float64(x[c]) - mean) * inv
		dbeta[c] += g
		dgamma[c] += float32(float64(g) * xh)
		scaled := float64(gamma[c]) * float64(g)
		sum += scaled
		dot += scaled * xh
	}
	return sum, dot
}

func rowBackwardF32Generic(dx, dy, x, gamma []float32, mean, a, b, c float64, add bool) {
	dy, x, gamma = dy[:len(dx)], x[:len(dx)], gamma[:len(dx)]
	for i, g := range dy {
		v := float32(a*(float64(gamma[i])*float64(g)) + (b*(float64(x[i])-mean) + c))
		if add {
			v += dx[i]
		}
		dx[i] = v
	}
}
