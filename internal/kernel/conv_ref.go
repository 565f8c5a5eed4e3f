package kernel

// The references below are convolutions as the textbook has them, in float64
// on unpadded NHWC images and HWIO weights. Tests judge every implementation
// by them.

// convRef returns y [N,OH,OW,O] of x [N,H,W,C] and w [KH,KW,C,O].
func convRef(s ConvShape, x, w []float64) []float64 {
	y := make([]float64, s.N*s.outH()*s.outW()*s.O)
	s.eachProduct(func(in, weight, out int) {
		for c := range s.C {
			for o := range s.O {
				y[out+o] += x[in+c] * w[weight+c*s.O+o]
			}
		}
	})
	return y
}

// convDataRef returns the gradient of x from dy, the gradient of y.
func convDataRef(s ConvShape, dy, w []float64) []float64 {
	dx := make([]float64, s.N*s.H*s.W*s.C)
	s.eachProduct(func(in, weight, out int) {
		for c := range s.C {
			for o := range s.O {
				dx[in+c] += dy[out+o] * w[weight+c*s.O+o]
			}
		}
	})
	return dx
}

// convWeightRef returns the gradient of w from x and dy.
func convWeightRef(s ConvShape, x, dy []float64) []float64 {
	dw := make([]float64, s.KH*s.KW*s.C*s.O)
	s.eachProduct(func(in, weight, out int) {
		for c := range s.C {
			for o := range s.O {
				dw[weight+c*s.O+o] += x[in+c] * dy[out+o]
			}
		}
	})
	return dw
}

// eachProduct calls f for every pair of an output pixel and a tap of its
// window that lies in the image, with the offsets of the input pixel, of the
// tap's [C,O] weights and of the output pixel.
func (s ConvShape) eachProduct(f func(in, weight, out int)) {
	for n := range s.N {
		for oh := range s.outH() {
			for ow := range s.outW() {
				for kh := range s.KH {
					for kw := range s.KW {
						h, w := oh*s.Stride+kh-s.Pad, ow*s.Stride+kw-s.Pad
						if h < 0 || h >= s.H || w < 0 || w >= s.W {
							continue
						}
						f(((n*s.H+h)*s.W+w)*s.C, (kh*s.KW+kw)*s.C*s.O, ((n*s.outH()+oh)*s.outW()+ow)*s.O)
					}
				}
			}
		}
	}
}
