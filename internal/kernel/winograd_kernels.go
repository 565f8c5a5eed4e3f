package kernel

// A winogradKernel applies a transform T to both sides of square matrices of
// pixels, 16n channels at a time:
//
//	dst[dstOff[i*r+j] + c] (+)= sum over p, q < s of
//	    T[i][p] * T[j][q] * src[srcOff[p*s+q] + c]
//
// for T of r rows and s columns and c < 16n. Where accumulate is false dst is
// overwritten. tmp holds winogradTmp floats of scratch.
type winogradKernel func(dst []float32, dstOff []int, src []float32, srcOff []int, n int, accumulate bool, tmp []float32)

// winogradTmp is what a transform keeps between its two sides at most, for 9
// rows and columns.
const winogradTmp = 9 * 9 * lanes

// winogradKernels are the transforms of an algorithm for 3x3 filters: in the
// notation of Lavin and Gray (2016), Y = A^T[(G w G^T) . (B^T d B)]A.
type winogradKernels struct {
	size    int // side of a tile of results
	window  int // side of the pixels it is made of
	points  int // of a dimension, at which products are taken
	factors int // of a dimension: the points from the last factor on share it

	input          winogradKernel // B^T [points][window]
	output         winogradKernel // A^T [size][points]
	gradient       winogradKernel // A, for the gradient of the output
	weight         winogradKernel // G [factors][3]
	weightGradient winogradKernel // G^T

	// prefetch asks for the lines that output will write, dst[dstOff[i]:] of 16n
	// channels each: a tile's rows lie too far apart in an image for the
	// processor to see what comes next.
	prefetch func(dst []float32, dstOff []int, n int)
}

// factor returns the number of the transformed weights that a point, of both
// dimensions, is multiplied with.
func (k *winogradKernels) factor(point int) int {
	last := k.factors - 1
	return min(point/k.points, last)*k.factors + min(point%k.points, last)
}

// A winogradSet are the algorithms of a row of the dispatch table.
type winogradSet struct {
	f4, f2 winogradKernels // F(4x4,3x3) and F(2x2,3x3), of stride 1
	// s2 is for stride 2. Of a dimension, the outer taps meet every other
	// pixel and are a filter of two taps, F(4,2), and the middle tap meets the
	// pixels between and is multiplied as it is: 5+4 products for 4 results,
	// not 12. s2t is its data gradient, 8 results from 5 pixels: those between
	// have the middle tap, the others two.
	s2, s2t winogradKernels
}
