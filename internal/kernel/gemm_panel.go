package kernel

// A panelSource reads a row-major matrix as the right factor [depth][width] of
// a product. Where it is transposed, memory holds [width][depth]; stride is
// the distance of the rows memory holds.
type panelSource struct {
	depth, width int
	stride       int
	transposed   bool
}

// panel copies the rows k0 to k0+rows and the 16 columns from n0 of the matrix
// m to dst [rows][16], with zeros outside the matrix.
func (p panelSource) panel(kern *gemmKernels, dst, m []float32, k0, rows, n0 int) {
	dst = dst[:rows*lanes]
	if k0+rows > p.depth || n0+lanes > p.width {
		clear(dst)
	}
	rows = min(rows, p.depth-k0)
	cols := min(lanes, p.width-n0)
	switch {
	case p.transposed:
		kern.turn(dst, lanes, m[n0*p.stride+k0:], p.stride, cols, rows)
	case cols == lanes:
		kern.panel(dst, m[k0*p.stride+n0:], p.stride, rows)
	default:
		for k := range rows {
			copy(dst[k*lanes:][:cols], m[(k0+k)*p.stride+n0:])
		}
	}
}

// turn is transpose for any number of rows and columns.
func (kern *gemmKernels) turn(dst []float32, dStride int, src []float32, sStride, rows, cols int) {
	const block = 8
	wholeRows, wholeCols := rows/block*block, cols/block*block
	if wholeRows > 0 && wholeCols > 0 {
		kern.transpose(dst, dStride, src, sStride, wholeRows, wholeCols)
	}
	for i := range rows {
		first := 0
		if i < wholeRows {
			first = wholeCols
		}
		for j := first; j < cols; j++ {
			dst[j*dStride+i] = src[i*sStride+j]
		}
	}
}
