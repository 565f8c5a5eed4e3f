package kernel

// The gradient of the keys is a second pass, now that the sums over the keys
// are known: for key j
//
//	dk_j = g/τ · Σ_i ( e_ij/Σe_i - [j is the positive of i] )·q_i
//
// over the queries i that have j as negative or positive.

// weigh packs the queries of a panel, times what their exponentials count, as
// the second factor of a product: [wide/16][width][16].
func (r *infoNCERun) weigh(panel int) {
	d := r.shape.D
	packed := r.weighed[panel*r.panelLen() : (panel+1)*r.panelLen()]
	clear(packed)
	first, end := r.queriesOf(panel)
	for q := first; q < end; q++ {
		for j, v := range r.a.Query[q*d : (q+1)*d] {
			packed[(j/lanes*infoNCEWidth+q-first)*lanes+j%lanes] = v * r.weight[q]
		}
	}
}

// gradKeys sets DKeys for a block of keys; to 0 for those past Valid.
func (r *infoNCERun) gradKeys(worker, block int) {
	t, d := r.tile(worker), r.shape.D
	first := block * r.rows
	out := r.a.DKeys[first*d : min(first+r.rows, r.shape.K)*d]
	clear(out)
	if first >= r.valid() {
		return
	}
	rows := r.loadBlock(&t, block)
	clear(t.grad)
	var masked [infoNCEWidth]int32 // counted by the first pass
	for panel := range r.panels {
		r.score(&t, panel, rows)
		r.exclude(&t, block, panel, rows, masked[:])
		at := panel * infoNCEWidth
		r.exponentiate(&t, panel, rows, r.top[at:at+infoNCEWidth])
		r.push(&t, panel, rows)
		r.pullPositives(&t, block, panel, rows)
	}
	for i := range rows {
		copy(out[i*d:(i+1)*d], t.grad[i*r.wide:])
	}
}

// push adds the part of a panel's queries in the gradient of their negatives.
func (r *infoNCERun) push(t *infoNCETile, panel, rows int) {
	weighed := r.weighed[panel*r.panelLen() : (panel+1)*r.panelLen()]
	stride := infoNCEWidth * lanes
	for p := 0; p < r.wide/lanes; p += r.gemm.panels {
		r.gemm.gather(t.grad[p*lanes:], r.gradRows, t.scores, r.scoreRows, weighed[p*stride:],
			stride, r.gemm.panels, ceilDiv(rows, r.gemm.rows), 1, infoNCEWidth, true)
	}
}

// pullPositives adds the part of a panel's queries in the gradient of their
// positives.
func (r *infoNCERun) pullPositives(t *infoNCETile, block, panel, rows int) {
	if r.a.PositiveRow == nil {
		return
	}
	d := r.shape.D
	first, end := r.queriesOf(panel)
	for q := first; q < end; q++ {
		i := int(r.a.PositiveRow[q]) - block*r.rows
		if i < 0 || i >= rows {
			continue
		}
		grad := t.grad[i*r.wide:][:d]
		for j, v := range r.a.Query[q*d : (q+1)*d] {
			grad[j] += r.pull[q] * v
		}
	}
}
