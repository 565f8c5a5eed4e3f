package augment

import (
	"fmt"
	"math"
)

// elasticTransform moves every pixel by a smooth random displacement: noise
// uniform in [-1,1), smoothed by a Gaussian of sigma pixels, times alpha/2
// pixels. Source: torchvision ElasticTransform, which works in float32; so does
// this, but a byte may differ by one where the sum lies near a half.
type elasticTransform struct {
	alpha [2]float64 // of the displacement to the right and down
	sigma float64    // 0: the noise as it is
	affineSampling
}

func parseElasticTransform(a *arguments) operator {
	op := &elasticTransform{}
	alpha := a.numbers("alpha", []float64{50, 50}, interval{lo: 0, hi: maxFactor}, 2)
	op.alpha = [2]float64{alpha[0], alpha[1]}
	op.sigma = a.number("sigma", 5, interval{lo: 0, hi: maxSigma})
	op.bilinear = a.choice("interpolation", "bilinear", "nearest", "bilinear") == "bilinear"
	op.fill = a.color("fill")
	return op
}

func (op *elasticTransform) apply(im raster, s *Scratch) (raster, error) {
	// The field has more bytes a pixel than the picture.
	if im.w*im.h > maxPixels/8 {
		return raster{}, fmt.Errorf("got a picture of %dx%d pixels, want at most %d", im.w, im.h, maxPixels/8)
	}
	n := im.w * im.h
	fields := grow(&s.field, 2*n)
	for axis, field := range [...][]float32{fields[:n], fields[n:]} {
		for i := range field {
			field[i] = float32(s.draw.Float64())*2 - 1
		}
		s.smooth(field, im.w, im.h, op.sigma)
		side := [...]int{im.w, im.h}[axis]
		for i, v := range field {
			field[i] = float32(v*float32(op.alpha[axis])) / float32(side)
		}
	}
	return s.displace(im, fields[:n], fields[n:], op.affineSampling), nil
}

// smooth convolves a field of h rows of w numbers with a Gaussian along both
// axes, mirrored at its edges as often as it takes: torchvision refuses fields
// smaller than half the kernel.
func (s *Scratch) smooth(field []float32, w, h int, sigma float64) {
	if sigma == 0 {
		return
	}
	half := gaussianKernel(&s.kernel, int(8*sigma+1)|1, float32(sigma))
	margin := len(half) - 1
	line := grow(&s.floats, max(w+2*margin, w*h))
	for y := range h {
		row := field[y*w : (y+1)*w]
		padded := line[:w+2*margin]
		copy(padded[margin:], row)
		for i := range margin {
			padded[i] = row[reflect(i-margin, w)]
			padded[margin+w+i] = row[reflect(w+i, w)]
		}
		setScaled(row, padded[margin:], half[0])
		for k, weight := range half[1:] {
			addScaled(row, padded[margin-k-1:], padded[margin+k+1:], weight)
		}
	}
	copy(line, field)
	at := func(y int) []float32 { y = reflect(y, h); return line[y*w : (y+1)*w] }
	for y := range h {
		row := field[y*w : (y+1)*w]
		setScaled(row, at(y), half[0])
		for k, weight := range half[1:] {
			addScaled(row, at(y-k-1), at(y+k+1), weight)
		}
	}
}

// displace takes every pixel from the place that lies dx to the right and dy
// down, both as shares of half a side: torchvision's displacement. What of a
// pixel's four neighbours lies outside counts as black, and fill shines through
// as far as they do; so torchvision darkens edges twice.
func (s *Scratch) displace(im raster, dx, dy []float32, how affineSampling) raster {
	out := s.fresh(im, im.w, im.h)
	halfW, halfH := float32(im.w)/2, float32(im.h)/2
	for v := range im.h {
		dst := out.row(v)
		y0 := identity(v, im.h)
		for u := range im.w {
			i := v*im.w + u
			x := float32((identity(u, im.w)+dx[i]+1)*halfW) - 0.5
			y := float32((y0+dy[i]+1)*halfH) - 0.5
			to := dst[3*u:][:3:3]
			// Beyond every neighbour, and not to be converted to int.
			if !(x > -1 && x < float32(im.w) && y > -1 && y < float32(im.h)) {
				to[0], to[1], to[2] = how.fill[0], how.fill[1], how.fill[2]
				continue
			}
			if !how.bilinear {
				put(to, &im, int(math.RoundToEven(float64(x))), int(math.RoundToEven(float64(y))), how.fill)
				continue
			}
			left, top := int(x+1)-1, int(y+1)-1
			fx, fy := x-float32(left), y-float32(top)
			weights := [4]float32{(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy}
			var sum [3]float32
			var inside float32
			for k, weight := range weights {
				px, py := left+k&1, top+k>>1
				if uint(px) >= uint(im.w) || uint(py) >= uint(im.h) {
					continue
				}
				p := im.pix[py*im.stride+3*px:][:3:3]
				inside += weight
				for c := range sum {
					sum[c] += float32(float32(p[c]) * weight)
				}
			}
			for c := range to {
				value := float32(sum[c]*inside) + float32((1-inside)*float32(how.fill[c]))
				to[c] = byte(min(max(math.RoundToEven(float64(value)), 0), 255))
			}
		}
	}
	return out
}

// identity is the place of the middle of pixel i of n between -1 and 1, as
// torch.linspace computes it: from either end.
func identity(i, n int) float32 {
	if n == 1 {
		return 0
	}
	start, end := float32(1-n)/float32(n), float32(n-1)/float32(n)
	step := (end - start) / float32(n-1)
	if i < n/2 {
		return start + float32(step*float32(i))
	}
	return end - float32(step*float32(n-1-i))
}
