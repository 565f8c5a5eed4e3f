package augment

import "os"

// kernels are the inner loops of the operators. Every row of the table computes
// the same bytes for every input. A kernel's name is what it does, then Generic
// for the Go that says what it computes, or for assembly how many items it takes
// at once and the instruction set: mixRows_x32_avx2.
type kernels struct {
	name string

	// resampleRows makes the columns dst of the rows of src, whose first column
	// is column left of the axis that t scales. *spare is scratch.
	resampleRows func(dst, src raster, left int, t *taps, spare *[]byte)
	// resampleColumns makes the rows dst of src, whose first row is row top of
	// the axis that t scales. *sums is scratch.
	resampleColumns func(dst, src raster, top int, t *taps, sums *[]int32)

	// The kernels on pixels write len(src) bytes; dst may be src.

	blendLevel func(dst, src []byte, degenerate byte, factor float32)
	saturate   func(dst, src []byte, factor float32)
	grey       func(dst, src []byte)
	sumLuma    func(src []byte) int64
	turnHue    func(dst, src []byte, shift byte)
	invertFrom func(dst, src []byte, threshold byte)
	mirror     func(dst, src []byte)

	// The passes of a box filter write len(dst) bytes; the others are at least
	// as long, and dst is none of them.

	boxOne   func(dst, before, at, after []byte, w boxWeights)
	boxThree func(dst, far, before, at, after, beyond []byte, w boxWeights)

	// The passes of a convolution, in float32 without fused operations.

	convolveRow     func(dst []float32, line []byte, half []float32)
	convolveColumns func(dst []byte, rows []float32, at []int, half []float32)
}

// implementations holds the rows this machine can run, the slowest first.
var implementations = append([]kernels{{
	name:            "generic",
	resampleRows:    resampleRowsGeneric,
	resampleColumns: resampleColumnsGeneric,
	blendLevel:      blendLevelGeneric,
	saturate:        saturateGeneric,
	grey:            greyGeneric,
	sumLuma:         sumLumaGeneric,
	turnHue:         turnHueGeneric,
	invertFrom:      invertFromGeneric,
	mirror:          mirrorGeneric,
	boxOne:          boxOneGeneric,
	boxThree:        boxThreeGeneric,
	convolveRow:     convolveRowGeneric,
	convolveColumns: convolveColumnsGeneric,
}}, nativeKernels()...)

// active is the row in use: the fastest, unless the environment names another
// for debugging.
var active = chooseKernels(os.Getenv("CLPIPE_KERNEL"))

func chooseKernels(name string) *kernels {
	for i := range implementations {
		if implementations[i].name == name {
			return &implementations[i]
		}
	}
	return &implementations[len(implementations)-1]
}

// Kernels returns the name of the implementation in use: "generic", "avx2"
// or "avx512".
func Kernels() string { return active.name }
