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
