package imagecodec

import "os"

// kernels are the inner loops of decoding. Every row of the table computes the
// same bytes for every input. A kernel's name is what it does, then Generic for
// the Go that says what it computes, or for assembly how many items it takes at
// once and the instruction set: idct_x2_avx2.
type kernels struct {
	name string

	// mcus decodes MCUs of a row of a sequential scan, from the one up to the
	// other or until the bits are used up, into coefficients that are zero before.
	mcus func(r *bitReader, blocks []mcuBlock, from, to int)

	// idct dequantises n blocks that stand side by side, transforms them and
	// stores their samples at dst, whose rows are stride bytes apart. quantizer
	// is in natural order as the blocks are.
	idct func(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int)
	// idct4 and idct2 make 4 x 4 and 2 x 2 samples of a block.
	idct4, idct2 func(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int)

	// upsampleH2 doubles a row of n = len(src) samples into dst[:2n].
	upsampleH2 func(dst, src []byte)
	// upsampleH2V2 doubles a row both ways: near is the row the output row
	// lies in, far the one on the other side.
	upsampleH2V2 func(dst, near, far []byte)

	// rgbFromYCbCr converts len(y) pixels into dst[:3*len(y)]; cb and cr are
	// at least as long.
	rgbFromYCbCr func(dst, y, cb, cr []byte)
}

// slack is the number of bytes that every row of samples has behind its last:
// kernels read and write whole vectors.
const slack = 64

// implementations holds the rows this machine can run, the slowest first.
var implementations = append([]kernels{{
	name:         "generic",
	mcus:         mcusGeneric,
	idct:         idctGeneric,
	idct4:        idct4Generic,
	idct2:        idct2Generic,
	upsampleH2:   upsampleH2Generic,
	upsampleH2V2: upsampleH2V2Generic,
	rgbFromYCbCr: rgbFromYCbCrGeneric,
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

// Kernels returns the name of the implementation in use: "generic" or "avx2".
func Kernels() string { return active.name }
