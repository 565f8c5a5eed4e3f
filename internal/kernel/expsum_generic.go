package kernel

import "math"

func expSumF32Generic(s, stats []float32, width int, scale float32) {
	positive, shift := stats[:width], stats[width:2*width]
	sum, weighted, above := stats[2*width:3*width], stats[3*width:4*width], stats[4*width:5*width]
	for lo := 0; lo+width <= len(s); lo += width {
		row := s[lo : lo+width]
		for q, v := range row {
			if v > positive[q] {
				above[q]++
			}
			x := scale*v - shift[q]
			if x < expMin {
				x = expMin
			}
			e := expF32Generic(x)
			row[q] = e
			sum[q] += e
			weighted[q] += e * x
		}
	}
}

// expF32Generic is exp(x) for x from expMin on; see the constants. The
// conversions keep products and sums apart on every architecture.
func expF32Generic(x float32) float32 {
	if x > expMax {
		x = expMax
	}
	n := float32(float32(x*expLog2E)+expRound) - expRound
	r := float32(x - float32(n*expLn2Hi))
	r -= float32(n * expLn2Lo)
	p := float32(expC4*r) + expC3
	p = float32(p*r) + expC2
	p = float32(p*r) + expC1
	p = float32(p*r) + expC0
	p = float32(p*float32(r*r)) + r
	e := p + 1
	if x < expZero {
		return 0
	}
	if x != x {
		return x
	}
	return math.Float32frombits(math.Float32bits(e) + uint32(int32(n))<<23)
}
