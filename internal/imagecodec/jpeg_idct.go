package imagecodec

import "math"

// The inverse DCT is libjpeg's "islow": the algorithm of Loeffler, Ligtenberg
// and Moschytz (ICASSP 1989) with 12 multiplications, in fixed point, columns
// first. What it gives for coefficients that no encoder writes follows
// libjpeg-turbo's vector code, which works on 16-bit values: products and sums
// wrap, the column pass saturates.
const (
	constBits = 13
	pass1Bits = 2 // fraction bits kept between the passes

	c0_298 = 2446
	c0_390 = 3196
	c0_541 = 4433
	c0_765 = 6270
	c0_899 = 7373
	c1_175 = 9633
	c1_501 = 12299
	c1_847 = 15137
	c1_961 = 16069
	c2_053 = 16819
	c2_562 = 20995
	c3_072 = 25172
)

func idctGeneric(dst []byte, stride int, coefs []int16, quantizer *[64]int16, n int) {
	for i := range n {
		idctBlock(dst[8*i:], stride, (*[64]int16)(coefs[64*i:]), quantizer)
	}
}

func idctBlock(dst []byte, stride int, block, quantizer *[64]int16) {
	var ac int16
	for _, v := range block[8:] {
		ac |= v
	}
	if ac == 0 && block[1]|block[2]|block[3]|block[4]|block[5]|block[6]|block[7] == 0 {
		flat := (int32(block[0]*quantizer[0]<<pass1Bits) + 1<<(pass1Bits+2)) >> (pass1Bits + 3)
		v := sample(flat)
		for y := range 8 {
			row := dst[y*stride : y*stride+8 : y*stride+8]
			for x := range row {
				row[x] = v
			}
		}
		return
	}

	var work [64]int32
	for x := range 8 {
		in := func(y int) int32 { return int32(block[y*8+x] * quantizer[y*8+x]) }
		x0, x1, x2, x3, x4, x5, x6, x7 := in(0), in(1), in(2), in(3), in(4), in(5), in(6), in(7)
		if x1|x2|x3|x4|x5|x6|x7 == 0 {
			v := x0 << pass1Bits
			if ac == 0 {
				v = int32(int16(v))
			}
			v = saturate16(v)
			for y := 0; y < 64; y += 8 {
				work[y+x] = v
			}
			continue
		}
		const shift = constBits - pass1Bits
		y0, y1, y2, y3, y4, y5, y6, y7 := transform(x0, x1, x2, x3, x4, x5, x6, x7, 1<<(shift-1))
		column := work[x : x+57 : 64]
		column[0], column[8] = saturate16(y0>>shift), saturate16(y1>>shift)
		column[16], column[24] = saturate16(y2>>shift), saturate16(y3>>shift)
		column[32], column[40] = saturate16(y4>>shift), saturate16(y5>>shift)
		column[48], column[56] = saturate16(y6>>shift), saturate16(y7>>shift)
	}
	for y := range 8 {
		const shift = constBits + pass1Bits + 3
		in := work[y*8 : y*8+8 : y*8+8]
		y0, y1, y2, y3, y4, y5, y6, y7 := transform(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], 1<<(shift-1))
		row := dst[y*stride : y*stride+8 : y*stride+8]
		row[0], row[1], row[2], row[3] = sample(y0>>shift), sample(y1>>shift), sample(y2>>shift), sample(y3>>shift)
		row[4], row[5], row[6], row[7] = sample(y4>>shift), sample(y5>>shift), sample(y6>>shift), sample(y7>>shift)
	}
}

// transform is one pass over eight 16-bit values; the results are scaled by
// 2^constBits and have round added.
func transform(x0, x1, x2, x3, x4, x5, x6, x7, round int32) (y0, y1, y2, y3, y4, y5, y6, y7 int32) {
	z1 := (x2 + x6) * c0_541
	t2 := z1 - x6*c1_847
	t3 := z1 + x2*c0_765
	t0 := int32(int16(x0+x4))<<constBits + round
	t1 := int32(int16(x0-x4))<<constBits + round
	e0, e3 := t0+t3, t0-t3
	e1, e2 := t1+t2, t1-t2

	z3, z4 := int32(int16(x7+x3)), int32(int16(x5+x1))
	z5 := (z3 + z4) * c1_175
	z3, z4 = z5-z3*c1_961, z5-z4*c0_390
	z1, z2 := (x7+x1)*-c0_899, (x5+x3)*-c2_562
	o0 := x7*c0_298 + z1 + z3
	o1 := x5*c2_053 + z2 + z4
	o2 := x3*c3_072 + z2 + z3
	o3 := x1*c1_501 + z1 + z4

	return e0 + o3, e1 + o2, e2 + o1, e3 + o0, e3 - o0, e2 - o1, e1 - o2, e0 - o3
}

func saturate16(v int32) int32 {
	if v != int32(int16(v)) {
		return v>>31 ^ math.MaxInt16
	}
	return v
}

// sample brings a transformed value into the range of a sample.
func sample(v int32) byte { return clamp(v + 128) }
