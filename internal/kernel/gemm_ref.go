package kernel

// gemmRef returns op(a)*op(b) [M,N] without gaps, in float64, for a and b in
// memory as the shape says.
func gemmRef(s GemmShape, a, b []float64) []float64 {
	s = s.withDefaults()
	c := make([]float64, s.M*s.N)
	for m := range s.M {
		for n := range s.N {
			for k := range s.K {
				i, j := m*s.LDA+k, k*s.LDB+n
				if s.TransA {
					i = k*s.LDA + m
				}
				if s.TransB {
					j = n*s.LDB + k
				}
				c[m*s.N+n] += a[i] * b[j]
			}
		}
	}
	return c
}
