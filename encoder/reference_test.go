package encoder_test

import (
	"math"

	"clpipe/encoder"
)

// A reference runs a graph node by node in float64 on NCHW tensors, by loops
// that follow the definitions. It fuses nothing and keeps every value, so it
// shares neither arithmetic nor planning with the package.
type reference struct {
	graph   *encoder.Graph
	batch   int
	groups  int
	place   []int     // of each sample, as for Arena.SetGroups
	vectors []float64 // of a float input
	eval    bool

	params map[string][]float64 // by name, in the layout of Params.State
	grads  map[string][]float64 // likewise
	values []image
	dvals  []image
}

// image is a tensor [n,c,h,w].
type image struct {
	n, c, h, w int
	v          []float64
}

func newImage(n, c, h, w int) image { return image{n, c, h, w, make([]float64, n*c*h*w)} }

func (m image) at(n, c, h, w int) int { return ((n*m.c+c)*m.h+h)*m.w + w }

// forward fills the values and moves the running statistics.
func (r *reference) forward(pixels []byte) {
	r.values, r.dvals = nil, nil
	for v := range len(r.graph.Inputs) + len(r.graph.Nodes) {
		s := r.graph.Shape(encoder.Value(v))
		r.values = append(r.values, newImage(r.batch*s.Per, s.C, s.H, s.W))
		r.dvals = append(r.dvals, newImage(r.batch*s.Per, s.C, s.H, s.W))
	}
	r.grads = map[string][]float64{}
	for name, p := range r.params {
		r.grads[name] = make([]float64, len(p))
	}
	in := r.values[0]
	copy(in.v, r.vectors)
	for i, p := range pixels { // NHWC
		c, w, h, n := i%3, i/3%in.w, i/3/in.w%in.h, i/3/in.w/in.h
		in.v[in.at(n, c, h, w)] = float64(p)
	}
	for i, node := range r.graph.Nodes {
		r.value(node, r.values[len(r.graph.Inputs)+i])
	}
}

// backward takes the gradients of named outputs and fills all others.
func (r *reference) backward(outputs map[string]image) {
	for name, grad := range outputs {
		v, _ := r.graph.Find(name)
		for i, g := range grad.v {
			r.dvals[v].v[i] += g
		}
	}
	for i := len(r.graph.Nodes) - 1; i >= 0; i-- {
		v := len(r.graph.Inputs) + i
		r.gradient(r.graph.Nodes[i], r.values[v], r.dvals[v])
	}
}

// value computes the value y of a node.
func (r *reference) value(node encoder.Node, y image) {
	x := r.values[node.In[0]]
	switch op := node.Op.(type) {
	case encoder.Normalize:
		for i := range y.v {
			c := i / (y.h * y.w) % y.c
			y.v[i] = (x.v[i]/255 - float64(op.Mean[c])) / float64(op.Std[c])
		}
	case encoder.Conv:
		w, bias := r.params[node.Name+".weight"], r.params[node.Name+".bias"]
		products(op.K, width(op), op.Stride, op.Pad, x, y, func(from, tap, to int) { y.v[to] += x.v[from] * w[tap] })
		for i := range y.v {
			if op.Bias {
				y.v[i] += bias[i/(y.h*y.w)%y.c]
			}
		}
	case encoder.Linear:
		w, bias := r.params[node.Name+".weight"], r.params[node.Name+".bias"]
		products(1, 1, 1, 0, x, y, func(from, tap, to int) { y.v[to] += x.v[from] * w[tap] })
		for i := range y.v {
			if op.Bias {
				y.v[i] += bias[i%y.c]
			}
		}
	case encoder.BatchNorm:
		if r.eval {
			r.normalizeByRunning(node.Name, x, y)
		} else {
			r.normalizeByBatch(node, x, y)
		}
	case encoder.GroupNorm, encoder.LayerNorm:
		gamma, beta := r.params[node.Name+".weight"], r.params[node.Name+".bias"]
		together(node.Op, x, func(places, channels []int) {
			mean, variance := moments(x.v, places)
			for i, at := range places {
				y.v[at] = (x.v[at]-mean)/math.Sqrt(variance+normEps)*gamma[channels[i]] + beta[channels[i]]
			}
		})
	case encoder.ReLU:
		for i := range y.v {
			y.v[i] = max(x.v[i], 0)
		}
	case encoder.Sigmoid:
		for i, v := range x.v {
			y.v[i] = 1 / (1 + math.Exp(-v))
		}
	case encoder.AvgPool:
		means(op, x, y, func(from, to int) { y.v[to] += x.v[from] / float64(op.K*op.K) })
	case encoder.Pad, encoder.CropRows, encoder.FlipRows, encoder.Transpose, encoder.PadChannels, encoder.Patches:
		moves(op, x, y, func(from, to int) { y.v[to] = x.v[from] })
	case encoder.Twice:
		twice(op, x, y, func(from, to int) { y.v[to] = x.v[from] })
	case encoder.Repeat:
		repeated(x, y, func(from, to int) { y.v[to] = x.v[from] })
	case encoder.PairCells:
		partners(x, func(from, to int) { y.v[to] = x.v[from] })
	case encoder.Concat:
		beside(x, r.values[node.In[1]], y, func(operand image, from, to int) { y.v[to] = operand.v[from] })
	case encoder.Add:
		for i := range y.v {
			y.v[i] = x.v[i] + r.values[node.In[1]].v[i]
		}
	case encoder.MaxPool:
		maxima(op, x, y, func(from, to int) { y.v[to] = x.v[from] })
	case encoder.GlobalAvgPool:
		for i, v := range x.v {
			y.v[i/(x.h*x.w)] += v / float64(x.h*x.w)
		}
	case encoder.L2Normalize:
		for n := range x.n {
			for c := range x.c {
				y.v[n*x.c+c] = x.v[n*x.c+c] / length(x, n)
			}
		}
	case encoder.Unfold:
		patches(op.G, x, y, func(whole, patch int) { y.v[patch] = x.v[whole] })
	case encoder.Fold:
		patches(op.G, y, x, func(whole, patch int) { y.v[whole] = x.v[patch] })
	}
}

// gradient adds what the gradient dy of a node's value y means for its
// operands and parameters.
func (r *reference) gradient(node encoder.Node, y, dy image) {
	x, dx := r.values[node.In[0]], r.dvals[node.In[0]]
	switch op := node.Op.(type) {
	case encoder.Conv:
		r.gradientOfProducts(node.Name, op.K, width(op), op.Stride, op.Pad, x, dx, dy)
		for i, g := range dy.v {
			if op.Bias {
				r.grads[node.Name+".bias"][i/(y.h*y.w)%y.c] += g
			}
		}
	case encoder.Linear:
		r.gradientOfProducts(node.Name, 1, 1, 1, 0, x, dx, dy)
		for i, g := range dy.v {
			if op.Bias {
				r.grads[node.Name+".bias"][i%y.c] += g
			}
		}
	case encoder.BatchNorm:
		r.gradientOfNorm(node, x, dx, dy)
	case encoder.GroupNorm, encoder.LayerNorm:
		r.gradientOfSampleNorm(node, x, dx, dy)
	case encoder.ReLU:
		for i, g := range dy.v {
			if y.v[i] > 0 {
				dx.v[i] += g
			}
		}
	case encoder.Sigmoid:
		for i, g := range dy.v {
			dx.v[i] += g * y.v[i] * (1 - y.v[i])
		}
	case encoder.AvgPool:
		means(op, x, y, func(from, to int) { dx.v[from] += dy.v[to] / float64(op.K*op.K) })
	case encoder.Pad, encoder.CropRows, encoder.FlipRows, encoder.Transpose, encoder.PadChannels, encoder.Patches:
		moves(op, x, y, func(from, to int) { dx.v[from] += dy.v[to] })
	case encoder.Twice:
		twice(op, x, y, func(from, to int) { dx.v[from] += dy.v[to] })
	case encoder.Repeat:
		repeated(x, y, func(from, to int) { dx.v[from] += dy.v[to] })
	case encoder.PairCells:
		partners(x, func(from, to int) { dx.v[from] += dy.v[to] })
	case encoder.Concat:
		beside(dx, r.dvals[node.In[1]], y, func(operand image, from, to int) { operand.v[from] += dy.v[to] })
	case encoder.Add:
		for i, g := range dy.v {
			dx.v[i] += g
			r.dvals[node.In[1]].v[i] += g
		}
	case encoder.MaxPool:
		maxima(op, x, y, func(from, to int) { dx.v[from] += dy.v[to] })
	case encoder.GlobalAvgPool:
		for i := range dx.v {
			dx.v[i] += dy.v[i/(x.h*x.w)] / float64(x.h*x.w)
		}
	case encoder.L2Normalize:
		for n := range x.n {
			dot := 0.0
			for c := range x.c {
				dot += y.v[n*x.c+c] * dy.v[n*x.c+c]
			}
			for c := range x.c {
				dx.v[n*x.c+c] += (dy.v[n*x.c+c] - y.v[n*x.c+c]*dot) / length(x, n)
			}
		}
	case encoder.Unfold:
		patches(op.G, dx, dy, func(whole, patch int) { dx.v[whole] += dy.v[patch] })
	case encoder.Fold:
		patches(op.G, dy, dx, func(whole, patch int) { dx.v[patch] += dy.v[whole] })
	}
}

// width is that of a convolution's window.
func width(c encoder.Conv) int {
	if c.KW == 0 {
		return c.K
	}
	return c.KW
}

// products calls f for every product of a convolution, with the places of the
// input, the weight [O,C,K,KW] and the output.
func products(k, kw, stride, pad int, x, y image, f func(from, tap, to int)) {
	for n := range y.n {
		for o := range y.c {
			for i := range y.h {
				for j := range y.w {
					for c := range x.c {
						for a := range k {
							for b := range kw {
								h, w := i*stride+a-pad, j*stride+b-pad
								if h >= 0 && h < x.h && w >= 0 && w < x.w {
									f(x.at(n, c, h, w), ((o*x.c+c)*k+a)*kw+b, y.at(n, o, i, j))
								}
							}
						}
					}
				}
			}
		}
	}
}

func (r *reference) gradientOfProducts(name string, k, kw, stride, pad int, x, dx, dy image) {
	w, dw := r.params[name+".weight"], r.grads[name+".weight"]
	products(k, kw, stride, pad, x, dy, func(from, tap, to int) {
		dx.v[from] += dy.v[to] * w[tap]
		dw[tap] += dy.v[to] * x.v[from]
	})
}

// maxima calls f for every window with the places of its first maximum and of
// its result.
func maxima(op encoder.MaxPool, x, y image, f func(from, to int)) {
	for n := range y.n {
		for c := range y.c {
			for i := range y.h {
				for j := range y.w {
					best := -1
					for a := range op.K {
						for b := range op.K {
							h, w := i*op.Stride+a-op.Pad, j*op.Stride+b-op.Pad
							if h < 0 || h >= x.h || w < 0 || w >= x.w {
								continue
							}
							if at := x.at(n, c, h, w); best < 0 || x.v[at] > x.v[best] {
								best = at
							}
						}
					}
					f(best, y.at(n, c, i, j))
				}
			}
		}
	}
}

// means calls f for every pixel of every window with its place and that of
// the window's mean.
func means(op encoder.AvgPool, x, y image, f func(from, to int)) {
	for n := range y.n {
		for c := range y.c {
			for i := range y.h {
				for j := range y.w {
					for a := range op.K {
						for b := range op.K {
							f(x.at(n, c, i*op.Stride+a, j*op.Stride+b), y.at(n, c, i, j))
						}
					}
				}
			}
		}
	}
}

// moves calls f with the places in x and y of every element of y that is one of x.
func moves(op encoder.Op, x, y image, f func(from, to int)) {
	for n := range y.n {
		for c := range min(x.c, y.c) {
			for i := range y.h {
				for j := range y.w {
					from, h, w := n, i, j
					switch op := op.(type) {
					case encoder.Patches:
						cols := (x.w-op.Size)/op.Stride + 1
						patches := y.n / x.n
						from, h, w = n/patches, h+n%patches/cols*op.Stride, w+n%patches%cols*op.Stride
					case encoder.Pad:
						h, w = i-op.Top, j-op.Left
						if op.Reflect {
							h, w = mirrored(h, x.h), mirrored(w, x.w)
						}
					case encoder.CropRows:
						h += op.Top
					case encoder.FlipRows:
						h = x.h - 1 - i
					case encoder.Transpose:
						h, w = j, i
					}
					if h >= 0 && h < x.h && w >= 0 && w < x.w {
						f(x.at(from, c, h, w), y.at(n, c, i, j))
					}
				}
			}
		}
	}
}

// twice calls f with the places in x and y of every element of y.
func twice(op encoder.Twice, x, y image, f func(from, to int)) {
	for n := range y.n {
		from := n / 2
		if op.Next && n%2 == 1 {
			from = (from + 1) % x.n
		}
		for c := range y.c {
			for i := range y.h {
				for j := range y.w {
					f(x.at(from, c, i%x.h, j%x.w), y.at(n, c, i, j))
				}
			}
		}
	}
}

// repeated calls f with the places in x and y of every element of y.
func repeated(x, y image, f func(from, to int)) {
	for n := range y.n {
		for c := range y.c {
			for i := range y.h * y.w {
				f(x.at(n, c, 0, 0), y.at(n, c, i/y.w, i%y.w))
			}
		}
	}
}

// partner is the cell that cell l of sample n is paired with in the tests: a
// permutation that differs from its inverse.
func partner(n, l, cells int) int { return (l + 5 + 3*n) % cells }

// partners calls f with the places of every element and of what it is paired with.
func partners(x image, f func(from, to int)) {
	for n := range x.n {
		for c := range x.c {
			for l := range x.h * x.w {
				p := partner(n, l, x.h*x.w)
				f(x.at(n, c, p/x.w, p%x.w), x.at(n, c, l/x.w, l%x.w))
			}
		}
	}
}

// beside calls f with the operand that an element of y is of, and both places.
func beside(a, b, y image, f func(operand image, from, to int)) {
	for n := range y.n {
		for c := range y.c {
			for i := range y.h {
				for j := range y.w {
					if c < a.c {
						f(a, a.at(n, c, i, j), y.at(n, c, i, j))
					} else {
						f(b, b.at(n, c-a.c, i, j), y.at(n, c, i, j))
					}
				}
			}
		}
	}
}

// mirrored is the place of i on an axis of n pixels that is mirrored at both ends.
func mirrored(i, n int) int {
	if i < 0 {
		return -i
	}
	return min(i, 2*(n-1)-i)
}

// patches calls f for every element of a column of g*g patches: its place in
// the whole, [N,C,g*g*P,Q] or the grid [N,C,g,g], and in its patch, [N*g*g,C,P,Q].
func patches(g int, whole, patch image, f func(whole, patch int)) {
	for m := range patch.n {
		n, cell := m/(g*g), m%(g*g)
		for c := range patch.c {
			for i := range patch.h {
				for j := range patch.w {
					h, w := cell*patch.h+i, j
					if whole.h == g && whole.w == g { // a grid
						h, w = cell/g, cell%g
					}
					f(whole.at(n, c, h, w), patch.at(m, c, i, j))
				}
			}
		}
	}
}

func length(x image, n int) float64 {
	sum := 0.0
	for _, v := range x.v[n*x.c : (n+1)*x.c] {
		sum += v * v
	}
	return max(math.Sqrt(sum), 1e-12)
}

const (
	normEps      = 1e-5
	normMomentum = 0.1
)

func (r *reference) normalizeByRunning(name string, x, y image) {
	gamma, beta := r.params[name+".weight"], r.params[name+".bias"]
	mean, variance := r.params[name+".running_mean"], r.params[name+".running_var"]
	for i, v := range x.v {
		c := i / (x.h * x.w) % x.c
		y.v[i] = (v-mean[c])/math.Sqrt(variance[c]+normEps)*gamma[c] + beta[c]
	}
}

// members returns the places of all values of a channel that are normalised
// together, for every group.
func (r *reference) members(node encoder.Node, x image, c int) [][]int {
	groups := make([][]int, r.groups)
	for m := range x.n {
		n := m / r.graph.Shape(node.In[0]).Per
		if r.place != nil {
			n = r.place[n]
		}
		for i := range x.h * x.w {
			groups[n%r.groups] = append(groups[n%r.groups], x.at(m, c, 0, 0)+i)
		}
	}
	return groups
}

// moments returns mean and biased variance of the values at places.
func moments(v []float64, places []int) (mean, variance float64) {
	for _, at := range places {
		mean += v[at] / float64(len(places))
	}
	for _, at := range places {
		variance += (v[at] - mean) * (v[at] - mean) / float64(len(places))
	}
	return mean, variance
}

func (r *reference) normalizeByBatch(node encoder.Node, x, y image) {
	gamma, beta := r.params[node.Name+".weight"], r.params[node.Name+".bias"]
	runningMean, runningVar := r.params[node.Name+".running_mean"], r.params[node.Name+".running_var"]
	r.params[node.Name+".num_batches_tracked"][0]++
	for c := range x.c {
		var meanSum, varSum float64
		for _, places := range r.members(node, x, c) {
			mean, variance := moments(x.v, places)
			for _, at := range places {
				y.v[at] = (x.v[at]-mean)/math.Sqrt(variance+normEps)*gamma[c] + beta[c]
			}
			n := float64(len(places))
			meanSum += (1-normMomentum)*runningMean[c] + normMomentum*mean
			varSum += (1-normMomentum)*runningVar[c] + normMomentum*variance*n/(n-1)
		}
		runningMean[c], runningVar[c] = meanSum/float64(r.groups), varSum/float64(r.groups)
	}
}

func (r *reference) gradientOfNorm(node encoder.Node, x, dx, dy image) {
	gamma, dgamma, dbeta := r.params[node.Name+".weight"], r.grads[node.Name+".weight"], r.grads[node.Name+".bias"]
	for c := range x.c {
		for _, places := range r.members(node, x, c) {
			mean, variance := moments(x.v, places)
			std := math.Sqrt(variance + normEps)
			var sum, dot float64
			for _, at := range places {
				sum += dy.v[at]
				dot += dy.v[at] * (x.v[at] - mean) / std
			}
			dbeta[c] += sum
			dgamma[c] += dot
			n := float64(len(places))
			for _, at := range places {
				dx.v[at] += gamma[c] / std * (dy.v[at] - sum/n - (x.v[at]-mean)/std*dot/n)
			}
		}
	}
}

// together calls f for every set of values that a normalisation of samples
// takes together, with their places and channels.
func together(op encoder.Op, x image, f func(places, channels []int)) {
	for n := range x.n {
		switch op := op.(type) {
		case encoder.GroupNorm:
			for g := range op.Groups {
				var places, channels []int
				for c := g * x.c / op.Groups; c < (g+1)*x.c/op.Groups; c++ {
					for i := range x.h * x.w {
						places, channels = append(places, x.at(n, c, 0, 0)+i), append(channels, c)
					}
				}
				f(places, channels)
			}
		case encoder.LayerNorm:
			for i := range x.h * x.w {
				var places, channels []int
				for c := range x.c {
					places, channels = append(places, x.at(n, c, 0, 0)+i), append(channels, c)
				}
				f(places, channels)
			}
		}
	}
}

func (r *reference) gradientOfSampleNorm(node encoder.Node, x, dx, dy image) {
	gamma, dgamma, dbeta := r.params[node.Name+".weight"], r.grads[node.Name+".weight"], r.grads[node.Name+".bias"]
	together(node.Op, x, func(places, channels []int) {
		mean, variance := moments(x.v, places)
		std := math.Sqrt(variance + normEps)
		var sum, dot float64
		for i, at := range places {
			g, xh := dy.v[at]*gamma[channels[i]], (x.v[at]-mean)/std
			sum += g
			dot += g * xh
			dbeta[channels[i]] += dy.v[at]
			dgamma[channels[i]] += dy.v[at] * xh
		}
		n := float64(len(places))
		for i, at := range places {
			dx.v[at] += (dy.v[at]*gamma[channels[i]] - sum/n - (x.v[at]-mean)/std*dot/n) / std
		}
	})
}
