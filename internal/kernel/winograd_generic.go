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

// The matrices of stride 2: the first five rows of points are F(4,2) for the
// interpolation points 0, 1, -1, 2, infinity, the others the middle tap.
var (
	inputS2 = [][]float64{
		{2, 0, -1, 0, -2, 0, 1, 0, 0},
		{0, 0, -2, 0, -1, 0, 1, 0, 0},
		{0, 0, 2, 0, -3, 0, 1, 0, 0},
		{0, 0, -1, 0, 0, 0, 1, 0, 0},
		{0, 0, 2, 0, -1, 0, -2, 0, 1},
		{0, 1, 0, 0, 0, 0, 0, 0, 0},
		{0, 0, 0, 1, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 1, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 1, 0},
	}
	outputS2 = [][]float64{
		{1, 1, 1, 1, 0, 1, 0, 0, 0},
		{0, 1, -1, 2, 0, 0, 1, 0, 0},
		{0, 1, 1, 4, 0, 0, 0, 1, 0},
		{0, 1, -1, 8, 1, 0, 0, 0, 1},
	}
	weightS2 = [][]float64{
		{1. / 2, 0, 0},
		{-1. / 2, 0, -1. / 2},
		{-1. / 6, 0, 1. / 6},
		{1. / 6, 0, 1. / 3},
		{0, 0, 1},
		{0, 1, 0},
	}
	inputS2T = [][]float64{
		{2, -1, -2, 1, 0},
		{0, -2, -1, 1, 0},
		{0, 2, -3, 1, 0},
		{0, -1, 0, 1, 0},
		{0, 2, -1, -2, 1},
		{1, 0, 0, 0, 0},
		{0, 1, 0, 0, 0},
		{0, 0, 1, 0, 0},
		{0, 0, 0, 1, 0},
	}
	outputS2T = [][]float64{
		{0, 0, 0, 0, 0, 1, 0, 0, 0},
		{1, 1, 1, 1, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 1, 0, 0},
		{0, 1, -1, 2, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 1, 0},
		{0, 1, 1, 4, 0, 0, 0, 0, 0},
		{0, 0, 0, 0, 0, 0, 0, 0, 1},
		{0, 1, -1, 8, 1, 0, 0, 0, 0},
	}
)

var winogradGeneric = winogradSet{
	f4:  newWinogradGeneric(inputF4, outputF4, weightF4),
	f2:  newWinogradGeneric(inputF2, outputF2, weightF2),
	s2:  newWinogradGeneric(inputS2, outputS2, weightS2),
	s2t: newWinogradGeneric(inputS2T, outputS2T, weightS2),
}

func newWinogradGeneric(input, output, weight [][]float64) winogradKernels {
	return winogradKernels{
		size:           len(output),
		window:         len(input[0]),
		points:         len(input),
		factors:        len(weight),
		prefetch:       func([]float32, []int, int) {},
		input:          transformGeneric(input),
		output:         transformGeneric(output),
		gradient:       transformGeneric(transpose(output)),
		weight:         transformGeneric(weight),
		weightGradient: transformGeneric(transpose(weight)),
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

// transformGeneric returns the kernel of the transform m.
func transformGeneric(m [][]float64) winogradKernel {
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
