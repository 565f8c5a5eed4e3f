package kernel

import "math"

var vectorGeneric = vectorKernels{
	add:          addF32Generic,
	relu:         reluF32Generic,
	reluBackward: reluBackwardF32Generic,
	sgd:          sgdF32Generic,
	adam:         adamF32Generic,
	ema:          emaF32Generic,
	triad:        triadF32Generic,
}

func addF32Generic(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += v
	}
}

func reluF32Generic(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		if v < 0 { // false for NaN, which must stay visible
			v = 0
		}
		y[i] = v
	}
}

func reluBackwardF32Generic(dx, dy, y []float32) {
	dy, y = dy[:len(dx)], y[:len(dx)]
	for i, v := range dy {
		if y[i] <= 0 {
			v = 0
		}
		dx[i] = v
	}
}

func sgdF32Generic(p, g, buf []float32, decay, keep, take, rate, grad, step float32) {
	g, buf = g[:len(p)], buf[:len(p)]
	for i, w := range p {
		d := g[i] + decay*w
		b := keep*buf[i] + take*d
		buf[i] = b
		p[i] = w - rate*(grad*d+step*b)
	}
}

func adamF32Generic(p, g, m, v []float32, shrink, decay, keep1, take1, keep2, take2, rate, eps float32) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i, w := range p {
		w *= shrink
		d := g[i] + decay*w
		m[i] = keep1*m[i] + take1*d
		v[i] = keep2*v[i] + take2*d*d
		p[i] = w - rate*m[i]/(float32(math.Sqrt(float64(v[i])))+eps)
	}
}

func emaF32Generic(k, q []float32, momentum, rest float32) {
	q = q[:len(k)]
	for i, v := range q {
		k[i] = momentum*k[i] + rest*v
	}
}

func triadF32Generic(a, b, c []float32, factor float32) {
	b, c = b[:len(a)], c[:len(a)]
	for i := range a {
		a[i] = b[i] + factor*c[i]
	}
}
