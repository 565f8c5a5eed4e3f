//go:build amd64 && !noasm

package imagecodec

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go -C _gen run . -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go -pkg imagecodec

// nativeKernels returns the assembly rows this processor and its operating
// system support.
func nativeKernels() []kernels {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasBMI2 {
		return nil
	}
	return []kernels{{
		name:         "avx2",
		mcus:         mcusNative,
		idct:         idctNative,
		idct4:        idct4Native,
		idct2:        idct2Native,
		upsampleH2:   upsampleH2Native,
		upsampleH2V2: upsampleH2V2Native,
		rgbFromYCbCr: rgbFromYCbCrNative,
	}}
}

// The functions below check what the assembly relies on and do the ends that
// it leaves.

func mcusNative(r *bitReader, blocks []mcuBlock, from, to int) {
	for i := range blocks {
		_ = (*[64]int16)(blocks[i].coefs[(to-1)*blocks[i].stride/2:])
	}
	r.checkPadding()
	i, k := 0, 0
	for mcu := from; mcu < to; {
		mcu, i, k = mcus_x2_bmi2(&r.buf, (*uint64)(unsafe.Pointer(&blocks[0])), len(blocks), mcu, to, i, k)
		if k >= 64 {
			return
		}
		// One of the codes too long for the tables.
		b := &blocks[i]
		block := (*[64]int16)(b.coefs[mcu*b.stride/2:])
		if k == 0 {
			c := r.decode(b.sc.dc)
			*b.pred += r.value(c.size())
			block[0] = int16(*b.pred)
		} else {
			c := r.decode(b.sc.ac)
			k += c.run()
			if c.size() != 0 {
				block[zigzag[k&127]&63] = int16(r.value(c.size()))
			} else if c.run() != 15 {
				k = 63
			}
		}
		if k++; k < 64 {
			continue
		}
		if i, k = i+1, 0; i == len(blocks) {
			mcu, i = mcu+1, 0
			if r.exhausted() {
				return
			}
		}
	}
}

func idct4Native(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int) {
	_, _ = coefs[:64*n], dst[:3*stride+4*n+4]
	idct4_x2_avx2(&dst[0], stride, &coefs[0], quantizer, n)
}

func idct2Native(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int) {
	_, _ = coefs[:64*n], dst[:stride+2*n+2]
	idct2_x2_avx2(&dst[0], stride, &coefs[0], quantizer, n)
}

func idctNative(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int) {
	_, _ = coefs[:64*n], dst[:7*stride+8*n+8]
	idct_x2_avx2(&dst[0], stride, &coefs[0], quantizer, n)
}

func upsampleH2Native(dst, src []byte) {
	n := len(src)
	_, _ = src[:n+slack/2], dst[:2*n+slack]
	upsampleH2_x16_avx2(&dst[0], &src[0], n)
	here, left, right := int32(src[n-1]), int32(src[max(n-2, 0)]), int32(src[min(1, n-1)])
	dst[2*n-2], dst[2*n-1] = byte((3*here+left+1)>>2), src[n-1]
	first := int32(src[0])
	dst[0] = src[0]
	if n > 1 {
		dst[1] = byte((3*first + right + 2) >> 2)
	}
}

func upsampleH2V2Native(dst, near, far []byte) {
	n := len(near)
	_, _, _ = near[:n+slack/2], far[:n+slack/2], dst[:2*n+slack]
	upsampleH2V2_x16_avx2(&dst[0], &near[0], &far[0], n)
	column := func(i int) int32 { return 3*int32(near[i]) + int32(far[i]) }
	dst[2*n-2] = byte((3*column(n-1) + column(max(n-2, 0)) + 8) >> 4)
	dst[2*n-1] = byte((4*column(n-1) + 7) >> 4)
	dst[0] = byte((4*column(0) + 8) >> 4)
	if n > 1 {
		dst[1] = byte((3*column(0) + column(1) + 7) >> 4)
	}
}

func rgbFromYCbCrNative(dst, y, cb, cr []byte) {
	n := len(y)
	cb, cr, dst = cb[:n], cr[:n], dst[:3*n]
	if n < 16 {
		rgbFromYCbCrGeneric(dst, y, cb, cr)
		return
	}
	rgbFromYCbCr_x16_avx2(&dst[0], &y[0], &cb[0], &cr[0], n&^15)
	if last := n - 16; n%16 != 0 { // some pixels again
		rgbFromYCbCr_x16_avx2(&dst[3*last], &y[last], &cb[last], &cr[last], 16)
	}
}
