package imagecodec

// The inverse DCTs of scaled decoding: a block of 8 x 8 coefficients becomes 4 x 4,
// 2 x 2 or 1 sample. They are libjpeg's, which are the islow transform with every
// output the mean of those it stands for: even part by even part, and the rows and
// columns that add nothing to a mean left out. As with the full transform, what
// they give for coefficients that no encoder writes follows libjpeg-turbo's vector
// code: dequantised values wrap at 16 bits and the column pass saturates.
const (
	c0_211 = 1730
	c0_509 = 4176
	c0_601 = 4926
	c0_720 = 5906
	c0_850 = 6967
	c1_061 = 8697
	c1_272 = 10426
	c1_451 = 11893
	c2_172 = 17799
	c3_624 = 29692
)

func idct4Generic(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int) {
	for i := range n {
		idct4Block(dst[4*i:], stride, (*[64]int16)(coefs[64*i:]), quantizer)
	}
}

func idct4Block(dst []byte, stride int, block, quantizer *[64]int16) {
	var ac int16
	for _, v := range block[8:32] {
		ac |= v
	}
	for _, v := range block[40:] {
		ac |= v
	}
	var work [4 * 8]int32 // column 4 is not used
	for x := range 8 {
		if x == 4 {
			continue
		}
		in := func(y int) int32 { return int32(block[y*8+x] * quantizer[y*8+x]) }
		if ac == 0 { // wrapped, not saturated
			v := int32(int16(in(0) << pass1Bits))
			work[x], work[8+x], work[16+x], work[24+x] = v, v, v, v
			continue
		}
		const shift = constBits - pass1Bits + 1
		y0, y1, y2, y3 := transform4(in(0), in(1), in(2), in(3), in(5), in(6), in(7), 1<<(shift-1))
		work[x], work[8+x] = saturate16(y0>>shift), saturate16(y1>>shift)
		work[16+x], work[24+x] = saturate16(y2>>shift), saturate16(y3>>shift)
	}
	for y := range 4 {
		const shift = constBits + pass1Bits + 3 + 1
		in := work[8*y : 8*y+8 : 8*y+8]
		y0, y1, y2, y3 := transform4(in[0], in[1], in[2], in[3], in[5], in[6], in[7], 1<<(shift-1))
		row := dst[y*stride : y*stride+4 : y*stride+4]
		row[0], row[1], row[2], row[3] = sample(y0>>shift), sample(y1>>shift), sample(y2>>shift), sample(y3>>shift)
	}
}

// transform4 is one pass; the results are scaled by 2^(constBits+1) and have round
// added.
func transform4(x0, x1, x2, x3, x5, x6, x7, round int32) (y0, y1, y2, y3 int32) {
	e := x2*c1_847 - x6*c0_765
	t := x0<<(constBits+1) + round
	e0, e1 := t+e, t-e
	o0 := x1*c2_562 + x3*c0_899 - x5*c0_601 - x7*c0_509
	o1 := x1*c1_061 - x3*c2_172 + x5*c1_451 - x7*c0_211
	return e0 + o0, e1 + o1, e1 - o1, e0 - o0
}

func idct2Generic(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int) {
	for i := range n {
		block := (*[64]int16)(coefs[64*i:])
		var upper, lower [8]int32
		for _, x := range [...]int{0, 1, 3, 5, 7} {
			const shift = constBits - pass1Bits + 2
			in := func(y int) int32 { return int32(block[y*8+x] * quantizer[y*8+x]) }
			a, b := transform2(in(0), in(1), in(3), in(5), in(7), 1<<(shift-1))
			upper[x], lower[x] = a>>shift, b>>shift
			if x > 0 { // the vector code keeps the first column as it is
				upper[x], lower[x] = saturate16(upper[x]), saturate16(lower[x])
			}
		}
		for y, in := range [...]*[8]int32{&upper, &lower} {
			const shift = constBits + pass1Bits + 3 + 2
			a, b := transform2(in[0], in[1], in[3], in[5], in[7], 1<<(shift-1))
			dst[y*stride+2*i], dst[y*stride+2*i+1] = sample(a>>shift), sample(b>>shift)
		}
	}
}

// transform2 is one pass; the results are scaled by 2^(constBits+2) and have round
// added.
func transform2(x0, x1, x3, x5, x7, round int32) (y0, y1 int32) {
	t := x0<<(constBits+2) + round
	o := x1*c3_624 - x3*c1_272 + x5*c0_850 - x7*c0_720
	return t + o, t - o
}

// idct1 takes the mean of each block. libjpeg has no vector code for it: nothing
// saturates, and what is far out of range wraps at 10 bits.
func idct1(dst []byte, coefs []int16, quantizer *[64]int16, n int) {
	for i := range n {
		mean := (int32(coefs[64*i])*int32(quantizer[0]) + 4) >> 3
		dst[i] = sample(mean << 22 >> 22)
	}
}
