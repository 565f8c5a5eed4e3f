package kernel

// A panelSource reads a row-major matrix as the right factor [depth][width] of
// a product. Where it is transposed, memory holds [width][depth]; stride is
// the distance of the rows memory holds.
type panelSource struct {
	depth, width int
	stride       int
	transposed   bool
}

// block copies the rows k0 to k0+rows and the columns n0 to n0+cols of the
// matrix m to dst [rows][cols], with zeros outside the matrix.
func (p panelSource) block(dst, m []float32, k0, rows, n0, cols int) {
	dst, width := dst[:rows*cols], cols
	if k0+rows > p.depth || n0+cols > p.width {
		clear(dst)
	}
	rows, cols = min(rows, p.depth-k0), min(cols, p.width-n0)
	if !p.transposed {
		for k := range rows {
			copy(dst[k*width:][:cols], m[(k0+k)*p.stride+n0:])
		}
		return
	}
	for n := range cols {
		for k, x := range m[(n0+n)*p.stride+k0:][:rows] {
			dst[k*width+n] = x
		}
	}
}
