//go:build amd64 && !noasm

package augment

import "golang.org/x/sys/cpu"

//go:generate go -C _gen run . -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go -pkg augment

// nativeKernels returns the assembly rows this processor and its operating
// system support.
func nativeKernels() []kernels {
	if !cpu.X86.HasAVX2 {
		return nil
	}
	return []kernels{{
		name:            "avx2",
		resampleRows:    resampleRowsNative,
		resampleColumns: resampleColumnsNative,
		blendLevel:      blendLevelNative,
		saturate:        saturateNative,
		grey:            greyNative,
		sumLuma:         sumLumaNative,
		turnHue:         turnHueNative,
		invertFrom:      invertFromNative,
		mirror:          mirrorNative,
		boxOne:          boxOneNative,
		boxThree:        boxThreeNative,
		convolveRow:     convolveRowNative,
		convolveColumns: convolveColumnsNative,
	}}
}

// The functions below check what the assembly relies on and do the ends that
// it leaves.

// block is the number of bytes that the kernels without a pixel's structure take
// at once.
const block = 32

func resampleRowsNative(dst, src raster, left int, t *taps, spare *[]byte) {
	const together = 4 // rows
	rows := together
	if src.h < rows {
		rows = 1 // four times the same
	}
	dstStride, n := dst.stride, len(t.first)
	if rows == 1 {
		dstStride = 0
	}
	beyond := 12*t.quads + 4 // bytes that may be read behind the end of a row
	for y := 0; y < src.h; y += rows {
		y = min(y, src.h-rows) // the last rows may be made twice
		from, stride := src.pix[y*src.stride:], src.stride
		if (rows-1)*stride+3*src.w+beyond > len(from) {
			stride = 3*src.w + beyond
			from = grow(spare, rows*stride)
			for i := range rows {
				copy(from[i*stride:], src.row(y+i))
			}
		}
		if rows == 1 {
			stride = 0
		}
		to := dst.pix[y*dst.stride:]
		_ = to[(rows-1)*dst.stride+3*n-1]
		resampleRows_x4_avx2(&to[0], dstStride, &from[0], stride, &t.first[0], left, &t.pairs[0], t.quads, n)
	}
}

func resampleColumnsNative(dst, src raster, top int, t *taps, sums *[]int32) {
	n := 3 * dst.w
	if n < block {
		resampleColumnsGeneric(dst, src, top, t, sums)
		return
	}
	for y := range dst.h {
		to, from, count := dst.row(y), src.pix[(int(t.first[y])-top)*src.stride:], int(t.count[y])
		_ = from[(count-1)*src.stride+n-1]
		weights := &t.pairs[y*8*t.quads]
		mixRows_x32_avx2(&to[0], &from[0], src.stride, weights, count, n&^(block-1))
		if n%block > 0 { // the last bytes, some of them again
			mixRows_x32_avx2(&to[n-block], &from[n-block], src.stride, weights, count, block)
		}
	}
}

// wholePixels is the number of bytes of n that hold a multiple of eight pixels.
func wholePixels(n int) int { return n / eightPixels * eightPixels }

const eightPixels = 3 * 8 // bytes

func blendLevelNative(dst, src []byte, degenerate byte, factor float32) {
	dst = dst[:len(src)]
	whole := len(src) &^ (block - 1)
	if whole > 0 {
		blendLevel_x32_avx2(&dst[0], &src[0], float32(degenerate), factor, whole)
	}
	for i, v := range src[whole:] {
		dst[whole+i] = blend(degenerate, v, factor)
	}
}

func saturateNative(dst, src []byte, factor float32) {
	dst = dst[:len(src)]
	whole := wholePixels(len(src))
	if whole > 0 {
		saturate_x8_avx2(&dst[0], &src[0], factor, whole/3)
	}
	saturateGeneric(dst[whole:], src[whole:], factor)
}

func greyNative(dst, src []byte) {
	dst = dst[:len(src)]
	whole := wholePixels(len(src))
	if whole > 0 {
		grey_x8_avx2(&dst[0], &src[0], whole/3)
	}
	greyGeneric(dst[whole:], src[whole:])
}

func sumLumaNative(src []byte) int64 {
	whole := wholePixels(len(src))
	sum := sumLumaGeneric(src[whole:])
	if whole > 0 {
		var sums [8]uint32
		sumLuma_x8_avx2(&sums, &src[0], whole/3)
		for _, v := range sums {
			sum += int64(v)
		}
	}
	return sum
}

func turnHueNative(dst, src []byte, shift byte) {
	dst = dst[:len(src)]
	whole := wholePixels(len(src))
	if whole > 0 {
		turnHue_x8_avx2(&dst[0], &src[0], uint32(shift), whole/3)
	}
	turnHueGeneric(dst[whole:], src[whole:], shift)
}

func invertFromNative(dst, src []byte, threshold byte) {
	dst = dst[:len(src)]
	whole := len(src) &^ (block - 1)
	if whole > 0 {
		invertFrom_x32_avx2(&dst[0], &src[0], threshold, whole)
	}
	invertFromGeneric(dst[whole:], src[whole:], threshold)
}

func mirrorNative(dst, src []byte) {
	n := len(src) / 3
	dst = dst[:3*n]
	done := 0 // pixels at either end
	if n > 10 {
		mirror_x10_avx2(&dst[0], &src[0], n)
		done = (n - 1) / 10 * 5
	}
	mirrorGeneric(dst[3*done:3*(n-done)], src[3*done:3*(n-done)])
}

// words returns the weights as pairs of words: their lower bits, the bits above.
func (w boxWeights) words() (lower, upper uint32) {
	const mask = 1<<splitBits - 1
	return w.full&mask | w.end&mask<<16, w.full>>splitBits | w.end>>splitBits<<16
}

func boxOneNative(dst, before, at, after []byte, w boxWeights) {
	n := len(dst)
	if n < block {
		boxOneGeneric(dst, before, at, after, w)
		return
	}
	before, at, after = before[:n], at[:n], after[:n]
	lower, upper := w.words()
	boxOne_x32_avx2(&dst[0], &before[0], &at[0], &after[0], lower, upper, n&^(block-1))
	if last := n - block; n%block > 0 {
		boxOne_x32_avx2(&dst[last], &before[last], &at[last], &after[last], lower, upper, block)
	}
}

func boxThreeNative(dst, far, before, at, after, beyond []byte, w boxWeights) {
	n := len(dst)
	if n < block {
		boxThreeGeneric(dst, far, before, at, after, beyond, w)
		return
	}
	far, before, at, after, beyond = far[:n], before[:n], at[:n], after[:n], beyond[:n]
	lower, upper := w.words()
	boxThree_x32_avx2(&dst[0], &far[0], &before[0], &at[0], &after[0], &beyond[0], lower, upper, n&^(block-1))
	if last := n - block; n%block > 0 {
		boxThree_x32_avx2(&dst[last], &far[last], &before[last], &at[last], &after[last], &beyond[last], lower, upper, block)
	}
}

func convolveRowNative(dst []float32, line []byte, half []float32) {
	n := len(dst)
	if n < block {
		convolveRowGeneric(dst, line, half)
		return
	}
	margin := 3 * (len(half) - 1)
	_ = line[:n+2*margin]
	middle := line[margin:]
	convolveRow_x32_avx2(&dst[0], &middle[0], &half[0], len(half), n&^(block-1))
	if last := n - block; n%block > 0 {
		convolveRow_x32_avx2(&dst[last], &middle[last], &half[0], len(half), block)
	}
}

func convolveColumnsNative(dst []byte, rows []float32, at []int, half []float32) {
	n := len(dst)
	if n < block {
		convolveColumnsGeneric(dst, rows, at, half)
		return
	}
	at = at[:2*len(half)-1]
	for _, start := range at {
		_ = rows[start : start+n]
	}
	convolveColumns_x32_avx2(&dst[0], &rows[0], &at[0], &half[0], len(half), n&^(block-1))
	if last := n - block; n%block > 0 {
		convolveColumns_x32_avx2(&dst[last], &rows[last], &at[0], &half[0], len(half), block)
	}
}
