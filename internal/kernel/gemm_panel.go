package kernel

// A panelSource reads a row-major matrix as the right factor [depth][width] of
// a product. Where it is transposed, memory holds [width][depth]; stride is
// the distance of the rows memory holds.
type panelSource struct {
	depth, width int
	stride       int
	transposed   bool
}

// block copies the rows k0 to k0+rows and the columns n0 to n0+16 of the
// matrix m to dst [rows][16], with zeros outside the matrix.
func (p panelSource) block(dst, m []float32, k0, rows, n0 int) {
	dst = dst[:rows*lanes]
	clear(dst)
	rows, cols := min(rows, p.depth-k0), min(lanes, p.width-n0)
	if !p.transposed {
		for k := range rows {
			copy(dst[k*lanes:][:cols], m[(k0+k)*p.stride+n0:])
		}
		return
	}
	for n := range cols {
		for k, x := range m[(n0+n)*p.stride+k0:][:rows] {
			dst[k*lanes+n] = x
		}
	}
}
