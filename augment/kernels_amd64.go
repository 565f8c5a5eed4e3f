//go:build amd64 && !noasm

package augment

import "golang.org/x/sys/cpu"

//go:generate go -C _gen run . -isa avx2 -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go -pkg augment
//go:generate go -C _gen run . -isa avx512 -out ../kernels_avx512_amd64.s -stubs ../kernels_avx512_amd64.go -pkg augment

// nativeKernels returns the assembly rows this processor and its operating
// system support.
func nativeKernels() []kernels {
	if !cpu.X86.HasAVX2 {
		return nil
	}
	avx2 := kernels{
		name:            "avx2",
		resampleRows:    resampleRowsNative(resampleRows_x4_avx2),
		resampleColumns: resampleColumnsNative(32, mixRows_x32_avx2, resampleColumnsGeneric),
		blendLevel:      blendLevelNative(32, blendLevel_x32_avx2),
		saturate:        saturateNative(8, saturate_x8_avx2),
		grey:            greyNative(8, grey_x8_avx2),
		sumLuma:         sumLumaAVX2,
		turnHue:         turnHueNative(8, turnHue_x8_avx2),
		invertFrom:      invertFromNative,
		mirror:          mirrorNative,
		boxOne:          boxOneNative(32, boxOne_x32_avx2, boxOneGeneric),
		boxThree:        boxThreeNative(32, boxThree_x32_avx2, boxThreeGeneric),
		convolveRow:     convolveRowNative,
		convolveColumns: convolveColumnsNative,
	}
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512BW || !cpu.X86.HasAVX512DQ || !cpu.X86.HasAVX512VL {
		return []kernels{avx2}
	}
	avx512 := avx2 // for what gains nothing by wider vectors
	avx512.name = "avx512"
	avx512.resampleRows = resampleRowsNative(resampleRows_x4_avx512)
	avx512.resampleColumns = resampleColumnsNative(64, mixRows_x64_avx512, avx2.resampleColumns)
	avx512.blendLevel = blendLevelNative(64, blendLevel_x64_avx512)
	avx512.saturate = saturateNative(16, saturate_x16_avx512)
	avx512.grey = greyNative(16, grey_x16_avx512)
	avx512.sumLuma = sumLumaAVX512
	avx512.turnHue = turnHueNative(16, turnHue_x16_avx512)
	avx512.boxOne = boxOneNative(64, boxOne_x64_avx512, avx2.boxOne)
	avx512.boxThree = boxThreeNative(64, boxThree_x64_avx512, avx2.boxThree)
	return []kernels{avx2, avx512}
}

// The functions below check what the assembly relies on and do the ends that
// it leaves. Those that return a kernel make it of an instruction set's assembly
// and, where that wants a vector full at least, the kernel for less.

// block is the number of bytes that the kernels for AVX2 alone take at once.
const block = 32

type resampleRowsFunc = func(dst, src raster, left int, t *taps, spare *[]byte)

func resampleRowsNative(asm func(dst *byte, dstStride int, src *byte, srcStride int, first *int32, left int, weights *int16, quads, n int)) resampleRowsFunc {
	return func(dst, src raster, left int, t *taps, spare *[]byte) {
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
			asm(&to[0], dstStride, &from[0], stride, &t.first[0], left, &t.pairs[0], t.quads, n)
		}
	}
}

type resampleColumnsFunc = func(dst, src raster, top int, t *taps, sums *[]int32)

func resampleColumnsNative(width int, mixRows func(dst, src *byte, stride int, weights *int16, count, n int), less resampleColumnsFunc) resampleColumnsFunc {
	return func(dst, src raster, top int, t *taps, sums *[]int32) {
		n := 3 * dst.w
		if n < width {
			less(dst, src, top, t, sums)
			return
		}
		for y := range dst.h {
			to, from, count := dst.row(y), src.pix[(int(t.first[y])-top)*src.stride:], int(t.count[y])
			_ = from[(count-1)*src.stride+n-1]
			weights := &t.pairs[y*8*t.quads]
			mixRows(&to[0], &from[0], src.stride, weights, count, n&^(width-1))
			if n%width > 0 { // the last bytes, some of them again
				mixRows(&to[n-width], &from[n-width], src.stride, weights, count, width)
			}
		}
	}
}

func blendLevelNative(width int, asm func(dst, src *byte, level, factor float32, n int)) func(dst, src []byte, degenerate byte, factor float32) {
	return func(dst, src []byte, degenerate byte, factor float32) {
		dst = dst[:len(src)]
		whole := len(src) &^ (width - 1)
		if whole > 0 {
			asm(&dst[0], &src[0], float32(degenerate), factor, whole)
		}
		for i, v := range src[whole:] {
			dst[whole+i] = blend(degenerate, v, factor)
		}
	}
}

// wholePixels is the number of bytes of n that hold a multiple of so many pixels.
func wholePixels(n, pixels int) int { return n / (3 * pixels) * (3 * pixels) }

func saturateNative(pixels int, asm func(dst, src *byte, factor float32, n int)) func(dst, src []byte, factor float32) {
	return func(dst, src []byte, factor float32) {
		dst = dst[:len(src)]
		whole := wholePixels(len(src), pixels)
		if whole > 0 {
			asm(&dst[0], &src[0], factor, whole/3)
		}
		saturateGeneric(dst[whole:], src[whole:], factor)
	}
}

func greyNative(pixels int, asm func(dst, src *byte, n int)) func(dst, src []byte) {
	return func(dst, src []byte) {
		dst = dst[:len(src)]
		whole := wholePixels(len(src), pixels)
		if whole > 0 {
			asm(&dst[0], &src[0], whole/3)
		}
		greyGeneric(dst[whole:], src[whole:])
	}
}

func sumLumaAVX2(src []byte) int64 {
	var sums [8]uint32
	whole := wholePixels(len(src), len(sums))
	if whole > 0 {
		sumLuma_x8_avx2(&sums, &src[0], whole/3)
	}
	return total(sums[:]) + sumLumaGeneric(src[whole:])
}

func sumLumaAVX512(src []byte) int64 {
	var sums [16]uint32
	whole := wholePixels(len(src), len(sums))
	if whole > 0 {
		sumLuma_x16_avx512(&sums, &src[0], whole/3)
	}
	return total(sums[:]) + sumLumaGeneric(src[whole:])
}

func total(sums []uint32) (t int64) {
	for _, v := range sums {
		t += int64(v)
	}
	return t
}

func turnHueNative(pixels int, asm func(dst, src *byte, shift uint32, n int)) func(dst, src []byte, shift byte) {
	return func(dst, src []byte, shift byte) {
		dst = dst[:len(src)]
		whole := wholePixels(len(src), pixels)
		if whole > 0 {
			asm(&dst[0], &src[0], uint32(shift), whole/3)
		}
		turnHueGeneric(dst[whole:], src[whole:], shift)
	}
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

type boxOneFunc = func(dst, before, at, after []byte, w boxWeights)

func boxOneNative(width int, asm func(dst, before, at, after *byte, lower, upper uint32, n int), less boxOneFunc) boxOneFunc {
	return func(dst, before, at, after []byte, w boxWeights) {
		n := len(dst)
		if n < width {
			less(dst, before, at, after, w)
			return
		}
		before, at, after = before[:n], at[:n], after[:n]
		lower, upper := w.words()
		asm(&dst[0], &before[0], &at[0], &after[0], lower, upper, n&^(width-1))
		if last := n - width; n%width > 0 {
			asm(&dst[last], &before[last], &at[last], &after[last], lower, upper, width)
		}
	}
}

type boxThreeFunc = func(dst, far, before, at, after, beyond []byte, w boxWeights)

func boxThreeNative(width int, asm func(dst, far, before, at, after, beyond *byte, lower, upper uint32, n int), less boxThreeFunc) boxThreeFunc {
	return func(dst, far, before, at, after, beyond []byte, w boxWeights) {
		n := len(dst)
		if n < width {
			less(dst, far, before, at, after, beyond, w)
			return
		}
		far, before, at, after, beyond = far[:n], before[:n], at[:n], after[:n], beyond[:n]
		lower, upper := w.words()
		asm(&dst[0], &far[0], &before[0], &at[0], &after[0], &beyond[0], lower, upper, n&^(width-1))
		if last := n - width; n%width > 0 {
			asm(&dst[last], &far[last], &before[last], &at[last], &after[last], &beyond[last], lower, upper, width)
		}
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
