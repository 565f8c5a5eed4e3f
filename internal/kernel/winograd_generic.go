package kernel

// The matrices of Winograd's minimal filtering for the interpolation points
// 0, 1, -1, 2, -2, infinity (F4) and 0, 1, -1, infinity (F2), from Lavin and
// Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), 4.1, 4.3.
var (
	inputF4 = [][]float64{
		{4, 0, -5, 0, 1, 0},
		{0, -4, -4, 1, 1, 0},
		{0, 4, -4, -1, 1, 0},
		{0, -2, -1, 2, 1, 0},
		{0, 2, -1, -2, 1, 0},
		{0, 4, 0, -5, 0, 1},
	}
	outputF4 = [][]float64{
		{1, 1, 1, 1, 1, 0},
		{0, 1, -1, 2, -2, 0},
		{0, 1, 1, 4, 4, 0},
		{0, 1, -1, 8, -8, 1},
	}
	weightF4 = [][]float64{
		{1. / 4, 0, 0},
		{-1. / 6, -1. / 6, -1. / 6},
		{-1. / 6, 1. / 6, -1. / 6},
		{1. / 24, 1. / 12, 1. / 6},
		{1. / 24, -1. / 12, 1. / 6},
		{0, 0, 1},
	}
	inputF2 = [][]float64{
		{1, 0, -1, 0},
		{0, 1, 1, 0},
		{0, -1, 1, 0},
		{0, 1, 0, -1},
	}
	outputF2 = [][]float64{
		{1, 1, 1, 0},
		{0, 1, -1, -1},
	}
	weightF2 = [][]float64{
		{1, 0, 0},
		{1. / 2, 1. / 2, 1. / 2},
		{1. / 2, -1. / 2, 1. / 2},
		{0, 0, 1},
	}
)

var (
	winogradF4Generic = newWinogradGeneric(4, inputF4, outputF4, weightF4)
	winogradF2Generic = newWinogradGeneric(2, inputF2, outputF2, weightF2)
)

func newWinogradGeneric(size int, input, output, weight [][]float64) winogradKernels {
	return winogradKernels{
		size:           size,
		input:          winogradGeneric(input),
		output:         winogradGeneric(output),
		gradient:       winogradGeneric(transpose(output)),
		weight:         winogradGeneric(weight),
		weightGradient: winogradGeneric(transpose(weight)),
	}
}

func transpose(m [][]float64) [][]float64 {
	t := make([][]float64, len(m[0]))
	for j := range t {
		for _, row := range m {
			t[j] = append(t[j], row[j])
		}
	}
	return t
}

// A term is an entry of a transform that is not zero.
type term struct {
	column int
	factor float32
}

// winogradGeneric returns the kernel of the transform m.
func winogradGeneric(m [][]float64) winogradKernel {
	rows, columns := len(m), len(m[0])
	terms := make([][]term, rows)
	for i, row := range m {
		for j, v := range row {
			if v != 0 {
				terms[i] = append(terms[i], term{j, float32(v)})
			}
		}
	}
	return func(dst []float32, dstOff []int, src []float32, srcOff []int, n int, accumulate bool, tmp []float32) {
		for c := 0; c < n*lanes; c += lanes {
			for j := range columns {
				for i, row := range terms {
					var sum [lanes]float32
					for _, t := range row {
						axpy(&sum, t.factor, (*[lanes]float32)(src[srcOff[t.column*columns+j]+c:]))
					}
					*(*[lanes]float32)(tmp[(i*columns+j)*lanes:]) = sum
				}
			}
			for i := range rows {
				for j, row := range terms {
					out := (*[lanes]float32)(dst[dstOff[i*rows+j]+c:])
					var sum [lanes]float32
					if accumulate {
						sum = *out
					}
					for _, t := range row {
						axpy(&sum, t.factor, (*[lanes]float32)(tmp[(i*columns+t.column)*lanes:]))
					}
					*out = sum
				}
			}
		}
	}
}

// axpy adds x times v to sum.
func axpy(sum *[lanes]float32, x float32, v *[lanes]float32) {
	for j := range sum {
		sum[j] += x * v[j]
	}
}
