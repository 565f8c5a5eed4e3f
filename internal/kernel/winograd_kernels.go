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

// winogradTmp is what a transform keeps between its two sides at most, for
// side 6 on both.
const winogradTmp = 6 * 6 * lanes

// winogradKernels are the transforms of F(size x size, 3x3). In the notation
// of Lavin and Gray (2016), Y = A^T[(G w G^T) . (B^T d B)]A.
type winogradKernels struct {
	size           int            // of an output tile
	input          winogradKernel // B^T, of size+2 rows and columns
	output         winogradKernel // A^T, size rows and size+2 columns
	gradient       winogradKernel // A, for the gradient of the output
	weight         winogradKernel // G, size+2 rows and 3 columns
	weightGradient winogradKernel // G^T
}

// side returns the side of an input tile; its square is the number of points
// at which products are taken.
func (k winogradKernels) side() int { return k.size + 2 }
