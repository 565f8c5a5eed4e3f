package kernel

var columnsGeneric = columnKernels{
	max:          columnMaxF32Generic,
	sum:          columnSumF32Generic,
	moments:      columnMomentsF32Generic,
	normApply:    normApplyF32Generic,
	normReduce:   normReduceF32Generic,
	normBackward: normBackwardF32Generic,
}

func columnMaxF32Generic(top, x []float32) {
	for len(x) >= len(top) {
		for c, v := range x[:len(top)] {
			if v > top[c] {
				top[c] = v
			}
		}
		x = x[len(top):]
	}
}

func columnSumF32Generic(sum, x []float32) {
	cp := len(sum)
	for c := 0; c < cp; c += 4 {
		var a0, a1, a2, a3 float32
		for i := c; i+4 <= len(x); i += cp {
			v := x[i : i+4 : i+4]
			a0 += v[0]
			a1 += v[1]
			a2 += v[2]
			a3 += v[3]
		}
		sum[c], sum[c+1], sum[c+2], sum[c+3] = a0, a1, a2, a3
	}
}

func columnMomentsF32Generic(s1, s2, x, shift []float32) {
	cp := len(shift)
	for c := 0; c < cp; c += 2 {
		m0, m1 := shift[c], shift[c+1]
		var a0, a1, q0, q1 float32
		for i := c; i+2 <= len(x); i += cp {
			d0, d1 := x[i]-m0, x[i+1]-m1
			a0 += d0
			a1 += d1
			q0 += d0 * d0
			q1 += d1 * d1
		}
		s1[c], s1[c+1] = a0, a1
		s2[c], s2[c+1] = q0, q1
	}
}

func normApplyF32Generic(y, x, residual, coef []float32, floor float32) {
	cp := len(coef) / 3
	mean, scale, beta := coef[:cp], coef[cp:2*cp], coef[2*cp:3*cp]
	for lo := 0; lo < len(x); lo += cp {
		xs, ys := x[lo:lo+cp], y[lo:lo+cp]
		if len(residual) == 0 {
			for c := range ys {
				v := (xs[c]-mean[c])*scale[c] + beta[c]
				if v < floor { // false for NaN, which must stay visible
					v = floor
				}
				ys[c] = v
			}
			continue
		}
		rs := residual[lo : lo+cp]
		for c := range ys {
			v := (xs[c]-mean[c])*scale[c] + beta[c] + rs[c]
			if v < floor {
				v = floor
			}
			ys[c] = v
		}
	}
}

func normReduceF32Generic(s1, s2, dy, x, y, mean []float32, floor float32) {
	cp := len(mean)
	for c := 0; c < cp; c += 2 {
		m0, m1 := mean[c], mean[c+1]
		var a0, a1, q0, q1 float32
		for i := c; i+2 <= len(x); i += cp {
			g0, g1 := dy[i], dy[i+1]
			if y[i] <= floor {
				g0 = 0
			}
			if y[i+1] <= floor {
				g1 = 0
			}
			a0 += g0
			a1 += g1
			q0 += g0 * (x[i] - m0)
			q1 += g1 * (x[i+1] - m1)
		}
		s1[c], s1[c+1] = a0, a1
		s2[c], s2[c+1] = q0, q1
	}
}

func normBackwardF32Generic(dx, dres, dy, x, y, coef []float32, floor float32, mode int) {
	cp := len(coef) / 4
	mean, a, b, shift := coef[:cp], coef[cp:2*cp], coef[2*cp:3*cp], coef[3*cp:4*cp]
	for lo := 0; lo < len(x); lo += cp {
		xs, ys, dys, dxs := x[lo:lo+cp], y[lo:lo+cp], dy[lo:lo+cp], dx[lo:lo+cp]
		for c := range xs {
			g := dys[c]
			if ys[c] <= floor {
				g = 0
			}
			v := a[c]*g + (b[c]*(xs[c]-mean[c]) + shift[c])
			if mode&addDXMode != 0 {
				v += dxs[c]
			}
			dxs[c] = v
			if mode&dresMode != 0 {
				if mode&addDResMode != 0 {
					g += dres[lo+c]
				}
				dres[lo+c] = g
			}
		}
	}
}
