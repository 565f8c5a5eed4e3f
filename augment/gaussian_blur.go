package augment

import "fmt"

// gaussianBlur smooths with a Gaussian of random sigma, in pixels. Two kinds
// differ in bytes: pillow approximates it by box filters (box_blur.go), as
// MoCo's loader does; torchvision convolves with kernel weights
// (gaussian_kernel.go).
type gaussianBlur struct {
	sigma  span
	kernel int // weights along an axis, odd; 0 for the kind pillow
}

func parseGaussianBlur(a *arguments) operator {
	op := &gaussianBlur{}
	kind := a.choice("kind", "pillow", "pillow", "torchvision")
	op.sigma = a.span("sigma", span{0.1, 2}, interval{lo: 0, hi: maxSigma, above: true})
	if kind == "torchvision" {
		// SimCLR's rule: a tenth of the view's side, made odd.
		op.kernel = a.integer("kernel", 2*(a.view/20)+1, 1, maxKernel)
		if op.kernel%2 == 0 {
			a.fail("kernel", fmt.Sprintf("got %d, want an odd number", op.kernel))
		}
	}
	return op
}

const (
	maxSigma  = 100 // of any use on pictures of the sizes a network sees
	maxKernel = 1023
)

func (op *gaussianBlur) apply(im raster, s *Scratch) (raster, error) {
	sigma := float32(op.sigma.draw(&s.draw))
	if op.kernel == 0 {
		return s.boxBlur(im, boxRadius(sigma)), nil
	}
	return s.convolve(im, gaussianKernel(&s.kernel, op.kernel, sigma)), nil
}
