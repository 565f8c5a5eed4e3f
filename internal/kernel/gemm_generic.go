package kernel

// genericRows is the tile height of the tuned Go products: four rows of one
// panel share each load of b.
const genericRows = 4

var gemmGeneric = gemmKernels{
	rows:      genericRows,
	panels:    1,
	block:     wholeStrips,
	gather:    gatherF32Generic,
	outer:     outerF32Generic,
	panel:     panelF32Generic,
	transpose: transposeF32Generic,
	fma:       fmaF32Generic,
}

func gatherF32Generic(c []float32, cOff []int, a []float32, aOff []int, b []float32,
	panelStride, panels, groups, taps, depth int, accumulate bool) {
	for g := range groups {
		for q := range panels {
			var tile [genericRows][lanes]float32
			rows := cOff[g*genericRows : (g+1)*genericRows]
			if accumulate {
				for i, off := range rows {
					copy(tile[i][:], c[off+q*lanes:])
				}
			}
			for t := range taps {
				off := aOff[(g*taps+t)*genericRows:][:genericRows]
				a0, a1 := a[off[0]:][:depth], a[off[1]:][:depth]
				a2, a3 := a[off[2]:][:depth], a[off[3]:][:depth]
				panel := b[q*panelStride+t*depth*lanes:][:depth*lanes]
				for k := range depth {
					w := (*[lanes]float32)(panel[k*lanes:])
					axpy4(&tile, a0[k], a1[k], a2[k], a3[k], w)
				}
			}
			for i, off := range rows {
				copy(c[off+q*lanes:], tile[i][:])
			}
		}
	}
}

func outerF32Generic(c []float32, cStride int, a []float32, aStride int, b []float32, bStride,
	panels, groups, depth int, accumulate bool) {
	for g := range groups {
		for q := range panels {
			var tile [genericRows][lanes]float32
			for k := range depth {
				x := (*[genericRows]float32)(a[k*aStride+g*genericRows:])
				w := (*[lanes]float32)(b[k*bStride+q*lanes:])
				axpy4(&tile, x[0], x[1], x[2], x[3], w)
			}
			for i := range tile {
				row := c[(g*genericRows+i)*cStride+q*lanes:][:lanes]
				if !accumulate {
					copy(row, tile[i][:])
					continue
				}
				for j, v := range tile[i] {
					row[j] += v
				}
			}
		}
	}
}

func panelF32Generic(dst, src []float32, stride, rows int) {
	for k := range rows {
		*(*[lanes]float32)(dst[k*lanes:]) = [lanes]float32(src[k*stride:])
	}
}

func transposeF32Generic(dst []float32, dStride int, src []float32, sStride int, rows, cols int) {
	for i := range rows {
		for j, x := range src[i*sStride:][:cols] {
			dst[j*dStride+i] = x
		}
	}
}

// axpy4 adds to each of four rows its factor times w.
func axpy4(tile *[genericRows][lanes]float32, x0, x1, x2, x3 float32, w *[lanes]float32) {
	for j, v := range w {
		tile[0][j] += x0 * v
		tile[1][j] += x1 * v
		tile[2][j] += x2 * v
		tile[3][j] += x3 * v
	}
}

func fmaF32Generic(n int) int64 {
	var tile [genericRows][lanes]float32
	ones := [lanes]float32{0: 1}
	for range n {
		axpy4(&tile, 1, 1, 1, 1, &ones)
	}
	return int64(n) * 2 * genericRows * lanes
}
