package kernel

import "math"

// infoNCETile is a worker's memory for one block of keys and one panel of
// queries.
type infoNCETile struct {
	keys    []float32 // [rows][depth], zeros from D on
	scores  []float32 // [rows][width]: cosines, then exponentials
	stats   []float32 // [5][width], see expSumKernel
	grad    []float32 // [rows][wide]: gradient of the keys
	matches []int32   // [rows]: first query of a key's id, -1 for none
	matched bool      // there is one
}

// tileLens returns the lengths of keys, scores and grad. A tile takes the
// positives of a panel, too.
func (x *InfoNCE) tileLens() (keys, scores, grad int) {
	rows := len(x.keyRows)
	return roundUp(rows*x.depth, lanes), rows * infoNCEWidth, rows * x.wide
}

func (x *InfoNCE) tileLen() int {
	keys, scores, grad := x.tileLens()
	return keys + scores + 5*infoNCEWidth + grad
}

func (r *infoNCERun) tile(worker int) infoNCETile {
	mem := r.tiles[worker*r.tileLen() : (worker+1)*r.tileLen()]
	keys, scores, grad := r.tileLens()
	return infoNCETile{
		keys:    mem[:keys],
		scores:  mem[keys : keys+scores],
		stats:   mem[keys+scores : len(mem)-grad],
		grad:    mem[len(mem)-grad:],
		matches: r.matches[worker*r.rows : (worker+1)*r.rows],
	}
}

// load copies a row of D floats into the tile's keys.
func (r *infoNCERun) load(t *infoNCETile, i int, row []float32) {
	dst := t.keys[i*r.depth : (i+1)*r.depth]
	copy(dst, row)
	clear(dst[len(row):])
}

// loadBlock loads a block of keys and returns how many of them count.
func (r *infoNCERun) loadBlock(t *infoNCETile, block int) (rows int) {
	d, first := r.shape.D, block*r.rows
	rows = min(r.rows, r.valid()-first)
	for i := range rows {
		r.load(t, i, r.a.Keys[(first+i)*d:(first+i+1)*d])
	}
	t.matched = r.a.KeyIDs != nil && r.ids.lookup(t.matches[:rows], r.a.KeyIDs[first:first+rows])
	return rows
}

// score sets the tile's scores to the cosines of its first rows keys and a
// panel of queries.
func (r *infoNCERun) score(t *infoNCETile, panel, rows int) {
	queries := r.queries[panel*r.panelLen() : (panel+1)*r.panelLen()]
	stride := r.shape.D * lanes
	for p := 0; p < infoNCEWidth/lanes; p += r.gemm.panels {
		r.gemm.gather(t.scores[p*lanes:], r.scoreRows, t.keys, r.keyRows, queries[p*stride:],
			stride, r.gemm.panels, ceilDiv(rows, r.gemm.rows), 1, r.shape.D, false)
	}
}

// exclude sets the scores of keys that are no negatives of a query to -Inf,
// and adds those of them that are so by their id to masked [width].
func (r *infoNCERun) exclude(t *infoNCETile, block, panel, rows int, masked []int32) {
	excluded := float32(math.Inf(-1))
	first, end := r.queriesOf(panel)
	for _, table := range [2][]int32{r.a.PositiveRow, r.a.SelfRow} {
		if table == nil {
			continue
		}
		for q, row := range table[first:end] {
			if i := int(row) - block*r.rows; i >= 0 && i < rows {
				t.scores[i*infoNCEWidth+q] = excluded
			}
		}
	}
	if !t.matched {
		return
	}
	for i, query := range t.matches[:rows] {
		for ; query >= 0; query = r.ids.next[query] {
			q := int(query) - first
			if q < 0 || q >= infoNCEWidth {
				continue
			}
			if s := &t.scores[i*infoNCEWidth+q]; *s != excluded { // else left out by its row
				*s = excluded
				masked[q]++
			}
		}
	}
}

// reset clears a lane's sums for a panel.
func (r *infoNCERun) reset(lane, panel int) {
	clear(r.laneSums(lane, panel))
	at := (lane*r.panels + panel) * infoNCEWidth
	clear(r.sum[at : at+infoNCEWidth])
	clear(r.weightedSum[at : at+infoNCEWidth])
	clear(r.above[at : at+infoNCEWidth])
	clear(r.masked[at : at+infoNCEWidth])
	start, fixed := r.fixedShift()
	if !fixed {
		start = float32(math.Inf(-1))
	}
	for q := range infoNCEWidth {
		r.shift[at+q] = start
	}
}

func (r *infoNCERun) laneSums(lane, panel int) []float32 {
	return r.sums[(lane*r.panels+panel)*r.sumsLen():][:r.sumsLen()]
}

// accumulate adds the tile's scores to a lane's sums for a panel.
func (r *infoNCERun) accumulate(t *infoNCETile, lane, panel, rows int) {
	const w = infoNCEWidth
	at := (lane*r.panels + panel) * w
	scores := t.scores[:rows*w]
	sums := r.laneSums(lane, panel)
	if _, fixed := r.fixedShift(); !fixed {
		r.raise(t, scores, sums, at)
	}
	r.exponentiate(t, panel, rows, r.shift[at:at+w])
	for q := range w {
		r.sum[at+q] += float64(t.stats[2*w+q])
		r.weightedSum[at+q] += float64(t.stats[3*w+q])
		r.above[at+q] += int32(t.stats[4*w+q])
	}
	if r.a.DQuery != nil {
		for p := 0; p < w/lanes; p += r.gemm.panels {
			r.gemm.outer(sums[p*lanes:], w, t.keys, r.depth, scores[p*lanes:], w, r.gemm.panels, r.depth/r.gemm.rows, rows, true)
		}
	}
}

// exponentiate turns the tile's scores for a panel into exp(s/τ - shift), with
// a shift for every query, and leaves their sums in stats.
func (r *infoNCERun) exponentiate(t *infoNCETile, panel, rows int, shift []float32) {
	const w = infoNCEWidth
	copy(t.stats, r.positive[panel*w:(panel+1)*w])
	for q, m := range shift {
		t.stats[w+q] = max(m, -math.MaxFloat32) // it is -Inf when every key so far is excluded
	}
	clear(t.stats[2*w:])
	r.expSum(t.scores[:rows*w], t.stats, w, 1/r.a.Temperature)
}

// raise moves the shifts of a panel to the largest score so far, and what was
// summed under the old shifts with them (online softmax, Milakov and
// Gimelshein 2018).
func (r *infoNCERun) raise(t *infoNCETile, scores, sums []float32, at int) {
	scale := 1 / r.a.Temperature
	top := t.stats[:infoNCEWidth]
	for q := range top {
		top[q] = float32(math.Inf(-1))
	}
	r.max(top, scores)
	for q, score := range top {
		old := r.shift[at+q]
		shift := max(old, score*scale)
		if shift == old {
			continue
		}
		r.shift[at+q] = shift
		if math.IsInf(float64(old), -1) {
			continue // nothing summed yet
		}
		step := float64(old) - float64(shift)
		down := math.Exp(step)
		r.weightedSum[at+q] = down * (r.weightedSum[at+q] + r.sum[at+q]*step)
		r.sum[at+q] *= down
		for i := q; i < len(sums); i += infoNCEWidth {
			sums[i] *= float32(down)
		}
	}
}
